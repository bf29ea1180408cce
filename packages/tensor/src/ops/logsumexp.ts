import { FLOATS } from "../dtype.ts";
import { definePrimitive } from "../primitive.ts";
import { reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, checkType } from "./arguments.ts";
import { mul, sub } from "./binary.ts";
import { filled } from "./create.ts";
import { overAxes, type ReduceOptions } from "./expand.ts";
import { EXP_SUM, logTotal, softmaxRows } from "./softmaxRows.ts";
import { exp } from "./unary.ts";
import { unsqueeze } from "./view.ts";
import { inF32 } from "./widen.ts";

export const logsumexpPrimitive = definePrimitive({
	name: "logsumexp",
	signature: "x[..., N] -> y[...]",
	attrs: {},
	forward: ({ runtime, inputs: { x }, axes: { N } }) => {
		const shape = x.shape.slice(0, -1);
		return [N === 0 ? filled(runtime, shape, Number.NEGATIVE_INFINITY, "f32") : softmaxRows("logsumexp", x, shape)];
	},
	grad: {
		x: { saves: ["x", "y"], rule: ({ x, y, dy }) => mul(unsqueeze(dy, -1), exp(sub(x, unsqueeze(y, -1)))) },
	},
	reference: ({ x }) => [reduceRows(x, logTotal)],
	test: { bound: EXP_SUM, nonEmpty: ["N"] },
});

/**
 * ln ∑ eˣ over `axes` (one or several; all when left out), computed from the largest value down, without overflow. −∞ of nothing and of nothing
 * but −∞; ∞ where one value is ∞. The gradient is the softmax, NaN where that is.
 * @throws DTypeError unless x is f32 or f16; the result is f32.
 * @throws ValueError when an axis is out of range or named twice.
 */
export function logsumexp(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
	checkType("logsumexp", x, FLOATS);
	return overAxes("logsumexp", inF32(x), axes, options, (v) => logsumexpPrimitive.apply([v])[0]);
}
