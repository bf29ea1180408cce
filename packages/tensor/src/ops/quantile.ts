import { FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects, oneOf, optional, optionsOf } from "../expects.ts";
import { showShape } from "../shape.ts";
import { shown } from "../shown.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, axisOf, checkType } from "./arguments.ts";
import { add, mul, sub, where } from "./binary.ts";
import { cast } from "./cast.ts";
import { overAxes, REDUCING, type ReduceOptions } from "./expand.ts";
import { stack } from "./join.ts";
import { narrow, select } from "./slice.ts";
import { type Sorted, sort, sortPrimitive } from "./sort.ts";
import { isnan } from "./unary.ts";
import { reshape } from "./view.ts";

/** Options of `quantile`. */
export interface QuantileOptions extends ReduceOptions {
	/**
	 * What stands between two values: "linear", in proportion (when left out); "lower" or "higher", that value; "nearest", the nearer,
	 * of two the one of even number; "midpoint", their mean.
	 */
	readonly interpolation?: "linear" | "lower" | "higher" | "nearest" | "midpoint" | undefined;
}

const nearest = (at: number): number => (at % 1 === 0.5 ? 2 * Math.round(at / 2) : Math.round(at));

/** Number of the value below, and what the one above counts, of a position. */
const BETWEEN: Readonly<Record<string, (at: number) => readonly [below: number, share: number]>> = {
	linear: (at) => [Math.floor(at), at - Math.floor(at)],
	lower: (at) => [Math.floor(at), 0],
	higher: (at) => [Math.ceil(at), 0],
	nearest: (at) => [nearest(at), 0],
	midpoint: (at) => [Math.floor(at), Number.isInteger(at) ? 0 : 0.5],
};

function quantiles(op: string, x: Tensor, qs: readonly number[], axes: Axes | undefined, options: QuantileOptions): Tensor[] {
	checkType(op, x, FLOATS);
	const kinds = { ...REDUCING, interpolation: optional(oneOf(...Object.keys(BETWEEN))) };
	const { interpolation = "linear", keepDim } = optionsOf(op, options, kinds);
	const between = BETWEEN[interpolation];
	const odd = qs.find((q) => typeof q !== "number" || !(q >= 0 && q <= 1));
	if (odd !== undefined) throw new ValueError("quantile/q", `${op}: q is ${shown(odd)}, expected 0 to 1`, { op });
	let sorted: Tensor | undefined;
	return qs.map((q) =>
		overAxes(op, cast(x, "f32"), axes, { keepDim }, (rows) => {
			const count = rows.shape[rows.rank - 1];
			if (count === 0) throw new ValueError("reduce/empty", `${op}: there is no value to choose from`, { op });
			sorted ??= sortPrimitive.apply([rows])[0];
			const [below, share] = between(q * (count - 1));
			const low = select(sorted, -1, below);
			const value = share === 0 ? low : add(low, mul(sub(select(sorted, -1, below + 1), low), share));
			const last = select(sorted, -1, -1);
			return where(isnan(last), last, value);
		}),
	);
}

/**
 * The value below which a part q of the values over `axes` (one or several; all when left out) lies: that at position q (n − 1) of
 * the sorted values, where positions between two are interpolated; torch's and numpy's quantile. Of a list of q the results stand
 * along a new first axis. NaN if one is. f32 or f16 → f32. The gradient goes to the values that it is made of.
 * @throws DTypeError for other types.
 * @throws ValueError unless 0 ≤ q ≤ 1, for another interpolation, when there is no value, or an axis is out of range or named twice.
 */
export function quantile(x: Tensor, q: number | readonly number[], axes?: Axes, options: QuantileOptions = {}): Tensor {
	if (typeof q === "number") return quantiles("quantile", x, [q], axes, options)[0];
	if (!Array.isArray(q) || q.length === 0)
		throw new ValueError("quantile/q", `quantile: q is ${shown(q)}, expected 0 to 1, or a list of such`, { op: "quantile" });
	return stack(quantiles("quantile", x, q, axes, options));
}

/**
 * The middle one of the sorted values over `axes` (one or several; all when left out), of an even number the lower of the two, as
 * torch's median; numpy's, their mean, is `quantile(x, 0.5)`. NaN if one is. f32 or f16 → f32. The gradient goes to that value.
 * @throws DTypeError for other types.
 * @throws ValueError when there is no value, or an axis is out of range or named twice.
 */
export function median(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
	return quantiles("median", x, [0.5], axes, { ...optionsOf("median", options, REDUCING), interpolation: "lower" })[0];
}

/** Options of `kthvalue`. */
export interface KthvalueOptions extends ReduceOptions {
	/** The last when left out. */
	readonly axis?: number | undefined;
}

/**
 * The k-th smallest value along an axis, counted from 1, and where it stood: torch's kthvalue. NaN counts as the largest. Sorts the
 * whole axis. f32, f16, i32 or u32. The gradient goes to that position.
 * @throws ValueError unless 1 ≤ k ≤ extent, or when `axis` is out of range.
 * @throws DTypeError for other types.
 */
export function kthvalue(x: Tensor, k: number, options: KthvalueOptions = {}): Sorted {
	const op = "kthvalue";
	expects(op, { x, k }, { x: "tensor", k: "whole" });
	const { axis = -1, keepDim = false } = optionsOf(op, options, { ...REDUCING, axis: "whole?" });
	const at = axisOf(op, axis, x);
	checkType(op, x, [...FLOATS, ...INTEGERS]);
	const [vector, extent] = x.rank === 0 ? [reshape(x, [1]), 1] : [x, x.shape[at]];
	if (k < 1 || k > extent) {
		throw new ValueError("topk/k", `${op}: k is ${k}, axis ${axis} of ${showShape(x.shape)} has ${extent} values`, { op });
	}
	const { values, indices } = sort(vector, { axis: at });
	const kth = (t: Tensor): Tensor => (keepDim && x.rank > 0 ? narrow(t, at, k - 1, 1) : select(t, at, k - 1));
	return { values: kth(values), indices: kth(indices) };
}
