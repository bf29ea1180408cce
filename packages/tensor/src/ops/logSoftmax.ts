import { FLOATS } from "../dtype.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { mul, sub } from "./binary.ts";
import { alongAxis, sum } from "./expand.ts";
import { EXP_SUM, logTotal, softmaxRows } from "./softmaxRows.ts";
import { exp } from "./unary.ts";
import { inF32 } from "./widen.ts";

export const logSoftmaxPrimitive = definePrimitive({
	name: "logSoftmax",
	signature: "x[..., N] -> y[..., N]",
	attrs: {},
	forward: ({ inputs: { x } }) => [softmaxRows("logSoftmax", x, x.shape)],
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

/**
 * x − ln ∑ eˣ along an axis (the last when left out): the logarithm of the softmax, computed from the largest value down,
 * without overflow; in f32, also for f16. −∞ stays −∞; a slice of nothing but −∞ gives NaN.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when `axis` is out of range.
 */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
	checkType("logSoftmax", x, FLOATS);
	return alongAxis("logSoftmax", inF32(x), axis, (v) => logSoftmaxPrimitive.apply([v])[0]);
}
