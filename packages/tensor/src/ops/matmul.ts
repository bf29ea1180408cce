import { FLOATS, INTEGERS } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { expects } from "../expects.ts";
import { named } from "../named.ts";
import { definePrimitive } from "../primitive.ts";
import type { OperandShape } from "../records.ts";
import type { NdArray } from "../reference.ts";
import { broadcastShapes, type Shape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./binary.ts";
import { sumToOperand } from "./elementwise.ts";
import { gemm } from "./gemm.ts";
import { matmulInteger } from "./matmulInteger.ts";
import { foldRecords } from "./records.ts";
import { reshape, squeeze, transpose, unsqueeze } from "./view.ts";

/** Gradients of a product sum over the batch axes along which an operand was repeated. */
function productTo(a: Tensor, b: Tensor, operand: OperandShape): Tensor {
	return sumToOperand(matmul(a, b), operand);
}

/** Row-major product of the references: [lead, m, k] x [lead, k, n], leading axes broadcast. */
export function referenceProduct(a: NdArray, b: NdArray): NdArray {
	const [m, k] = a.shape.slice(-2);
	const n = b.shape[b.shape.length - 1];
	const lead = commonLead(a, b);
	const shape = [...lead, m, n];
	const data = new Float64Array(sizeOf(shape));
	for (let z = 0; z < sizeOf(lead); z++) {
		const az = batchAt(a.shape.slice(0, -2), lead, z) * m * k;
		const bz = batchAt(b.shape.slice(0, -2), lead, z) * k * n;
		for (let i = 0; i < m; i++) {
			for (let j = 0; j < n; j++) {
				let acc = 0;
				for (let q = 0; q < k; q++) acc += a.data[az + i * k + q] * b.data[bz + q * n + j];
				data[(z * m + i) * n + j] = acc;
			}
		}
	}
	return { data, shape };
}

function batchAt(own: readonly number[], lead: readonly number[], z: number): number {
	let rest = z;
	let at = 0;
	let step = 1;
	for (let i = lead.length - 1, j = own.length - 1; j >= 0; i--, j--) {
		const c = rest % lead[i];
		rest = Math.floor(rest / lead[i]);
		if (own[j] !== 1) at += c * step;
		step *= own[j];
	}
	return at;
}

/** The axes before the matrices, broadcast. */
const commonLead = (...operands: readonly { readonly shape: Shape }[]): number[] =>
	broadcastShapes("matmul", ...operands.map(({ shape }) => shape.slice(0, -2)));

/** All rows of all matrices, as one matrix. */
const rowsOf = (t: Tensor): Tensor => reshape(t, [sizeOf(t.shape.slice(0, -1)), t.shape[t.rank - 1]]);

/**
 * a^T b over all rows a[..., M] and b[..., N]: the gradient [M, N] of a matrix; of one for all records, over all of theirs. `pick` may
 * leave some of the M.
 */
export function rowProduct(a: Tensor, b: Tensor, operand: OperandShape, pick: (x: Tensor) => Tensor = (x) => x): Tensor {
	const [x, y] = foldRecords(operand, [a, b]).map(rowsOf);
	return matmul(transpose(pick(x)), y);
}

export const matmulPrimitive = definePrimitive({
	name: "matmul",
	signature: "~a[..., M, K], ~b[..., K, N] -> y[..., M, N]",
	dtypes: { a: [...FLOATS, ...INTEGERS], b: [...FLOATS, ...INTEGERS] },
	attrs: {},
	check: ({ a, b }) => {
		if (a.dtype !== b.dtype && !(FLOATS.includes(a.dtype) && FLOATS.includes(b.dtype))) {
			const shown = [a, b].map((t) => `${t.dtype} ${showShape(t.shape)}`).join(" and ");
			throw new DTypeError("op/dtype", `matmul: the operands are ${shown}`, { op: "matmul", hint: "convert one of them with cast()" });
		}
		commonLead(a, b);
	},
	forward: ({ inputs }) => {
		const rank = Math.max(inputs.a.rank, inputs.b.rank);
		const operands = [inputs.a.lift(rank), inputs.b.lift(rank)];
		const lead = commonLead(...operands);
		const [a, b] = operands.map((t) => t.broadcast([...lead, ...t.shape.slice(-2)]));
		return [INTEGERS.includes(a.dtype) ? matmulInteger(a, b) : gemm(a, b)];
	},
	grad: {
		a: { saves: ["b"], rule: ({ dy, b }, _, operand) => productTo(dy, transpose(b), operand) },
		b: {
			saves: ["a"],
			rule: ({ dy, a }, _, operand) => (operand.shape.length > 2 ? productTo(transpose(a), dy, operand) : rowProduct(a, dy, operand)),
		},
	},
	reference: ({ a, b }) => [referenceProduct(a, b)],
	test: { bound: { abs: 2e-5, why: "sums of up to 9 products of size 4: 9 * 36 * 2^-24" } },
});

/**
 * Matrix product over the last two axes, numpy's matmul: y = a b. a `[..., M, K]`, b `[..., K, N]` → `[..., M, N]`; leading
 * axes broadcast. A vector `[K]` stands for one row (a) or one column (b), and its axis is dropped; of two vectors comes a
 * scalar. f32 or f16 accumulate and result in f32; i32 and u32, both of one, stay what they are, exact modulo 2³². K = 0 gives 0.
 * @throws ShapeError when K differs, leading axes do not broadcast, or an operand has no axis.
 * @throws DTypeError for other types, or two types that are not both floats.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
	expects("matmul", { a, b }, { a: "tensor", b: "tensor" });
	if (a.rank === 1) return squeeze(matmul(unsqueeze(a, 0), b), b.rank === 1 ? 0 : -2);
	if (b.rank === 1) return squeeze(matmul(a, unsqueeze(b, 1)), -1);
	return matmulPrimitive.apply([a, b])[0];
}

/**
 * Products of the matrices of two batches: a `[B, M, K]`, b `[B, K, N]` → `[B, M, N]`. Types as of `matmul`.
 * @throws ShapeError unless both have three axes and one B and K.
 * @throws DTypeError for other types.
 */
export const bmm = named("bmm", (a: Tensor, b: Tensor): Tensor => {
	expects("bmm", { a, b }, { a: "tensor", b: "tensor" });
	if (a.rank !== 3 || b.rank !== 3 || a.shape[0] !== b.shape[0]) {
		throw new ShapeError("shape/bmm", `bmm: a${showShape(a.shape)} and b${showShape(b.shape)} are not two batches of as many matrices`, {
			op: "bmm",
		});
	}
	return matmul(a, b);
});

/**
 * Inner product of two vectors: ∑ a_i b_i. a `[N]`, b `[N]` → a scalar. Types as of `matmul`.
 * @throws ShapeError unless both are vectors of one length.
 * @throws DTypeError for other types.
 */
export const dot = named("dot", (a: Tensor, b: Tensor): Tensor => {
	checkVectors("dot", a, b);
	if (a.size !== b.size) throw new ShapeError("shape/vectors", `dot: a has ${a.size} elements, b has ${b.size}`, { op: "dot" });
	return matmul(a, b);
});

/**
 * All products of the elements of two vectors: y_ij = a_i b_j. a `[M]`, b `[N]` → `[M, N]`. f32, f16, i32 or u32.
 * @throws ShapeError unless both are vectors.
 * @throws DTypeError for other types, or two types that are not both floats.
 */
export const outer = named("outer", (a: Tensor, b: Tensor): Tensor => {
	checkVectors("outer", a, b);
	return mul(unsqueeze(a, 1), b);
});

function checkVectors(op: string, a: Tensor, b: Tensor): void {
	expects(op, { a, b }, { a: "tensor", b: "tensor" });
	if (a.rank === 1 && b.rank === 1) return;
	throw new ShapeError("shape/vectors", `${op}: a${showShape(a.shape)} and b${showShape(b.shape)} are not two vectors`, { op });
}
