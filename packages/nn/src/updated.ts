import { linear, type Tensor, transpose } from "@hushgrad/tensor";
import {
	contiguous,
	definePrimitive,
	entry,
	type GemmUpdate,
	gemm,
	linearPrimitive,
	linearProduct,
	type NdArray,
	type Physical,
	packed,
	reshaped,
	rowProduct,
	sizeOf,
	stacked,
} from "@hushgrad/tensor/author";
import { RANKS } from "./lowRank.kernel.ts";
import { beside, type Decoded } from "./quant/nf4.kernel.ts";
import { groupsOf, LANES, updatedBackKernel } from "./updated.kernel.ts";

/** For the tests of what has ranks: those that are read eight, four, or one at once. */
export const RANK_SIZES = { R: [1, 3, 4, 8, 12] } as const;

/** low [..., R] b^T, in float64. */
export function referenceUpdate(low: NdArray, b: NdArray): Float64Array {
	const [N, R] = b.shape;
	return Float64Array.from({ length: (low.data.length / R) * N }, (_, i) => {
		const row = Math.floor(i / N) * R;
		let sum = 0;
		for (let r = 0; r < R; r++) sum += low.data[row + r] * b.data[(i % N) * R + r];
		return sum;
	});
}

/** h = g b and db = g^T low, in float64. */
export function referenceUpdateGrad({ g, low, b }: Readonly<Record<"g" | "low" | "b", NdArray>>): NdArray[] {
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
}

/** low [B, ..., R] and b [B, N, R] as a product takes them. */
export function updateOf(low: Physical, b: Physical): GemmUpdate {
	const [B, N, R] = b.shape;
	const T = sizeOf(low.shape.slice(1, -1));
	return { low: contiguous(low).view({ shape: [B, T, R] }), up: packed(b).transpose().broadcast([B, R, N]) };
}

/** low [count, B, ..., R] of maps of one x, the gradients g [B, ..., N] of low b^T, and the b [B, N, R]. */
export interface Updates {
	readonly g: readonly Physical[];
	readonly low: Physical;
	readonly b: readonly Physical[];
}

/**
 * From the gradients g: h [count, B, ..., R] = g b, and db [count, B, N, R] = g^T low, of each map. Weights held in four bits are written by
 * the same kernel, where the device allows it, or by one of their own.
 */
export function updatesGrad(given: Updates, weights?: Decoded): [h: Physical, db: Physical] {
	const [B, N, R] = given.b[0].shape;
	const { runtime } = given.low;
	const count = given.g.length;
	const T = sizeOf(given.g[0].shape.slice(1, -1));
	const low = contiguous(given.low).view({ shape: [count, B, T, R] });
	const [shape, all] = [given.low.shape, given.b.map(packed)];
	const [h, db] = [runtime.empty(shape), runtime.empty([count, B, N, R])];
	if (runtime.device.plan === "cpu") {
		beside(runtime, [0, 0, 0], LANES, weights);
		all.forEach((b, j) => {
			const into = (view: Physical, rows: number) => ({ view, batchStride: rows * R, accumulate: false });
			const g = contiguous(given.g[j]).view({ shape: [B, T, N] });
			gemm(g, b.broadcast([B, N, R]), into(entry(h, j), T));
			gemm(g.transpose(), entry(low, j), into(entry(db, j), N));
		});
		return [h, db];
	}
	const g = contiguous(stacked(given.g)).view({ shape: [count, B, T, N] });
	const b = stacked(all);
	const wide = [N, R, g.offset, low.offset, b.offset, b.strides[0]].every((v) => v % 4 === 0);
	const ranks = wide ? (R % RANKS === 0 ? RANKS : 4) : Math.min(RANKS, R);
	const chunks = Math.ceil(R / ranks);
	const { rowGroups, columnGroups } = groupsOf(T, N, wide);
	const { decodes, bf16, grid, ...more } = beside(runtime, [rowGroups + columnGroups, B, count * chunks], LANES, weights);
	const numbers = { T, N, R, us: b.strides[0], bs: b.strides[1], rowGroups, chunks, ...more.numbers };
	const flops = 4 * count * B * T * N * R;
	updatedBackKernel.of({ wide, ranks, decodes, bf16 }).run({ g, low, b, h, db, ...more.buffers }, numbers, grid, flops);
	return [h, db];
}

/** From the gradient g of a single low b^T. */
export function updateGrad({ g, low, b }: Readonly<Record<"g" | "low" | "b", Physical>>, weight?: Decoded): [h: Physical, db: Physical] {
	const [h, db] = updatesGrad({ g: [g], low: stacked([low]), b: [b] }, weight);
	return [entry(h, 0), entry(db, 0)];
}

/** From the gradient g of low b^T: h = g b, and db = g^T low. */
export const linearUpdatedGradPrimitive = definePrimitive({
	name: "linearUpdated.dlow",
	signature: "g[..., N], low[..., R], b[N, R] -> h[..., R], db[N, R]",
	attrs: {},
	forward: ({ inputs }) => updateGrad(inputs),
	grad: { g: "missing", low: "missing", b: "missing" },
	reference: referenceUpdateGrad,
	test: { bound: { abs: 2e-4, why: "sums of up to 729 products of size 4" }, sizes: RANK_SIZES, nonEmpty: ["R"] },
});

const { grad, reference, dtypes } = linearPrimitive.spec;

/** A linear map and the product of two thin matrices in one: y = x w^T + low b^T. The gradients by low and b come from one kernel. */
export const linearUpdatedPrimitive = definePrimitive({
	name: "linearUpdated",
	signature: "x[..., K], w[N, K], low[..., R], b[N, R] -> y[..., N]",
	dtypes,
	attrs: {},
	forward: ({ inputs: { x, w, low, b }, B, axes: { N, K } }) => {
		const update = updateOf(low, b);
		const rows = reshaped(x, [update.low.shape[1], K]);
		return [linearProduct(rows, w, update).view({ shape: [B, ...x.shape.slice(1, -1), N] })];
	},
	grad: {
		x: grad.x,
		w: grad.w,
		low: { saves: ["b"], rule: ({ dy, b }) => linear(dy, transpose(b)) },
		b: { saves: ["low"], rule: ({ dy, low }, _, operand) => rowProduct(dy, low, operand) },
	},
	together: (given, _, operands, arrived) => {
		const grads: Record<string, Tensor> = {};
		for (const name of ["x", "w"] as const) {
			const rule = grad[name];
			if (typeof rule === "object") grads[name] = rule.rule(given, {}, operands[name], arrived[name]);
		}
		const [low, b] = linearUpdatedGradPrimitive.apply([given.dy, given.low, given.b]);
		return { ...grads, low, b };
	},
	reference: ({ x, w, low, b }) => {
		const [{ data, shape }] = reference({ x, w }, {});
		const update = referenceUpdate(low, b);
		return [{ data: data.map((v, i) => v + update[i]), shape }];
	},
	test: {
		bound: { abs: 2e-4, why: "a sum of up to 9 products of size 4, and one of up to 12" },
		sizes: RANK_SIZES,
		nonEmpty: ["R"],
	},
});
