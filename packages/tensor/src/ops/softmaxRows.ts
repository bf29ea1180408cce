import type { Bound } from "../primitive.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";

/** What f32 may be off by. */
export const EXP_SUM: Bound = { ulp: 24, abs: 2e-6, why: "exp within 3 + 2|x| ULP, |x| <= 4, log within 2^-21, sums of 9" };

/** Largest value `top` (taken as 0 where it is infinite, so that x - top is no NaN) and `total` = sum exp(x - top). */
const ROW = `
if (index >= p.rows) { return; }
let at = index * p.N;
var top = x_at(at);
for (var i = 1u; i < p.N; i++) { top = nanMax(top, x_at(at + i)); }
let shift = select(top, 0.0, isInf(top));
var total = 0.0;
for (var i = 0u; i < p.N; i++) { total += safeExp(x_at(at + i) - shift); }`;

/** Runs a kernel for each row; `result` is WGSL that stores to y. */
export function softmaxRows(key: string, inputs: Tensor, shape: readonly number[], result: string): Tensor {
	const x = contiguous(inputs);
	const N = x.shape[x.rank - 1];
	const y = x.device.empty(shape);
	const count = x.shape.slice(0, -1).reduce((n, d) => n * d, 1);
	x.device.run(
		key,
		() => ({
			params: { rows: "u32", N: "u32" },
			buffers: { x: { dtype: "f32", access: "read" }, y: { dtype: "f32", access: "write" } },
			workgroup: [16, 1, 1],
			body: `${ROW}\n${result}`,
		}),
		[x, y],
		[count, N],
		count,
	);
	return y;
}

/** The logarithm of the sum of exponentials, in float64. */
export const logTotal = (row: Float64Array): number => {
	const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
	if (!Number.isFinite(top)) return top;
	return top + Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
};
