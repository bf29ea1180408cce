import { FLOATS, INTEGERS } from "../dtype.ts";
import { expects } from "../expects.ts";
import { named } from "../named.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, axesOf, checkType } from "./arguments.ts";
import { div, maskedFill } from "./binary.ts";
import { cast } from "./cast.ts";
import { type ReduceOptions, sum } from "./expand.ts";
import { isnan, logicalNot } from "./unary.ts";

/**
 * Sum over `axes` (one or several; all when left out) of what is not NaN; 0 where there is nothing: numpy's and torch's nansum. Types
 * as of `sum`. NaN gets no gradient.
 * @throws DTypeError for storage types.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const nansum = named("nansum", (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor => {
	expects("nansum", { x, options }, { x: "tensor", options: "options" });
	checkType("nansum", x, [...FLOATS, ...INTEGERS, "bool"]);
	return sum(FLOATS.includes(x.dtype) ? maskedFill(x, isnan(x), 0) : x, axesOf("nansum", x, axes), options);
});

/**
 * Arithmetic mean over `axes` (one or several; all when left out) of what is not NaN; NaN where there is nothing: numpy's and torch's
 * nanmean. f32 or f16 → f32. NaN gets no gradient.
 * @throws DTypeError for other types.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const nanmean = named("nanmean", (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor => {
	expects("nanmean", { x, options }, { x: "tensor", options: "options" });
	checkType("nanmean", x, FLOATS);
	const over = axesOf("nanmean", x, axes);
	const none = isnan(x);
	return div(sum(maskedFill(x, none, 0), over, options), cast(sum(logicalNot(none), over, options), "f32"));
});
