import type { Tensor } from "../tensor.ts";
import { mulScalar } from "./elementwise.ts";
import { type ReduceOptions, reduceAxes, sum } from "./expand.ts";

/** Arithmetic mean over `axes` (all when left out). */
export function mean(x: Tensor, axes?: readonly number[], options: ReduceOptions = {}): Tensor {
	const count = reduceAxes("mean", x, axes).axes.reduce((n, a) => n * x.shape[a], 1);
	return mulScalar(sum(x, axes, options), 1 / count);
}
