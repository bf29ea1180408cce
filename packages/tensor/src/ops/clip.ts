import { FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import type { Tensor } from "../tensor.ts";
import { RANGES } from "../upload.ts";
import { checkType } from "./arguments.ts";
import { full } from "./create.ts";
import { elementwise } from "./elementwise.ts";

export const clipPrimitive = elementwise("clip", ["x", "low", "high"], {
	f: "nanMin(nanMax(x, low), high)",
	integer: "min(max(x, low), high)",
	ref: ({ x, low, high }) => Math.min(Math.max(x, low), high),
	d: {
		x: "select(0.0, 1.0, x >= low && x <= high)",
		low: "select(0.0, 1.0, x < low && low < high)",
		high: "select(0.0, 1.0, x > high || low > high)",
	},
	dtypes: [...FLOATS, ...INTEGERS],
	bound: { ulp: 0, why: "gives one of its operands" },
});

/**
 * x limited from below by `low` and from above by `high`, tensors or numbers, element by element, broadcast as numpy: its clip, and
 * torch's clamp of tensors. undefined is no limit; where low is above high it is high; NaN if one of them is. f32, f16, i32 or
 * u32, all of one type or all floats. The gradient goes to the one that was chosen, to x also where it equals a limit.
 * @throws DTypeError for other types.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError without a limit, or for a number that x's type does not hold.
 */
export const clip = named("clip", (x: Tensor, low: Tensor | number | undefined, high?: Tensor | number): Tensor => {
	checkType("clip", x, [...FLOATS, ...INTEGERS]);
	expects("clip", { low, high }, { low: "value?", high: "value?" });
	if (low === undefined && high === undefined) throw new ValueError("clip/limits", "clip: needs a lower or an upper limit", { op: "clip" });
	const [least, most] = RANGES[x.dtype] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
	const limit = (given: Tensor | number): Tensor => (typeof given === "number" ? full(x.device, [], given, x.dtype) : given);
	return clipPrimitive.apply([x, limit(low ?? least), limit(high ?? most)])[0];
});

export const nanToNumPrimitive = elementwise("nanToNum", ["x"], {
	f: "select(select(x, select(p.neginf, p.posinf, x > 0.0), isInf(x)), p.nan, isNan(x))",
	d: { x: "select(0.0, 1.0, isFinite(x))" },
	ref: ({ x, nan, posinf, neginf }) => (Number.isNaN(x) ? nan : Number.isFinite(x) ? x : x > 0 ? posinf : neginf),
	attrs: { nan: 0, posinf: 3.4028234663852886e38, neginf: -3.4028234663852886e38 },
	bound: { ulp: 0, why: "gives its operand" },
});

/** Options of `nanToNum`. */
export interface NanToNumOptions {
	/** In place of NaN; 0 when left out. */
	readonly nan?: number | undefined;
	/** In place of infinity; the largest number of x's type when left out. */
	readonly posinf?: number | undefined;
	/** In place of negative infinity; the least number of x's type when left out. */
	readonly neginf?: number | undefined;
}

/**
 * x with finite numbers in place of NaN and infinities, element by element: torch's nan_to_num. f32 or f16. The gradient is 0 where
 * x is replaced.
 * @throws DTypeError for other types.
 * @throws ValueError when a replacement is not finite.
 */
export function nanToNum(x: Tensor, options: NanToNumOptions = {}): Tensor {
	checkType("nanToNum", x, FLOATS);
	const { nan, posinf, neginf } = optionsOf("nanToNum", options, { nan: "number?", posinf: "number?", neginf: "number?" });
	const most = x.dtype === "f16" ? 65504 : nanToNumPrimitive.spec.attrs.posinf;
	return nanToNumPrimitive.apply([x], { nan, posinf: posinf ?? most, neginf: neginf ?? -most })[0];
}
