import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import { normalizeAxis, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf, checkType } from "./arguments.ts";
import { cast } from "./cast.ts";
import { contiguous } from "./contiguous.ts";
import { zeros } from "./create.ts";
import { scatterAddPrimitive } from "./indexing.ts";
import { slice } from "./slice.ts";
import { reshape, transpose } from "./view.ts";

/** WGSL of whole numbers in the order of a dtype's values, NaN above all; and whether `key` is that of NaN. */
export function orderKey(dtype: DType, value: string): { code: string; nanKey: string } {
	if (FLOATS.includes(dtype)) return { code: `orderOf(${value})`, nanKey: "key == 0xffffffffu" };
	return { code: dtype === "i32" ? `bitcast<u32>(${value}) ^ 0x80000000u` : value, nanKey: "false" };
}

export const sortKeysKernel = defineKernel("sort/keys", ({ dtype, down }: { dtype: DType; down: boolean }) => ({
	params: { n: "u32", N: "u32" },
	buffers: { x: reads(dtype), keys: writes("u32"), places: writes("i32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
keys_set(index, ${down ? "~" : ""}(${orderKey(dtype, "x_at(index)").code}));
places_set(index, i32(index % p.N));`,
}));

/**
 * Merges pairs of sorted runs of length `run`: every element finds its place by counting, with a binary search, the
 * elements of the other run that come before it. Equal keys keep their order.
 */
export const sortMergeKernel = defineKernel("sort/merge", {
	params: { n: "u32", N: "u32", run: "u32" },
	buffers: { keys: reads("u32"), places: reads("i32"), keys1: writes("u32"), places1: writes("i32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let row = index / p.N * p.N;
let i = index - row;
let block = i / p.run;
let isRight = (block & 1u) == 1u;
let other = select(block + 1u, block - 1u, isRight) * p.run;
var lo = min(other, p.N);
var hi = min(other + p.run, p.N);
let first = lo;
let key = keys_at(index);
while (lo < hi) {
  let mid = (lo + hi) / 2u;
  let k = keys_at(row + mid);
  if (k < key || (isRight && k == key)) { lo = mid + 1u; } else { hi = mid; }
}
let pair = (block & ~1u) * p.run;
let to = row + pair + (i - block * p.run) + (lo - first);
keys1_set(to, key);
places1_set(to, places_at(index));`,
});

export const sortPickKernel = defineKernel("sort/pick", ({ dtype }: { dtype: DType }) => ({
	params: { n: "u32", N: "u32" },
	buffers: { x: reads(dtype), places: reads("i32"), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`if (index < p.n) { y_set(index, x_at(index / p.N * p.N + u32(places_at(index)))); }`,
}));

/** Where the elements of each row of x stand once they are sorted. */
function sortedPlaces(x: Physical, N: number, down: boolean): Physical {
	const { runtime, shape, size: n } = x;
	const makeRuns = () => ({ keys: runtime.empty(shape, "u32"), places: runtime.empty(shape, "i32") });
	let runs = makeRuns();
	sortKeysKernel.of({ dtype: x.dtype, down }).run({ x, ...runs }, { n, N }, n);
	for (let run = 1; run < N; run *= 2) {
		const merged = makeRuns();
		sortMergeKernel.run({ ...runs, keys1: merged.keys, places1: merged.places }, { n, N, run }, n);
		runs = merged;
	}
	return runs.places;
}

export const sortPrimitive = definePrimitive<{ descending: boolean }>({
	name: "sort",
	signature: "x[..., N] -> values[..., N], indices[..., N]",
	dtypes: { x: [...FLOATS, ...INTEGERS] },
	attrs: { descending: false },
	forward: ({ runtime, inputs, axes: { N }, attrs: { descending } }) => {
		const x = contiguous(inputs.x);
		const places = sortedPlaces(x, N, descending);
		const y = runtime.empty(x.shape, x.dtype);
		sortPickKernel.of({ dtype: x.dtype }).run({ x, places, y }, { n: x.size, N }, x.size);
		return [y, places];
	},
	grad: {
		x: {
			saves: ["indices"],
			rule: ({ dy, indices }, _, { shape }) => scatterAddPrimitive.apply([zeros(dy.device, shape), indices, cast(dy, "f32")])[0],
		},
	},
	reference: ({ x }, { descending }) => {
		const key = (v: number): number => (Number.isNaN(v) ? Number.POSITIVE_INFINITY : v);
		const compare = (a: number, b: number): number => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
		const order = (row: Float64Array): number[] =>
			[...row.keys()].sort((i, j) => (descending ? compare(row[j], row[i]) : compare(row[i], row[j])) || i - j);
		return [mapRows(x, (row) => order(row).map((i) => row[i])), mapRows(x, order)];
	},
	test: { bound: { why: "moves values" }, variants: [{ descending: true }] },
});

/** Values that were chosen or put in order, and where they stood. */
export interface Sorted {
	/** The values, of x's dtype. */
	readonly values: Tensor;
	/** Where each value stood along the axis, i32; no gradient. */
	readonly indices: Tensor;
}

/** Options of `sort` and `argsort`. */
export interface SortOptions {
	/** The last when left out. */
	readonly axis?: number | undefined;
	/** Downwards; false when left out. */
	readonly descending?: boolean | undefined;
}

/**
 * Sorts along an axis (the last when left out), upwards unless `descending`. Equal values keep their order, −0 and 0 too; NaN
 * counts as the largest. f32, f16, i32 or u32. The gradient goes back to where the values stood.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export const sort = (x: Tensor, options: SortOptions = {}): Sorted => sorted("sort", x, options);

/**
 * Where the values of an axis (the last when left out) stand once they are sorted as `sort` does: i32, no gradient.
 * @throws DTypeError unless x is f32, f16, i32 or u32.
 * @throws ValueError when `axis` is out of range.
 */
export const argsort = (x: Tensor, options: SortOptions = {}): Tensor => sorted("argsort", x, options).indices;

function sorted(op: string, x: Tensor, options: SortOptions): Sorted {
	checkType(op, x, [...FLOATS, ...INTEGERS]);
	const { axis = -1, descending = false } = optionsOf(op, options, { axis: "whole?", descending: "flag?" });
	const at = axisOf(op, axis, x);
	const rows = x.rank === 0 ? reshape(x, [1]) : transpose(x, at, -1);
	const back = (t: Tensor): Tensor => (x.rank === 0 ? reshape(t, []) : transpose(t, at, -1));
	const [values, indices] = sortPrimitive.apply([rows], { descending });
	return { values: back(values), indices: back(indices) };
}

/** Options of `topk`. */
export interface TopkOptions {
	/** The last when left out. */
	readonly axis?: number | undefined;
	/** The largest values, or else the smallest; true when left out. */
	readonly largest?: boolean | undefined;
}

/**
 * The k largest values along an axis (the last when left out), largest first; with `largest` false the k smallest, smallest
 * first. The first of equal values come first; NaN counts as the largest. Sorts the whole axis. f32, f16, i32 or u32.
 * @throws ValueError unless 0 ≤ k ≤ extent, or when `axis` is out of range.
 * @throws DTypeError for other types.
 */
export function topk(x: Tensor, k: number, options: TopkOptions = {}): Sorted {
	expects("topk", { x, k }, { x: "tensor", k: "whole" });
	const { axis = -1, largest = true } = optionsOf("topk", options, { axis: "whole?", largest: "flag?" });
	const at = normalizeAxis("topk", axis, x.rank);
	if (k < 0 || k > x.shape[at]) {
		throw new ValueError("topk/k", `topk: k is ${k}, axis ${axis} of ${showShape(x.shape)} has ${x.shape[at]} values`, { op: "topk" });
	}
	const { values, indices } = sorted("topk", x, { axis: at, descending: largest });
	return { values: slice(values, at, 0, k), indices: slice(indices, at, 0, k) };
}
