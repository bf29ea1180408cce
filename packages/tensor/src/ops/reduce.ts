import { FLOATS } from "../dtype.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, checkType } from "./arguments.ts";
import { eq, maskedFill, mul, sub } from "./binary.ts";
import { full, fullLike } from "./create.ts";
import { type ReduceOptions, reduceAxes, sum } from "./expand.ts";
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
export function variance(x: Tensor, axes?: Axes, { correction = 1, keepDim = false }: VarianceOptions = {}): Tensor {
	return varianceOf("variance", x, axes, { correction, keepDim });
}

function varianceOf(
	op: string,
	x: Tensor,
	axes: Axes | undefined,
	{ correction, keepDim }: { correction: number; keepDim: boolean },
): Tensor {
	const count = countOf(op, x, axes);
	const centred = sub(x, mean(x, axes, { keepDim: true }));
	const squares = sum(square(centred), axes, { keepDim });
	return count > correction ? mul(squares, 1 / (count - correction)) : fullLike(squares, Number.NaN);
}

/**
 * Square root of the {@link variance} over `axes` (all when left out). Where all values are equal it is 0, and its gradient too.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const std = (x: Tensor, axes?: Axes, { correction = 1, keepDim = false }: VarianceOptions = {}): Tensor =>
	smoothRoot(varianceOf("std", x, axes, { correction, keepDim }), sqrt);

/** A root of what is not negative, with gradient 0 at 0, where the root has none. */
export function smoothRoot(x: Tensor, root: (x: Tensor) => Tensor): Tensor {
	const none = eq(x, full(x.device, [], 0));
	return maskedFill(root(maskedFill(x, none, 1)), none, 0);
}
