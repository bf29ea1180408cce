import type { Physical } from "../physical.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { type Given, tapeOf } from "../record.ts";
import { collapse, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { softcap as cap } from "./activations.ts";
import { attentionKernel, attentionKeyGradKernel, attentionQueryGradKernel } from "./attention.kernel.ts";
import { referenceAttention, referenceKeyGradient, referenceQueryGradient } from "./attention.reference.ts";
import { type AttentionVariant, acrossOf, endsOf, foursOf, LANES, rowsIn } from "./attention.tile.ts";
import { attentionSoftmax, attentionSoftmaxGradPrimitive, NO_MASK, type ScoreAttrs } from "./attentionSoftmax.ts";
import { add, mul } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { sum } from "./expand.ts";
import { matmul } from "./matmul.ts";
import { neg, square, tanh } from "./unary.ts";
import { transpose, unsqueeze } from "./view.ts";

/* Attention in one piece: R heads of queries share each head of keys and values. The scores are never held. */

type Operands = Readonly<Record<string, Physical>>;

/** Operands without an axis for the heads that share keys. */
const SHARED = ["k", "v", "dk", "dv"];
/** Results and operands that are fours of the last axis where all of them can be. */
const isInFours = (x: Physical): boolean =>
	x.strides[x.rank - 1] === 1 && [x.shape[x.rank - 1], x.offset, ...x.strides.slice(0, -1)].every((n) => n % 4 === 0);

/** Axes before those that the kernels know by name. */
const leadOf = (name: string, rank: number): number => rank - (SHARED.includes(name) ? 2 : 3);

/**
 * What kernels take for operands and results: views whose leading axes (the records among them) are two for all, and their places.
 * Copies where they are more.
 */
function arranged(views: Operands, results: Operands): { views: Operands; z: readonly number[]; places: Record<string, number> } {
	const all = { ...views, ...results };
	const names = Object.keys(all);
	const cut = leadOf("q", all.q.rank);
	const { shape, strides } = collapse(
		all.q.shape.slice(0, cut),
		names.map((n) => all[n].strides.slice(0, cut)),
	);
	if (shape.length > 2) return arranged(Object.fromEntries(Object.entries(views).map(([n, x]) => [n, contiguous(x)])), results);
	const places: Record<string, number> = {};
	names.forEach((n, i) => {
		const own = all[n].strides.slice(cut);
		const [r, t, inner] = SHARED.includes(n) ? [0, ...own] : own;
		const [z0, z1] = [0, 0, ...strides[i]].slice(-2);
		for (const [axis, stride] of Object.entries({ 0: z0, 1: z1, r, t, i: inner })) places[`${n}${axis}`] = stride;
	});
	return { views, z: [1, 1, ...shape].slice(-2), places };
}

/** A result whose positions come before the leading axes in memory, as projections give and take their heads. */
function positionsFirst(like: Physical, shape: readonly number[]): Physical {
	const [B, ...own] = shape;
	const [count, width] = own.slice(-2);
	const lead = own.slice(0, -2);
	const y = like.runtime.empty([B, count, ...lead, width]);
	return y.permute([0, ...lead.map((_, i) => i + 2), 1, y.rank - 1]);
}

interface Call {
	readonly inputs: Operands;
	readonly axes: Readonly<Record<"R" | "T" | "K" | "S" | "V", number>>;
	readonly attrs: ScoreAttrs;
}

/**
 * What the kernels have in common: their variant, numbers and grid, and the operands of these names as they take them. Rows of tiles are
 * `rows`; `width` is the widest of what is summed over the columns.
 */
function laidOut({ inputs, axes, attrs }: Call, names: readonly string[], results: Operands, rows: "T" | "S", width: number) {
	const masked = inputs.mask !== undefined;
	const { views, z, places } = arranged(Object.fromEntries([...names, ...(masked ? ["mask"] : [])].map((n) => [n, inputs[n]])), results);
	const x = acrossOf(width);
	const variant: AttentionVariant = {
		mask: masked,
		x,
		wide: [...names.map((n) => views[n]), ...Object.values(results)].every(isInFours),
	};
	const tiles = Math.ceil(axes[rows] / rowsIn(x));
	const groups = sizeOf(z) * (rows === "T" ? axes.R : 1) * tiles;
	const { causal, window, offset, scale, softcap } = attrs;
	const scoring = { causal: Number(causal), window, offset, scale, cap: softcap };
	const params: Record<string, number> = { ...places, ...axes, ...scoring, ...endsOf(x), tiles, groups, z1: z[1] };
	return { buffers: { ...views, ...results }, x, variant, params, grid: groups * LANES };
}

function attend(call: Call): Physical[] {
	const { q, v } = call.inputs;
	const { V } = call.axes;
	const y = positionsFirst(q, [...q.shape.slice(0, -1), V]);
	const lse = q.runtime.empty(q.shape.slice(0, -1));
	const { buffers, variant, params, x, grid } = laidOut(call, ["q", "k", "v"], { y }, "T", V);
	const { K } = call.axes;
	const flops = 2 * sizeOf(q.shape.slice(0, -1)) * v.shape[v.rank - 2] * (K + V);
	attentionKernel.of({ ...variant, fours: foursOf(V, x) }).run({ ...buffers, y, lse }, params, grid, flops);
	return [y, lse];
}

function queryGradient(call: Call): Physical[] {
	const { q } = call.inputs;
	const { K } = call.axes;
	const lse = contiguous(call.inputs.lse);
	const dq = positionsFirst(q, q.shape);
	const delta = q.runtime.empty(lse.shape);
	const { buffers, variant, params, x, grid } = laidOut(call, ["q", "k", "v", "y", "dy"], { dq }, "T", K);
	attentionQueryGradKernel
		.of({ ...variant, fours: foursOf(K, x) })
		.run({ ...buffers, y: buffers.y, dy: buffers.dy, lse, dq, delta }, params, grid);
	return [dq, delta];
}

function keyGradient(call: Call): Physical[] {
	const { k, v } = call.inputs;
	const { K, V } = call.axes;
	const [lse, delta] = [contiguous(call.inputs.lse), contiguous(call.inputs.delta)];
	const [dk, dv] = [positionsFirst(k, k.shape), positionsFirst(v, v.shape)];
	const { buffers, variant, params, x, grid } = laidOut(call, ["q", "k", "v", "dy"], { dk, dv }, "S", Math.max(K, V));
	const fours = { fours: foursOf(K, x), foursV: foursOf(V, x) };
	attentionKeyGradKernel.of({ ...variant, ...fours }).run({ ...buffers, dy: buffers.dy, lse, delta, dk, dv }, params, grid);
	return [dk, dv];
}

/* Gradients that are differentiated in turn are made of operations on all scores. */

/** The gradient of one operand, of differentiable operations. */
function tracedGradient(of: "q" | "k" | "v", { q, k, v, mask, dy }: Given, { scale, softcap, ...causal }: ScoreAttrs): Tensor {
	const [keys, values] = [k, v].map((t) => unsqueeze(t, -3));
	const products = matmul(q, transpose(keys));
	const capped = softcap > 0 ? cap(mul(products, scale), softcap) : mul(products, scale);
	const scores = mask === undefined ? capped : add(capped, mask);
	const p = attentionSoftmax(scores, causal);
	if (of === "v") return sum(matmul(transpose(p), dy), [-3]);
	const dz = attentionSoftmaxGradPrimitive.apply([scores, p, matmul(dy, transpose(values))], causal)[0];
	const slope = softcap > 0 ? mul(add(neg(square(tanh(mul(products, scale / softcap)))), 1), scale) : scale;
	const g = mul(dz, slope);
	return of === "q" ? matmul(g, keys) : sum(matmul(transpose(g), q), [-3]);
}

type Gradient = Primitive<ScoreAttrs>;

/** The rules of the queries, keys and values, and their gradients at once, by the kernels of two primitives. */
function gradientsBy(names: readonly string[], byQuery: Gradient, byKey: Gradient) {
	const operands = (given: Given): Tensor[] => names.map((name) => given[name]);
	const ofQuery = (given: Given, attrs: ScoreAttrs) => byQuery.apply([...operands(given), given.y, given.lse, given.dy], attrs);
	const ofKey = (given: Given, attrs: ScoreAttrs, delta: Tensor) => byKey.apply([...operands(given), given.dy, given.lse, delta], attrs);
	const untraced = {
		q: (given: Given, attrs: ScoreAttrs) => ofQuery(given, attrs)[0],
		k: (given: Given, attrs: ScoreAttrs) => ofKey(given, attrs, sum(mul(given.dy, given.y), [-1]))[0],
		v: (given: Given, attrs: ScoreAttrs) => ofKey(given, attrs, sum(mul(given.dy, given.y), [-1]))[1],
	};
	const rule = (of: "q" | "k" | "v") => ({
		saves: [...names, "y", "lse"],
		rule: (given: Given, attrs: ScoreAttrs): Tensor =>
			Object.values(given).some((t) => tapeOf(t) !== undefined) ? tracedGradient(of, given, attrs) : untraced[of](given, attrs),
	});
	const together = (given: Given, attrs: ScoreAttrs) => {
		const [dq, delta] = ofQuery(given, attrs);
		const [dk, dv] = ofKey(given, attrs, delta);
		return { q: dq, k: dk, v: dv };
	};
	return { rules: { q: rule("q"), k: rule("k"), v: rule("v") }, together };
}

const VARIANTS: readonly Partial<ScoreAttrs>[] = [
	{ causal: true, scale: 0.5 },
	{ causal: true, window: 3, softcap: 2 },
	{ window: 2, offset: 1, scale: 0.7 },
	{ causal: true, offset: 2, softcap: 1.5 },
];
const SIZES_OF_TESTS = { R: [1, 1, 3] } as const;
const TEST = {
	sizes: SIZES_OF_TESTS,
	variants: VARIANTS,
	bound: {
		abs: 3e-4,
		why: "scores of 9 products of size 4 (2e-5), exp within 40 ULP, the cap 1e-5 times its size, times values of size 2",
	},
} as const;
const SMALL = { range: [-0.5, 0.5] } as const;
const UNIT = { range: [-1, 1] } as const;
const GRAD_TEST = {
	sizes: SIZES_OF_TESTS,
	variants: VARIANTS,
	domains: { q: SMALL, k: UNIT, v: UNIT, y: UNIT, dy: SMALL, mask: UNIT, lse: { range: [3, 5] }, delta: UNIT },
	bound: { abs: 2e-3, why: "weights below 12 within 1e-5 of them, times differences of size 9, over 81 queries" },
} as const;
const NO_GRADIENT = { q: "missing", k: "missing", v: "missing", dy: "missing", lse: "missing" } as const;

export const attentionQueryGradPrimitive: Primitive<ScoreAttrs> = definePrimitive<ScoreAttrs>({
	name: "attention.dq",
	signature:
		"q[..., R, T, K], k[..., S, K], v[..., S, V], y[..., R, T, V], lse[..., R, T], dy[..., R, T, V] -> dq[..., R, T, K], delta[..., R, T]",
	attrs: NO_MASK,
	forward: queryGradient,
	grad: { ...NO_GRADIENT, y: "missing" },
	reference: referenceQueryGradient,
	test: GRAD_TEST,
});

export const maskedAttentionQueryGradPrimitive: Primitive<ScoreAttrs> = definePrimitive<ScoreAttrs>({
	name: "attention.masked.dq",
	signature:
		"q[..., R, T, K], k[..., S, K], v[..., S, V], mask[..., R, T, S], y[..., R, T, V], lse[..., R, T], dy[..., R, T, V] -> dq[..., R, T, K], delta[..., R, T]",
	attrs: NO_MASK,
	forward: queryGradient,
	grad: { ...NO_GRADIENT, y: "missing", mask: "missing" },
	reference: referenceQueryGradient,
	test: GRAD_TEST,
});

export const attentionKeyGradPrimitive: Primitive<ScoreAttrs> = definePrimitive<ScoreAttrs>({
	name: "attention.dkv",
	signature:
		"q[..., R, T, K], k[..., S, K], v[..., S, V], dy[..., R, T, V], lse[..., R, T], delta[..., R, T] -> dk[..., S, K], dv[..., S, V]",
	attrs: NO_MASK,
	forward: keyGradient,
	grad: { ...NO_GRADIENT, delta: "missing" },
	reference: referenceKeyGradient,
	test: GRAD_TEST,
});

export const maskedAttentionKeyGradPrimitive: Primitive<ScoreAttrs> = definePrimitive<ScoreAttrs>({
	name: "attention.masked.dkv",
	signature:
		"q[..., R, T, K], k[..., S, K], v[..., S, V], mask[..., R, T, S], dy[..., R, T, V], lse[..., R, T], delta[..., R, T] -> dk[..., S, K], dv[..., S, V]",
	attrs: NO_MASK,
	forward: keyGradient,
	grad: { ...NO_GRADIENT, delta: "missing", mask: "missing" },
	reference: referenceKeyGradient,
	test: GRAD_TEST,
});

const plain = gradientsBy(["q", "k", "v"], attentionQueryGradPrimitive, attentionKeyGradPrimitive);
const masked = gradientsBy(["q", "k", "v", "mask"], maskedAttentionQueryGradPrimitive, maskedAttentionKeyGradPrimitive);

/** y = softmax(cap(q k^T scale)) v over the keys that each query sees, and the logarithm of the sum of the exponentials. */
export const attentionPrimitive: Primitive<ScoreAttrs> = definePrimitive<ScoreAttrs>({
	name: "attention",
	signature: "q[..., R, T, K], k[..., S, K], v[..., S, V] -> y[..., R, T, V], lse[..., R, T]",
	attrs: NO_MASK,
	forward: attend,
	grad: plain.rules,
	together: plain.together,
	reference: referenceAttention,
	test: TEST,
});

/** As attention, with numbers that are added to the scores; −∞ hides a key. */
export const maskedAttentionPrimitive: Primitive<ScoreAttrs> = definePrimitive<ScoreAttrs>({
	name: "attention.masked",
	signature: "q[..., R, T, K], k[..., S, K], v[..., S, V], mask[..., R, T, S] -> y[..., R, T, V], lse[..., R, T]",
	attrs: NO_MASK,
	forward: attend,
	grad: { ...masked.rules, mask: "missing" },
	together: masked.together,
	reference: referenceAttention,
	test: TEST,
});
