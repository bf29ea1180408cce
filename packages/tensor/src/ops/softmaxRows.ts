import { defineKernel } from "../gpu/defineKernel.ts";
import { type BufferSpec, reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import type { Bound } from "../primitive.ts";
import { sizeOf } from "../shape.ts";
import { contiguous, materialize } from "./contiguous.ts";
import { laneCount, MAX, type RowVariant, rowKernel, rowsOf, SUM } from "./rowKernel.ts";

/** What f32 may be off by. */
export const EXP_SUM: Bound = { ulp: 8, abs: 2e-6, why: "exp and log within 4 ULP, of differences up to 7 that are rounded" };

/** Functions of what is read at once: an element, or four where a row has a multiple of them. */
const ONE = wgsl`fn valueAt(i: u32) -> f32 { return x_at(i); }
fn largest(a: f32, b: f32) -> f32 { return nanMax(a, b); }
fn exps(v: f32) -> f32 { return exp(v); }
fn topOf(v: f32) -> f32 { return v; }
fn sumOf(v: f32) -> f32 { return v; }`;
const FOUR = wgsl`fn valueAt(i: u32) -> vec4f { return x_at4(i); }
fn largest(a: vec4f, b: vec4f) -> vec4f { return vec4f(nanMax(a.x, b.x), nanMax(a.y, b.y), nanMax(a.z, b.z), nanMax(a.w, b.w)); }
fn exps(v: vec4f) -> vec4f { return vec4f(exp(v.x), exp(v.y), exp(v.z), exp(v.w)); }
fn topOf(v: vec4f) -> f32 { return nanMax(nanMax(v.x, v.y), nanMax(v.z, v.w)); }
fn sumOf(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }`;

/** Part number `row` of rows that have C parts of `most`: its elements from `at` to `end`. */
const PLACE = wgsl`let start = row / p.C * p.N;
let at = start + row % p.C * p.most;
let end = min(at + p.most, start + p.N);`;

/** Largest value `top` of the part, `shift` (0 where it is infinite, so that x - shift is no NaN) and `total` = sum exp(x - shift). */
const OF_PART = wgsl`var best = valueAt(min(at + own, end - 1u));
for (var i = at + own; i < end; i += LANES) { best = largest(best, valueAt(i)); }
let top = rowMax(own, topOf(best));
let shift = select(top, 0.0, isInf(top));
var sum = vec2f(0.0);
for (var i = at + own; i < end; i += LANES) { sum = added(sum, sumOf(exps(valueAt(i) - shift)), p.rows >> 31u); }
let total = rowSum(own, sum).x;`;

/** The same of the row, from those of its parts. */
const OF_PARTS = wgsl`let first = row / p.C * p.C;
var best = tops_at(first + min(own, p.C - 1u));
for (var c = own; c < p.C; c += LANES) { best = nanMax(best, tops_at(first + c)); }
let top = rowMax(own, best);
let shift = select(top, 0.0, isInf(top));
var sum = vec2f(0.0);
for (var c = own; c < p.C; c += LANES) { sum = added(sum, totals_at(first + c) * exp(tops_at(first + c) - shift), p.rows >> 31u); }
let total = rowSum(own, sum).x;`;

/** WGSL that stores to y what each operation makes of a row. */
const RESULTS = {
	softmax: wgsl`for (var i = at + own; i < end; i += LANES) { store(i, exps(valueAt(i) - shift) / total); }`,
	logSoftmax: wgsl`let logarithm = log(total);
for (var i = at + own; i < end; i += LANES) { store(i, valueAt(i) - shift - logarithm); }`,
	logsumexp: wgsl`if (own == 0u && at == start) { y_set(row / p.C, select(shift + log(total), top, isInf(top) || isNan(top))); }`,
};
type Operation = keyof typeof RESULTS;

/** Numbers are of elements, or of fours. */
const PARAMS = { N: "u32", C: "u32", most: "u32" } as const;
const JOINS = { rowMax: MAX, rowSum: SUM };
type Variant = { fours: boolean } & RowVariant;

/** The first pass over rows that have several parts. */
export const softmaxPartsKernel = defineKernel("softmaxRows/parts", ({ fours, ...variant }: Variant) =>
	rowKernel(
		{
			params: PARAMS,
			buffers: { x: reads("f32", fours ? 4 : 1), tops: writes("f32"), totals: writes("f32") },
			joins: JOINS,
			helpers: fours ? FOUR : ONE,
			body: wgsl`${PLACE}\n${OF_PART}\nif (own == 0u) { tops_set(row, top); totals_set(row, total); }`,
		},
		variant,
	),
);

/** What the first pass found, where there was one. */
const FOUND: Readonly<Record<string, BufferSpec>> = { tops: reads("f32"), totals: reads("f32") };

export const softmaxRowsKernel = defineKernel(
	"softmaxRows",
	({ op, last, fours, ...variant }: { op: Operation; last: boolean } & Variant) => {
		const lanes = fours ? 4 : 1;
		const isOfRows = op === "logsumexp";
		const store = fours ? "fn store(i: u32, v: vec4f) { y_set4(i, v); }" : "fn store(i: u32, v: f32) { y_set(i, v); }";
		return rowKernel(
			{
				params: PARAMS,
				buffers: { ...{ x: reads("f32", lanes), y: writes("f32", isOfRows ? 1 : lanes) }, ...(last ? FOUND : undefined) },
				joins: JOINS,
				helpers: `${fours ? FOUR : ONE}\n${isOfRows ? "" : store}`,
				body: wgsl`${PLACE}\n${last ? OF_PARTS : OF_PART}\n${RESULTS[op]}`,
			},
			variant,
		);
	},
);

/** Values of a part of a row; one of up to twice as many has one part alone. */
const PART = { cpu: 4096, gpu: 8192 } as const;

/**
 * Runs one of the operations on each row; `shape` is that of the result. Long rows are shared out in parts, in two passes: how is by
 * their length alone, so that no row changes with how many there are.
 */
export function softmaxRows(op: Operation, input: Physical, shape: readonly number[]): Physical {
	const rows = sizeOf(input.shape.slice(0, -1));
	const length = input.shape[input.rank - 1];
	const fours = length % 4 === 0;
	const x = fours && input.offset % 4 !== 0 ? materialize(input) : contiguous(input);
	const { runtime } = x;
	const variant = { fours, ...rowsOf(runtime, length) };
	const part = PART[variant.lanes === false ? "cpu" : "gpu"];
	const C = length > 2 * part ? Math.ceil(length / part) : 1;
	const width = fours ? 4 : 1;
	const sizes = { rows: rows * C, N: length / width, C, most: (C > 1 ? part : length) / width };
	const invocations = laneCount(sizes.rows, variant);
	const found = C > 1 ? { tops: runtime.empty([sizes.rows]), totals: runtime.empty([sizes.rows]) } : undefined;
	if (found !== undefined) softmaxPartsKernel.of(variant).run({ x, ...found }, sizes, invocations);
	const y = runtime.empty(shape);
	softmaxRowsKernel.of({ op, last: found !== undefined, ...variant }).run({ x, y, ...found }, sizes, invocations);
	return y;
}

/** The logarithm of the sum of exponentials, in float64. */
export const logTotal = (row: Float64Array): number => {
	const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
	if (!Number.isFinite(top)) return top;
	return top + Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
};
