import { FLOATS } from "../dtype.ts";
import { optionsOf } from "../expects.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, checkType } from "./arguments.ts";
import { eq, maskedFill, mul, sub } from "./binary.ts";
import { full, fullLike } from "./create.ts";
import { REDUCING, type ReduceOptions, reduceAxes, sum } from "./expand.ts";
import { sqrt, square } from "./unary.ts";

/** The number of values that go into each result. */
function countOf(op: string, x: Tensor, axes: Axes | undefined): number {
	checkType(op, x, FLOATS);
	return reduceAxes(op, x, axes).axes.reduce((n, a) => n * x.shape[a], 1);
}

/**
 * Arithmetic mean over `axes` (one or several; all when left out); NaN where there is nothing to average. f32 or f16 → f32.
 * @throws DTypeError for other types: whole numbers are cast first.
 * @throws ValueError when an axis is out of range or named twice.
 */
export function mean(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
	const count = countOf("mean", x, axes);
	optionsOf("mean", options, REDUCING);
	const total = sum(x, axes, options);
	return count === 0 ? fullLike(total, Number.NaN) : mul(total, 1 / count);
}

/** Options of `variance` and `std`. */
export interface VarianceOptions extends ReduceOptions {
	/** Subtracted from the number of values: 1 (Bessel's correction) when left out, 0 for the mean of squares. */
	readonly correction?: number | undefined;
}

/**
 * Mean squared distance from the mean over `axes` (all when left out), ∑ (x − mean)² / (n − correction), in two passes; NaN
 * unless n > correction. f32 or f16 → f32. torch's `var`, a word that JavaScript reserves.
 * @throws DTypeError for other types.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const variance = (x: Tensor, axes?: Axes, options: VarianceOptions = {}): Tensor => varianceOf("variance", x, axes, options);

function varianceOf(op: string, x: Tensor, axes: Axes | undefined, options: VarianceOptions): Tensor {
	const count = countOf(op, x, axes);
	const { correction = 1, keepDim = false } = optionsOf(op, options, { ...REDUCING, correction: "number?" });
	const centred = sub(x, mean(x, axes, { keepDim: true }));
	const squares = sum(square(centred), axes, { keepDim });
	return count > correction ? mul(squares, 1 / (count - correction)) : fullLike(squares, Number.NaN);
}

/**
 * Square root of the {@link variance} over `axes` (all when left out). Where all values are equal it is 0, and its gradient too.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const std = (x: Tensor, axes?: Axes, options: VarianceOptions = {}): Tensor => smoothRoot(varianceOf("std", x, axes, options), sqrt);

/** A root of what is not negative, with gradient 0 at 0, where the root has none. */
export function smoothRoot(x: Tensor, root: (x: Tensor) => Tensor): Tensor {
	const none = eq(x, full(x.device, [], 0));
	return maskedFill(root(maskedFill(x, none, 1)), none, 0);
}
