import { FLOATS } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { mul, sub } from "./binary.ts";
import { fullLike } from "./create.ts";
import { type ReduceOptions, reduceAxes, sum } from "./expand.ts";
import { sqrt, square } from "./unary.ts";

/** The number of values that are averaged. */
function countOf(op: string, x: Tensor, axes: readonly number[] | undefined): number {
	if (!FLOATS.includes(x.dtype)) {
		throw new DTypeError("op/dtype", `${op}: x is ${x.dtype} ${showShape(x.shape)}, expected f32 or f16`, {
			op,
			hint: "convert it with cast()",
		});
	}
	return reduceAxes(op, x, axes).axes.reduce((n, a) => n * x.shape[a], 1);
}

/**
 * Arithmetic mean over `axes` (all when left out); NaN where there is nothing to average. f32 or f16 → f32.
 * @throws DTypeError for other types: whole numbers are cast first.
 * @throws ValueError when an axis is out of range or named twice.
 */
export function mean(x: Tensor, axes?: readonly number[], options: ReduceOptions = {}): Tensor {
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
export function variance(x: Tensor, axes?: readonly number[], { correction = 1, keepDim = false }: VarianceOptions = {}): Tensor {
	const count = countOf("variance", x, axes);
	const centred = sub(x, mean(x, axes, { keepDim: true }));
	const squares = sum(square(centred), axes, { keepDim });
	return count > correction ? mul(squares, 1 / (count - correction)) : fullLike(squares, Number.NaN);
}

/**
 * Square root of the {@link variance} over `axes` (all when left out). Where all values are equal the gradient is NaN.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const std = (x: Tensor, axes?: readonly number[], options: VarianceOptions = {}): Tensor => sqrt(variance(x, axes, options));
