import { definePrimitive, type NdArray } from "../primitive.ts";
import { mapRows, reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { mul, sub } from "./binary.ts";
import { contiguous } from "./copy.ts";
import { alongAxis, overAxes, type ReduceOptions, sum } from "./expand.ts";
import { exp } from "./unary.ts";
import { unsqueeze } from "./view.ts";

const EXP_SUM = { ulp: 24, abs: 2e-6, why: "exp within 3 + 2|x| ULP, |x| <= 4, log within 2^-21, sums of 9" };

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
function rows(key: string, inputs: Tensor, shape: readonly number[], result: string): Tensor {
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

const logTotal = (row: Float64Array): number => {
	const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
	if (!Number.isFinite(top)) return top;
	return top + Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
};

export const softmaxPrimitive = definePrimitive({
	name: "softmax",
	signature: "x[..., N] -> y[..., N]",
	attrs: {},
	forward: ({ inputs: { x } }) => [
		rows("softmax", x, x.shape, "for (var i = 0u; i < p.N; i++) { y_set(at + i, safeExp(x_at(at + i) - shift) / total); }"),
	],
	grad: {
		x: { saves: ["y"], rule: ({ y, dy }) => mul(y, sub(dy, sum(mul(y, dy), [-1], { keepDim: true }))) },
	},
	reference: ({ x }) => [
		mapRows(x, (row) => {
			const total = logTotal(row);
			return row.map((v) => Math.exp(v - total));
		}),
	],
	test: { bound: EXP_SUM },
});

export const logSoftmaxPrimitive = definePrimitive({
	name: "logSoftmax",
	signature: "x[..., N] -> y[..., N]",
	attrs: {},
	forward: ({ inputs: { x } }) => [
		rows("logSoftmax", x, x.shape, "for (var i = 0u; i < p.N; i++) { y_set(at + i, x_at(at + i) - shift - log(total)); }"),
	],
	grad: {
		x: { saves: ["y"], rule: ({ y, dy }) => sub(dy, mul(exp(y), sum(dy, [-1], { keepDim: true }))) },
	},
	reference: ({ x }) => [
		mapRows(x, (row) => {
			const total = logTotal(row);
			return row.map((v) => v - total);
		}),
	],
	test: { bound: EXP_SUM },
});

export const logsumexpPrimitive = definePrimitive({
	name: "logsumexp",
	signature: "x[..., N] -> y[...]",
	attrs: {},
	forward: ({ inputs: { x } }) => [
		rows("logsumexp", x, x.shape.slice(0, -1), "y_set(index, select(shift + log(total), top, isInf(top) || isNan(top)));"),
	],
	grad: {
		x: { saves: ["x", "y"], rule: ({ x, y, dy }) => mul(unsqueeze(dy, -1), exp(sub(x, unsqueeze(y, -1)))) },
	},
	reference: ({ x }): NdArray[] => [reduceRows(x, logTotal)],
	test: { bound: EXP_SUM, nonEmpty: ["N"] },
});

/** exp(x) over the sum of exp(x) along an axis, computed from the largest value down. */
export const softmax = (x: Tensor, axis = -1): Tensor => alongAxis("softmax", x, axis, (v) => softmaxPrimitive.apply([v])[0]);

/** Logarithm of the softmax along an axis. */
export const logSoftmax = (x: Tensor, axis = -1): Tensor => alongAxis("logSoftmax", x, axis, (v) => logSoftmaxPrimitive.apply([v])[0]);

/** log(sum(exp(x))) over `axes` (all when left out), computed from the largest value down. */
export const logsumexp = (x: Tensor, axes?: readonly number[], { keepDim = false }: ReduceOptions = {}): Tensor =>
	overAxes("logsumexp", x, axes, keepDim, (v) => logsumexpPrimitive.apply([v])[0]);
