import { FLOATS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import type { Tensor } from "../tensor.ts";
import { amax, amin } from "./amax.ts";
import { type Axes, checkType } from "./arguments.ts";
import { div, eq, maskedFill, maximum, pow } from "./binary.ts";
import { cast } from "./cast.ts";
import { full } from "./create.ts";
import { REDUCING, type ReduceOptions, reduceAxes, sum } from "./expand.ts";
import { smoothRoot } from "./reduce.ts";
import { countNonzero } from "./truth.ts";
import { abs, sqrt, square } from "./unary.ts";

/** Options of `norm`. */
export interface NormOptions extends ReduceOptions {
	/** Which norm: 2 when left out; 1, ±Infinity (the largest or smallest |x|), 0 (how many are not 0), or any other number. */
	readonly p?: number | undefined;
}

/**
 * The p-norm over `axes` (one or several; all when left out, as one vector): (∑ |x|ᵖ)^(1/p). f32 or f16 → f32; squares are added up
 * as they are, so that values beyond 1.8e19 overflow. Where the norm is 0 its gradient is 0, as torch's; largest and smallest
 * share it among equals.
 * @throws DTypeError for other types.
 * @throws ValueError when p is NaN, an axis is out of range or named twice, or there is no value to choose the largest from.
 */
export const norm = named("norm", (x: Tensor, axes?: Axes, options: NormOptions = {}): Tensor => {
	checkType("norm", x, FLOATS);
	const { p = 2, keepDim = false } = optionsOf("norm", options, { ...REDUCING, p: "number?" });
	if (Number.isNaN(p)) throw new ValueError("norm/p", "norm: p is NaN, expected a number", { op: "norm" });
	const { axes: chosen } = reduceAxes("norm", x, axes);
	const over = { keepDim };
	const v = cast(x, "f32");
	if (p === 2) return smoothRoot(sum(square(v), chosen, over), sqrt);
	if (p === 0) return cast(countNonzero(v, chosen, over), "f32");
	const size = abs(v);
	if (p === 1) return sum(size, chosen, over);
	if (!Number.isFinite(p)) {
		if (chosen.some((a) => x.shape[a] === 0)) {
			throw new ValueError("reduce/empty", "norm: there is no value to choose from", { op: "norm" });
		}
		return (p > 0 ? amax : amin)(size, chosen, over);
	}
	const none = eq(size, full(x.device, [], 0));
	const powers = p > 0 ? maskedFill(pow(maskedFill(size, none, 1), p), none, 0) : pow(size, p);
	return smoothRoot(sum(powers, chosen, over), (s) => pow(s, 1 / p));
});

/** Options of `normalize`. */
export interface NormalizeOptions {
	/** Which norm, as of `norm`; 2 when left out. */
	readonly p?: number | undefined;
	/** Axis of the vectors; the last when left out (torch's is axis 1). */
	readonly axis?: number | undefined;
	/** Least length that vectors are divided by; 1e-12 when left out. */
	readonly eps?: number | undefined;
}

/**
 * Vectors along an axis at length 1: x / max(‖x‖ₚ, eps), torch's normalize. f32 or f16 → f32. A vector of 0 stays 0.
 * @throws DTypeError for other types.
 * @throws ValueError as `norm`, and when `eps` is not finite.
 */
export const normalize = named("normalize", (x: Tensor, options: NormalizeOptions = {}): Tensor => {
	expects("normalize", { x }, { x: "tensor" });
	const { p = 2, axis = -1, eps = 1e-12 } = optionsOf("normalize", options, { p: "number?", axis: "whole?", eps: "number?" });
	if (!Number.isFinite(eps)) throw new ValueError("norm/eps", `normalize: eps is ${eps}, expected a finite number`, { op: "normalize" });
	return div(x, maximum(norm(x, axis, { p, keepDim: true }), eps));
});
