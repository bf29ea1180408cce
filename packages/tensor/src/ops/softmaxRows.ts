import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import type { Bound } from "../primitive.ts";
import { sizeOf } from "../shape.ts";
import { contiguous } from "./contiguous.ts";
import { laneCount, MAX, type RowVariant, rowKernel, rowsOf, SUM } from "./rowKernel.ts";

/** What f32 may be off by. */
export const EXP_SUM: Bound = { ulp: 8, abs: 2e-6, why: "exp and log within 4 ULP, of differences up to 7 that are rounded" };

/** Largest value `top` (taken as 0 where it is infinite, so that x - top is no NaN) and `total` = sum exp(x - top). */
const ROW = wgsl`
let at = row * p.N;
var top = x_at(at + min(own, p.N - 1u));
for (var i = own; i < p.N; i += LANES) { top = nanMax(top, x_at(at + i)); }
top = rowMax(own, top);
let shift = select(top, 0.0, isInf(top));
var sum = vec2f(0.0);
for (var i = own; i < p.N; i += LANES) { sum = added(sum, exp(x_at(at + i) - shift), p.rows >> 31u); }
let total = rowSum(own, sum).x;`;

/** WGSL that stores to y what each operation makes of a row. */
const RESULTS = {
	softmax: wgsl`for (var i = own; i < p.N; i += LANES) { y_set(at + i, exp(x_at(at + i) - shift) / total); }`,
	logSoftmax: wgsl`for (var i = own; i < p.N; i += LANES) { y_set(at + i, x_at(at + i) - shift - log(total)); }`,
	logsumexp: wgsl`if (own == 0u) { y_set(row, select(shift + log(total), top, isInf(top) || isNan(top))); }`,
};

export const softmaxRowsKernel = defineKernel("softmaxRows", ({ op, ...variant }: { op: keyof typeof RESULTS } & RowVariant) =>
	rowKernel(
		{
			params: { N: "u32" },
			buffers: { x: reads("f32"), y: writes("f32") },
			joins: { rowMax: MAX, rowSum: SUM },
			body: wgsl`${ROW}\n${RESULTS[op]}`,
		},
		variant,
	),
);

/** Runs one of the operations on each row; `shape` is that of the result. */
export function softmaxRows(op: keyof typeof RESULTS, input: Physical, shape: readonly number[]): Physical {
	const x = contiguous(input);
	const y = x.runtime.empty(shape);
	const rows = sizeOf(x.shape.slice(0, -1));
	const N = x.shape[x.rank - 1];
	const variant = rowsOf(x.runtime, N);
	softmaxRowsKernel.of({ op, ...variant }).run({ x, y }, { rows, N }, laneCount(rows, variant));
	return y;
}

/** The logarithm of the sum of exponentials, in float64. */
export const logTotal = (row: Float64Array): number => {
	const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
	if (!Number.isFinite(top)) return top;
	return top + Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
};
