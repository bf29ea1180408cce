import { add, cat, type Device, data, reshape, slice, sum, type Tensor, zeros } from "@hushgrad/tensor";
import { contiguous, defineKernel, definePrimitive, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import type { FixedPointGrid } from "./noise.ts";

/** Coordinates one invocation squares; the parts are then added in a fixed order. */
const CHUNK = 256;

export const squarePartsKernel = defineKernel("dp/squareParts", {
	params: { n: "u32", P: "u32", C: "u32" },
	buffers: { g: reads("f32"), parts: writes("f32") },
	workgroup: 32,
	body: wgsl`
if (index >= p.n) { return; }
let start = index / p.C * p.P + index % p.C * ${CHUNK}u;
let end = min(start + ${CHUNK}u, (index / p.C + 1u) * p.P);
var sum = 0.0;
for (var i = start; i < end; i++) { let v = g_at(i); sum += v * v; }
parts_set(index, sum);`,
});

/** Sums of squares of each record's gradient, in parts of 256 coordinates. */
export const squarePartsPrimitive = definePrimitive({
	name: "dp.squareParts",
	signature: "g![B, P] -> parts[B, C]",
	attrs: {},
	forward: ({ runtime, inputs: { g }, axes: { B, P } }) => {
		const C = Math.ceil(P / CHUNK);
		const parts = runtime.empty([1, B, C]);
		squarePartsKernel.run({ g: contiguous(g), parts }, { n: B * C, P, C }, B * C);
		return [parts];
	},
	grad: { g: "none" },
	reference: ({ g }) => {
		const [B, P] = g.shape;
		const C = Math.ceil(P / CHUNK);
		const part = (b: number, c: number): number =>
			g.data.subarray(b * P + c * CHUNK, Math.min((c + 1) * CHUNK, P) + b * P).reduce((s, v) => s + v * v, 0);
		return [{ data: Float64Array.from({ length: B * C }, (_, i) => part(Math.floor(i / C), i % C)), shape: [B, C] }];
	},
	test: { bound: { abs: 1e-6, ulp: 300, why: "a sum of up to 256 squares" }, sizes: { P: [1, 3, 255, 256, 257, 700] }, nonEmpty: ["B"] },
});

export const clipFactorsKernel = defineKernel("dp/clipFactors", {
	params: { n: "u32", clip: "f32", perGrid: "f32" },
	buffers: { squares: reads("f32"), weights: reads("f32"), factors: writes("f32"), norms: writes("f32") },
	workgroup: 16,
	body: wgsl`
if (index >= p.n) { return; }
let sum = squares_at(index);
let norm = sqrt(sum);
let factor = min(1.0, p.clip / max(norm, 1e-30)) * p.perGrid;
factors_set(index, select(0.0, factor, isFinite(sum) && weights_at(index) > 0.0));
norms_set(index, norm);`,
});

/**
 * Factor of each record, in grid steps: min(1, clip / norm) perGrid where its weight is above 0 (no weight counts for
 * more than one record), else 0; and its norm. A norm that is not finite gives 0; it is recognised by its bits, since WGSL
 * may assume that NaN and infinity do not occur.
 */
export const clipFactorsPrimitive: Primitive<{ clip: number; perGrid: number }> = definePrimitive({
	name: "dp.clipFactors",
	signature: "squares![B], weights![B] -> factors[B], norms[B]",
	attrs: { clip: 1, perGrid: 8 },
	forward: ({ runtime, inputs, axes: { B }, attrs }) => {
		const [squares, weights] = [contiguous(inputs.squares), contiguous(inputs.weights)];
		const [factors, norms] = [runtime.empty([1, B]), runtime.empty([1, B])];
		clipFactorsKernel.run({ squares, weights, factors, norms }, { n: B, ...attrs }, B);
		return [factors, norms];
	},
	grad: { squares: "none", weights: "none" },
	reference: ({ squares, weights }, { clip, perGrid }) => {
		const norms = squares.data.map(Math.sqrt);
		const factors = norms.map((n, i) => (weights.data[i] > 0 && Number.isFinite(n) ? Math.min(1, clip / Math.max(n, 1e-30)) * perGrid : 0));
		return [
			{ data: factors, shape: squares.shape },
			{ data: norms, shape: squares.shape },
		];
	},
	test: {
		bound: { ulp: 12, why: "a root and a quotient" },
		domains: { squares: { range: [0, 4] }, weights: { whole: [0, 3] } },
	},
});

/** WGSL of one record's contribution in whole grid steps. */
const STEPS = "fn stepsOf(f: f32, g: f32) -> i32 { if (f == 0.0) { return 0; } return i32(round(f * g)); }";

export const addClippedKernel = defineKernel("dp/addClipped", {
	params: { P: "u32", B: "u32" },
	buffers: { g: reads("f32"), factors: reads("f32"), sum: writes("i32") },
	workgroup: 64,
	helpers: STEPS,
	body: wgsl`
if (index >= p.P) { return; }
var acc = sum_at(index);
for (var b = 0u; b < p.B; b++) { acc += stepsOf(factors_at(b), g_at(b * p.P + index)); }
sum_set(index, acc);`,
});

/** Halves to the even number, as WGSL's round(). */
const roundEven = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));

/** sum[p] += sum over records of round(factor g[b, p]), in integers, in place. Records of factor 0 are not read. */
export const addClippedPrimitive = definePrimitive({
	name: "dp.addClipped",
	signature: "sum![P], g![B, P], factors![B] -> sum[P]",
	dtypes: { sum: ["i32"] },
	attrs: {},
	forward: ({ inputs, axes: { B, P } }) => {
		addClippedKernel.run({ sum: inputs.sum, g: contiguous(inputs.g), factors: contiguous(inputs.factors) }, { B, P }, P);
		return [];
	},
	grad: { sum: "none", g: "none", factors: "none" },
	reference: ({ sum: total, g, factors }) => {
		const P = total.shape[0];
		const steps = (b: number, p: number): number =>
			factors.data[b] === 0 ? 0 : roundEven(Math.fround(factors.data[b] * g.data[b * P + p]));
		return [{ data: total.data.map((v, p) => factors.data.reduce((s, _, b) => s + steps(b, p), v)), shape: total.shape }];
	},
	test: { bound: { why: "whole numbers" }, domains: { sum: { whole: [-9, 9] }, factors: { range: [0, 100] } } },
});

export const differsKernel = defineKernel("dp/differs", {
	params: { P: "u32", B: "u32", except: "u32" },
	buffers: { g: reads("f32"), factors: reads("f32"), g2: reads("f32"), factors2: reads("f32"), differs: writes("u32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.P) { return; }
var found = 0u;
for (var b = 0u; b < p.B; b++) {
  let at = b * p.P + index;
  let counts = vec2<bool>(factors_at(b) != 0.0, factors2_at(b) != 0.0);
  let isOther = counts.x && bitcast<u32>(g_at(at)) != bitcast<u32>(g2_at(at));
  if (b != p.except && (counts.x != counts.y || isOther)) { found = 1u; }
}
differs_set(index, found);`,
});

/**
 * Whether any record but number `except` has another gradient by a coordinate in two runs, before clipping and bit for bit:
 * clipping would hide what only scales a gradient. Records that count in neither run are left out.
 */
export const differsPrimitive: Primitive<{ except: number }> = definePrimitive({
	name: "dp.differs",
	signature: "g![B, P], factors![B], g2![B, P], factors2![B] -> differs[P]",
	attrs: { except: 0 },
	forward: ({ runtime, inputs, axes: { B, P }, attrs }) => {
		const differs = runtime.empty([1, P], "u32");
		const [g, factors, g2, factors2] = [inputs.g, inputs.factors, inputs.g2, inputs.factors2].map(contiguous);
		differsKernel.run({ g, factors, g2, factors2, differs }, { P, B, ...attrs }, P);
		return [differs];
	},
	grad: { g: "none", factors: "none", g2: "none", factors2: "none" },
	reference: ({ g, factors, g2, factors2 }, { except }) => {
		const [B, P] = g.shape;
		const differs = (b: number, at: number): boolean => {
			const [counts, counts2] = [factors.data[b] !== 0, factors2.data[b] !== 0];
			return counts !== counts2 || (counts && !Object.is(g.data[at], g2.data[at]));
		};
		const data = Float64Array.from({ length: P }, (_, p) => {
			const rows = Array.from({ length: B }, (_, b) => b).filter((b) => b !== except);
			return Number(rows.some((b) => differs(b, b * P + p)));
		});
		return [{ data, shape: [P] }];
	},
	test: {
		bound: { why: "whole numbers" },
		domains: { factors: { whole: [0, 1] }, factors2: { whole: [0, 1] } },
		variants: [{ except: 2 }],
	},
});

/** Rows that blocks of columns are made for, so that how a norm is summed does not hang on the physical batch, up to these. */
const ROWS = 64;

/** Gradients of the records of one physical batch, clipped and ready to be added. */
export interface Clipped {
	/** The gradients before clipping, as blocks of columns side by side: f32 `[B, P_k]`, the P_k adding up to P. */
	readonly blocks: readonly Tensor[];
	/** What a record is scaled by, in grid steps for a gradient of 1: f32 `[B]`; 0 for padding and a norm that is not finite. */
	readonly factors: Tensor;
	/** Norms before clipping: f32 `[B]`, private diagnostics. */
	readonly norms: Tensor;
}

/**
 * Computes what each record of a physical batch is clipped by, over all tensors together (flat clipping): the factor
 * `min(1, clipNorm/‖g‖)/grid`, from f32 norms. `grads` holds one f32 `[B, …]` a tensor, in the order of the parameters; `weights`
 * is f32 `[B]`, 1 for a record and 0 for padding. The columns of several tensors lie in one matrix, as far as one storage binding
 * holds it. Source: Abadi et al. 2016.
 */
export function clip(grads: readonly Tensor[], weights: Tensor, { clipNorm, grid }: FixedPointGrid): Clipped {
	const { device } = weights;
	const B = weights.size;
	const most = device.gpu.limits.maxStorageBufferBindingSize / (4 * Math.max(B, ROWS));
	const groups: Tensor[][] = [];
	let width = Number.POSITIVE_INFINITY;
	for (const g of grads) {
		const columns = g.size / B;
		if (width + columns > most) {
			groups.push([]);
			width = 0;
		}
		width += columns;
		groups[groups.length - 1].push(reshape(g, [B, columns]));
	}
	const blocks = groups.map((group) => cat(group, 1));
	const squares = blocks.map((g) => sum(squarePartsPrimitive.apply([g])[0], [1])).reduce((a, b) => add(a, b));
	const [factors, norms] = clipFactorsPrimitive.apply([squares, weights], { clip: clipNorm, perGrid: 1 / grid });
	return { blocks, factors, norms };
}

/** Calls `f` with each block and the same run of a vector. */
function eachBlock(blocks: readonly Tensor[], vector: Tensor, f: (g: Tensor, part: Tensor) => void): void {
	let start = 0;
	for (const g of blocks) {
		const end = start + g.shape[1];
		f(g, blocks.length === 1 ? vector : slice(vector, 0, start, end));
		start = end;
	}
}

/** The coordinates in which some record but number `except` has another gradient in two runs: 1 there, u32 [P]. */
export function differences(a: Clipped, b: Clipped, except: number): Tensor {
	return cat(a.blocks.map((g, i) => differsPrimitive.apply([g, a.factors, b.blocks[i], b.factors], { except })[0]));
}

/**
 * The sum of clipped per-record gradients of one logical batch, i32 `[P]`, in whole steps of a power-of-two grid.
 *
 * Guarantee: adding or removing one record, which is added once, changes the sum by at most the `maxGradNorm` of the grid in L2.
 * A record whose norm is not finite, and a padding row, contribute exactly 0. Integer addition makes the sum independent of how
 * the batch is split and ordered. It holds up to `FixedPointGrid.maxSamples(0)` records: more may overflow, which is not checked
 * here. The sum itself is private until `addNoise`.
 */
export class BoundedSum {
	readonly #grid: FixedPointGrid;
	readonly #sum: Tensor;

	/** `length` is the number of trainable coordinates P; `grid` comes from `fixedPointGrid(maxGradNorm, P)`. */
	constructor(device: Device, length: number, grid: FixedPointGrid) {
		this.#grid = grid;
		this.#sum = device.keep(zeros(device, [length], "i32"));
	}

	/** Clips the records of one physical batch and adds them; arguments and result are those of `clip`. */
	add(grads: readonly Tensor[], weights: Tensor): Clipped {
		const clipped = clip(grads, weights, this.#grid);
		eachBlock(clipped.blocks, this.#sum, (g, part) => addClippedPrimitive.apply([part, g, clipped.factors]));
		return clipped;
	}

	/** Reads the sum, in grid steps `[P]`: private, before noise. */
	async read(): Promise<Int32Array> {
		return (await data(this.#sum)) as Int32Array;
	}

	/** Releases the sum. */
	dispose(): void {
		this.#sum.dispose();
	}
}
