import { linear, type Tensor, transpose } from "@hushgrad/tensor";
import {
	type Attrs,
	contiguous,
	definePrimitive,
	type ForwardContext,
	type GemmUpdate,
	gemm,
	linearPrimitive,
	linearProduct,
	type NdArray,
	type Physical,
	type Primitive,
	packed,
	reshaped,
	rowProduct,
	sizeOf,
} from "@hushgrad/tensor/author";
import { RANKS } from "./lowRank.kernel.ts";
import { nf4LinearPrimitive, nf4Product } from "./quant/nf4Linear.ts";
import { groupsOf, updatedBackKernel } from "./updated.kernel.ts";

const TEST = { sizes: { R: [1, 3, 4, 8, 12] }, nonEmpty: ["R"] } as const;

/** low [..., R] b^T, in float64. */
function referenceUpdate(low: NdArray, b: NdArray): Float64Array {
	const [N, R] = b.shape;
	return Float64Array.from({ length: (low.data.length / R) * N }, (_, i) => {
		const row = Math.floor(i / N) * R;
		let sum = 0;
		for (let r = 0; r < R; r++) sum += low.data[row + r] * b.data[(i % N) * R + r];
		return sum;
	});
}

/** From the gradient g of low b^T: h = g b, and db = g^T low. */
export const updatedGradPrimitive = definePrimitive({
	name: "linearUpdated.dlow",
	signature: "g[..., N], low[..., R], b[N, R] -> h[..., R], db[N, R]",
	attrs: {},
	forward: ({ runtime, inputs, B, axes: { N, R } }) => {
		const T = sizeOf(inputs.g.shape.slice(1, -1));
		const rows = (t: Physical, width: number): Physical => contiguous(t).view({ shape: [B, T, width] });
		const [g, low, b] = [rows(inputs.g, N), rows(inputs.low, R), packed(inputs.b)];
		const shape = inputs.low.shape;
		if (runtime.device.plan === "cpu") {
			return [gemm(g, b.broadcast([B, N, R])).view({ shape }), gemm(g.transpose(), low)];
		}
		const [h, db] = [runtime.empty(shape), runtime.empty([B, N, R])];
		const step = R % RANKS === 0 ? RANKS : 4;
		const wide = [N, R, g.offset, low.offset, b.offset].every((v) => v % 4 === 0);
		const variant = { wide, ranks: wide ? step : Math.min(RANKS, R) };
		const { rowGroups, columnGroups } = groupsOf(T, N, variant);
		const numbers = { T, N, R, bs: b.strides[0], rowGroups };
		const grid = [rowGroups + columnGroups, B, Math.ceil(R / variant.ranks)] as const;
		updatedBackKernel.of(variant).run({ g, low, b, h, db }, numbers, grid, 4 * B * T * N * R);
		return [h, db];
	},
	grad: { g: "missing", low: "missing", b: "missing" },
	reference: ({ g, low, b }) => {
		const [N, R] = b.shape;
		const [h, db] = [new Float64Array(low.data.length), new Float64Array(N * R)];
		for (let i = 0; i < g.data.length; i++) {
			const [t, n] = [Math.floor(i / N), i % N];
			for (let r = 0; r < R; r++) {
				h[t * R + r] += g.data[i] * b.data[n * R + r];
				db[n * R + r] += g.data[i] * low.data[t * R + r];
			}
		}
		return [
			{ data: h, shape: low.shape },
			{ data: db, shape: b.shape },
		];
	},
	test: { bound: { abs: 2e-4, why: "sums of up to 729 products of size 4" }, ...TEST },
});

/**
 * A linear map x W^T, `of`, and the product of two thin matrices in one: y = x W^T + low b^T, where `forward` runs both. Its gradients are
 * those of the map, h = dy b for low, and dy^T low for b, of which the last two come from one kernel.
 */
function defineUpdated<A extends Attrs>(
	name: string,
	of: Primitive<A>,
	forward: (context: ForwardContext<A>, update: GemmUpdate) => Physical,
): Primitive<A> {
	const { signature, grad, reference, test, ...rest } = of.spec;
	const [operands, result] = signature.split(" -> ");
	return definePrimitive<A, string>({
		...rest,
		name,
		signature: `${operands}, low[..., R], b[N, R] -> ${result}`,
		forward: (context) => {
			const { low, b } = context.inputs;
			const T = sizeOf(low.shape.slice(1, -1));
			const [B, R] = [context.B, low.shape[low.rank - 1]];
			const up = packed(b).transpose().broadcast([B, R, b.shape[1]]);
			return [forward(context, { low: contiguous(low).view({ shape: [B, T, R] }), up })];
		},
		grad: {
			...grad,
			low: { saves: ["b"], rule: ({ dy, b }) => linear(dy, transpose(b)) },
			b: { saves: ["low"], rule: ({ dy, low }, _, operand) => rowProduct(dy, low, operand) },
		},
		together: (given, attrs, operandsOf, arrived) => {
			const grads: Record<string, Tensor> = {};
			for (const [operand, rule] of Object.entries(grad)) {
				if (typeof rule === "object") grads[operand] = rule.rule(given, attrs, operandsOf[operand], arrived[operand]);
			}
			const [low, b] = updatedGradPrimitive.apply([given.dy, given.low, given.b]);
			return { ...grads, low, b };
		},
		reference: ({ low, b, ...inputs }, attrs) => {
			const [{ data, shape }] = reference(inputs, attrs);
			const update = referenceUpdate(low, b);
			return [{ data: data.map((v, i) => v + update[i]), shape }];
		},
		test: {
			...test,
			bound: { abs: 2e-4, why: "a sum of up to 16 products of size 4, and one of up to 12" },
			sizes: { ...test?.sizes, ...TEST.sizes },
			nonEmpty: TEST.nonEmpty,
		},
	});
}

export const linearUpdatedPrimitive = defineUpdated("linearUpdated", linearPrimitive, ({ inputs: { x, w }, B, axes: { N } }, update) => {
	const rows = reshaped(x, [update.low.shape[1], x.shape[x.rank - 1]]);
	return linearProduct(rows, w, update).view({ shape: [B, ...x.shape.slice(1, -1), N] });
});
export const nf4LinearUpdatedPrimitive = defineUpdated("nf4LinearUpdated", nf4LinearPrimitive, ({ inputs, attrs }, update) => {
	const { x, low: _, b: __, ...parts } = inputs;
	return nf4Product(x, parts, attrs, update);
});
