import { matmul, mul, type Tensor } from "@hushgrad/tensor";
import {
	contiguous,
	definePrimitive,
	defineSumming,
	dropoutPrimitive,
	entry,
	expects,
	instanceOf,
	type NdArray,
	optional,
	type Physical,
	type Primitive,
	packed,
	type Runtime,
	rowProduct,
	type Summing,
	sharesLoads,
	sizeOf,
	stacked,
	summed,
} from "@hushgrad/tensor/author";
import { backGroups, downGroups, lowRankBackKernel, lowRankDownKernel, RANKS, type Sharing } from "./lowRank.kernel.ts";
import { beside, type Decoded, type WeightCount } from "./quant/nf4.kernel.ts";

/** Factor of the branch, probability of dropping an element of its input, and the stream of the mask; without a key, the factor alone. */
export type LowRankAttrs = { scale: number; p: number; stream: number };

/** Branches of one x, each with an A and a stream of its own. */
export interface Branches {
	/** [B, ..., K]. */
	readonly x: Physical;
	/** [B, R, K] each. */
	readonly a: readonly Physical[];
	/** [B, 2], where x is dropped out on the way. */
	readonly keys?: Physical | undefined;
	readonly attrs: Omit<LowRankAttrs, "stream"> & { readonly streams: readonly number[] };
}

const branch = ({ x, a, keys }: Readonly<Record<string, Physical>>, { stream, ...attrs }: LowRankAttrs): Branches => ({
	...{ x, a: [a], keys },
	attrs: { ...attrs, streams: [stream] },
});

/** What invocations share on a device. */
const sharingOn = ({ device }: Runtime): Sharing => (device.plan !== "cpu" ? "sums" : sharesLoads(device) ? "loads" : "nothing");

/** x in memory as the kernels read it, and their numbers; the record axis keeps stride 0 where x is one for all. */
function layout({ x: given, a: rows, keys: words, attrs: { scale, p, streams } }: Branches) {
	const [x, a] = [packed(given), stacked(rows.map(packed))];
	const keys = words && packed(words);
	const [R, K] = a.shape.slice(-2);
	const T = sizeOf(x.shape.slice(1, -1));
	const ofStreams = Object.fromEntries(streams.map((stream, j) => [j === 0 ? "stream" : `stream${j}`, stream]));
	const mask = { ks: keys?.strides[0] ?? 0, limit: Math.floor(p * 2 ** 24), kept: 1 / (1 - p), ...ofStreams };
	return {
		buffers: { x, a, ...(keys && { keys }) },
		numbers: { T, K, R, xs: x.strides[0], az: a.strides[0], rs: a.strides[1], scale, ...mask },
		wide: [K, x.offset, a.offset, a.strides[0]].every((v) => v % 4 === 0),
		drops: keys !== undefined,
		count: rows.length as WeightCount,
	};
}

/**
 * low [count, B, ..., R] = scale dropout(x) A^T of each branch. Weights held in four bits are written by the same kernel, where the device
 * allows it, or by one of their own.
 */
export function lowsOf(branches: Branches, weights?: Decoded): Physical {
	const { x } = branches;
	const { runtime } = x;
	const { buffers, numbers, wide, drops, count } = layout(branches);
	const { T, R } = numbers;
	const low = runtime.empty([count, ...x.shape.slice(0, -1), R]);
	const ranks = Math.min(RANKS, Math.max(1, R));
	const chunks = Math.ceil(R / ranks);
	const shares = sharingOn(runtime);
	const { groups, lanes } = downGroups(T, shares);
	const { decodes, bf16, grid, ...more } = beside(runtime, [groups, x.shape[0], count * chunks], lanes, weights);
	const kernel = lowRankDownKernel.of({ wide, drops, ranks, shares, decodes, bf16, count });
	if (T > 0) kernel.run({ ...buffers, low, ...more.buffers }, { ...numbers, chunks, ...more.numbers }, grid);
	return low;
}

/** low [B, ..., R] of a single branch. */
export const lowOf = (inputs: Readonly<Record<string, Physical>>, attrs: LowRankAttrs, weight?: Decoded): Physical =>
	entry(lowsOf(branch(inputs, attrs), weight), 0);

/**
 * From the gradients h [count, B, ..., R] of low: dx, the sum over the branches and `plus`, where there is one, and dA [count, B, R, K] of
 * each.
 */
export function lowsGrad(branches: Branches, gradient: Physical, plus?: Physical): [dx: Physical, da: Physical] {
	const { x } = branches;
	const { runtime } = x;
	const { buffers, numbers, wide, drops, count } = layout(branches);
	const { K, R } = numbers;
	const h = contiguous(gradient);
	const c = plus && contiguous(plus);
	const [B] = x.shape;
	const [dx, da] = [runtime.empty(x.shape), runtime.empty([count, B, R, K])];
	const isWide = wide && (c?.offset ?? 0) % 4 === 0;
	const shares = sharingOn(runtime);
	const groups = backGroups(K, { wide: isWide, shares });
	for (let r0 = 0; r0 < R; r0 += RANKS) {
		const onto = r0 > 0 ? "dx" : c !== undefined && "c";
		const kernel = lowRankBackKernel.of({ wide: isWide, drops, ranks: Math.min(RANKS, R - r0), onto, shares, count });
		kernel.run({ ...buffers, h, dx, da, ...(onto === "c" && { c }) }, { ...numbers, r0 }, [groups, B, 1]);
	}
	return [dx, da];
}

/** low = scale dropout(x) A^T, in float64. */
export function referenceLow({ x, a, keys }: Readonly<Record<string, NdArray>>, { scale, ...attrs }: LowRankAttrs): Float64Array {
	const kept = keys === undefined ? x : dropoutPrimitive.spec.reference({ x, keys }, attrs)[0];
	const [R, K] = a.shape;
	const rows = x.data.length / K;
	const low = new Float64Array(rows * R);
	for (let i = 0; i < rows; i++)
		for (let r = 0; r < R; r++) for (let k = 0; k < K; k++) low[i * R + r] += scale * kept.data[i * K + k] * a.data[r * K + k];
	return low;
}

/** What both forms share in the tests: with a key and without. */
const SIZES = { K: [4, 5, 8], R: [1, 3, 8, 9] };
const ATTRS: LowRankAttrs = { scale: 0.5, p: 0.25, stream: 0 };
const KEYS = { bits: true } as const;

/** dx = scale dropout'(h A), and dA = scale h^T dropout(x), from the gradient h of low. */
function defineLowRankGrad(name: string, drops: boolean): Summing<LowRankAttrs> {
	return defineSumming<LowRankAttrs, string>({
		name,
		signature: `h[..., R], x[..., K], a[R, K]${drops ? ", keys[2]" : ""} -> dx[..., K], da[R, K]`,
		...(drops && { dtypes: { keys: ["u32"] } }),
		attrs: ATTRS,
		forward: ({ inputs: { h, ...inputs }, attrs }, plus) => {
			const [dx, da] = lowsGrad(branch(inputs, attrs), stacked([h]), plus);
			return [dx, entry(da, 0)];
		},
		grad: Object.fromEntries(["h", "x", "a", "keys"].map((operand) => [operand, "missing"])),
		reference: ({ h, x, a, keys }, { scale, ...attrs }) => {
			const [R, K] = a.shape;
			const ones = { shape: x.shape, data: x.data.map(() => 1) };
			const factor = keys === undefined ? ones : dropoutPrimitive.spec.reference({ x: ones, keys }, attrs)[0];
			const [dx, da] = [new Float64Array(x.data.length), new Float64Array(R * K)];
			for (let i = 0; i < dx.length; i++) {
				const [t, k] = [Math.floor(i / K), i % K];
				for (let r = 0; r < R; r++) {
					const part = scale * factor.data[i] * h.data[t * R + r];
					dx[i] += part * a.data[r * K + k];
					da[r * K + k] += part * x.data[i];
				}
			}
			return [
				{ data: dx, shape: x.shape },
				{ data: da, shape: a.shape },
			];
		},
		test: {
			bound: { abs: 2e-4, why: "sums of up to 729 products of size 3" },
			domains: { keys: KEYS },
			sizes: SIZES,
			nonEmpty: ["R", "K"],
		},
	});
}

/** dropout(x), of what operations with and without a key save. */
export const kept = (x: Tensor, keys: Tensor | undefined, { p, stream }: LowRankAttrs): Tensor =>
	keys === undefined ? x : dropoutPrimitive.apply([x, keys], { p, stream })[0];

/** low = scale dropout(x) A^T. */
function defineLowRank(name: string, drops: boolean, gradient: Summing<LowRankAttrs>): Primitive<LowRankAttrs> {
	const own = drops ? ["keys"] : [];
	return definePrimitive<LowRankAttrs, string>({
		name,
		signature: `x[..., K], a[R, K]${drops ? ", keys[2]" : ""} -> low[..., R]`,
		...(drops && { dtypes: { keys: ["u32"] } }),
		attrs: ATTRS,
		forward: ({ inputs, attrs }) => [lowOf(inputs, attrs)],
		grad: {
			x: { saves: ["a", ...own], rule: ({ dy, a, keys }, attrs) => kept(matmul(mul(dy, attrs.scale), a), keys, attrs) },
			a: {
				saves: ["x", ...own],
				rule: ({ dy, x, keys }, attrs, operand) => rowProduct(mul(dy, attrs.scale), kept(x, keys, attrs), operand),
			},
			...(drops && { keys: "none" }),
		},
		together: ({ dy, x, a, keys }, attrs, _, arrived) => {
			const [dx, da] = summed(gradient, [dy, x, a, ...(keys === undefined ? [] : [keys])], arrived.x, attrs);
			return { x: dx, a: da };
		},
		reference: (inputs, attrs) => [{ data: referenceLow(inputs, attrs), shape: [...inputs.x.shape.slice(0, -1), inputs.a.shape[0]] }],
		test: {
			bound: { abs: 2e-4, why: "sums of up to 8 products of size 4" },
			domains: { keys: KEYS },
			sizes: SIZES,
			nonEmpty: ["R", "K"],
		},
	});
}

const [plain, dropped] = [defineLowRankGrad("lowRank.dx", false), defineLowRankGrad("lowRankDropout.dx", true)];
export const { alone: lowRankGradPrimitive, plus: lowRankGradPlusPrimitive } = plain;
export const { alone: lowRankDropoutGradPrimitive, plus: lowRankDropoutGradPlusPrimitive } = dropped;
export const lowRankPrimitive = defineLowRank("lowRank", false, plain);
export const lowRankDropoutPrimitive = defineLowRank("lowRankDropout", true, dropped);

/** What LoRA adds to a linear map of x: scale dropout(x) A^T B^T. */
export interface LowRankBranch {
	/** `[R, in]`, f32. */
	readonly a: Tensor;
	/** `[out, R]`, f32. */
	readonly b: Tensor;
	/** Factor of the branch. */
	readonly scale: number;
	/** Where x is dropped out on the way: keys, stream, and the probability of dropping an element. */
	readonly mask?: { readonly words: Tensor; readonly stream: number; readonly p: number } | undefined;
}

const MASK = optional(instanceOf(Object, "{ words, stream, p }"));

/** Refuses what is no branch, and no tensor to be dropped out. */
export function checkBranch(op: string, x: Tensor, branch: LowRankBranch): void {
	expects(op, { x, branch }, { x: "tensor", branch: "options" });
	const { a, b, scale, mask } = branch;
	expects(op, { "branch.a": a, "branch.b": b }, { "branch.a": "tensor", "branch.b": "tensor" });
	expects(op, { "branch.scale": scale, "branch.mask": mask }, { "branch.scale": "number", "branch.mask": MASK });
	if (mask === undefined) return;
	const { words, stream, p } = mask;
	expects(
		op,
		{ "mask.words": words, "mask.stream": stream, "mask.p": p },
		{ "mask.words": "tensor", "mask.stream": "count", "mask.p": "number" },
	);
}

/** low of a branch of x. */
export function lowRank(x: Tensor, { a, scale, mask }: LowRankBranch): Tensor {
	if (mask === undefined) return lowRankPrimitive.apply([x, a], { scale })[0];
	return lowRankDropoutPrimitive.apply([x, a, mask.words], { scale, p: mask.p, stream: mask.stream })[0];
}
