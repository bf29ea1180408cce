import { FLOATS } from "../dtype.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { mul, sub } from "./binary.ts";
import { alongAxis, sum } from "./expand.ts";
import { EXP_SUM, logTotal, softmaxRows } from "./softmaxRows.ts";
import { inF32 } from "./widen.ts";

export const softmaxPrimitive = definePrimitive({
	name: "softmax",
	signature: "x[..., N] -> y[..., N]",
	attrs: {},
	forward: ({ inputs: { x } }) => [softmaxRows("softmax", x, x.shape)],
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

/**
 * exp(x) over the sum of exp(x) along an axis (the last when left out), computed from the largest value down; in f32, also for f16. −∞ gives 0; a
 * slice with ∞ or NaN, or of nothing but −∞, has NaN.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when `axis` is out of range.
 */
export function softmax(x: Tensor, axis = -1): Tensor {
	checkType("softmax", x, FLOATS);
	return alongAxis("softmax", inF32(x), axis, (v) => softmaxPrimitive.apply([v])[0]);
}
