import { FLOATS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import type { Tensor } from "../tensor.ts";
import { amax, amin } from "./amax.ts";
import { checkType } from "./arguments.ts";
import { div, eq, ge, le, logicalAnd, minimum, mul, sub, where } from "./binary.ts";
import { cast } from "./cast.ts";
import { full } from "./create.ts";
import { bincount } from "./scatter.ts";
import { floor } from "./unary.ts";

/** Options of `histc`. */
export interface HistcOptions {
	/** Where the first bin begins; the smallest value when left out. */
	readonly min?: number | undefined;
	/** Where the last bin ends, included; the largest value when left out. */
	readonly max?: number | undefined;
}

/**
 * How many values of x lie in each of `bins` equal parts from min to max, f32 `[bins]`: torch's histc. A value on an edge counts
 * above it, one at max in the last part; values outside and NaN are not counted. Of a range of one value, parts end around it as
 * if it were 2 wide. f32 or f16. No gradient.
 * @throws DTypeError for other types.
 * @throws ValueError unless `bins` is a whole number of 1 or more and min and max are finite and in order, or when x is empty and
 * one of them is left out.
 */
export const histc = named("histc", (x: Tensor, bins: number, options: HistcOptions = {}): Tensor => {
	checkType("histc", x, FLOATS);
	expects("histc", { bins }, { bins: "size" });
	const { min, max } = optionsOf("histc", options, { min: "number?", max: "number?" });
	for (const v of [min, max]) {
		if (v !== undefined && !Number.isFinite(v)) throw new ValueError("histc/range", `histc: ${v} is no end of a range`, { op: "histc" });
	}
	if (min !== undefined && max !== undefined && min > max) {
		throw new ValueError("histc/range", `histc: min ${min} is above max ${max}`, { op: "histc" });
	}
	if (x.size === 0 && (min === undefined || max === undefined)) {
		throw new ValueError("reduce/empty", "histc: there is no value to take the range from", { op: "histc" });
	}
	const v = cast(x, "f32");
	const number = (value: number): Tensor => full(x.device, [], value);
	const [low, high] = [min === undefined ? amin(v) : number(min), max === undefined ? amax(v) : number(max)];
	const same = eq(low, high);
	const [from, to] = [where(same, sub(low, number(1)), low), where(same, sub(high, number(-1)), high)];
	const at = minimum(floor(mul(div(sub(v, from), sub(to, from)), number(bins))), number(bins - 1));
	const inside = logicalAnd(ge(v, from), le(v, to));
	return cast(bincount(cast(where(inside, at, number(-1)), "i32"), bins), "f32");
});
