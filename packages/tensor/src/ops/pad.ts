import { ValueError } from "../errors.ts";
import { oneOf, optional, optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import { type Shape, showShape } from "../shape.ts";
import { shown } from "../shown.ts";
import type { Tensor } from "../tensor.ts";
import { refuseStorage } from "./arguments.ts";
import { where } from "./binary.ts";
import { cast } from "./cast.ts";
import { checkHeld, full, ones } from "./create.ts";
import { expand } from "./expand.ts";
import { flipPrimitive } from "./flip.ts";
import { cat, place, slice } from "./slice.ts";

/** Options of `pad`. */
export interface PadOptions {
	/**
	 * Where the new elements come from: "constant", `value` (when left out); "reflect", the elements next to the edge in reverse,
	 * without the edge; "replicate", the edge; "circular", the other end.
	 */
	readonly mode?: "constant" | "reflect" | "replicate" | "circular" | undefined;
	/** What "constant" puts there; 0 when left out. It may be infinite or NaN where the dtype has them. */
	readonly value?: number | undefined;
}

type Pair = readonly [before: number, after: number];

/** What stands before and after the elements along an axis, of the mode. */
const BORDERS: Readonly<Record<string, (x: Tensor, axis: number, pair: Pair) => readonly [Tensor, Tensor]>> = {
	reflect: (x, axis, [before, after]) => {
		const end = x.shape[axis] - 1;
		return [flipPrimitive.apply([slice(x, axis, 1, before + 1)], axis), flipPrimitive.apply([slice(x, axis, end - after, end)], axis)];
	},
	replicate: (x, axis, [before, after]) => [
		expand(slice(x, axis, 0, 1), x.shape.with(axis, before)),
		expand(slice(x, axis, -1), x.shape.with(axis, after)),
	],
	circular: (x, axis, [before, after]) => [slice(x, axis, x.shape[axis] - before), slice(x, axis, 0, after)],
};

const MODE = optional(oneOf("constant", ...Object.keys(BORDERS)));

/** The least extent that an axis needs to be padded so. */
const needs = (mode: string, pair: Pair): number =>
	mode === "reflect" ? 1 + Math.max(...pair) : mode === "circular" ? Math.max(...pair) : 1;

/**
 * x with `before` and `after` elements more along each axis; one pair for each axis, the first axis first, as numpy's pad and unlike
 * torch's. The modes are torch's; numpy calls "replicate" edge and "circular" wrap. The gradient of a constant border is
 * nothing, that of the others goes to the elements that were copied. f32, f16, i32, u32 or bool.
 * @throws ValueError unless there is one pair of whole numbers ≥ 0 for each axis, for another mode, for a value that the dtype does
 * not hold, and where an axis is too short: "reflect" takes less than its extent, "circular" at most that, "replicate" needs an
 * element.
 * @throws DTypeError for bf16 and u8.
 */
export const pad = named("pad", (x: Tensor, pairs: readonly Pair[], options: PadOptions = {}): Tensor => {
	refuseStorage("pad", x);
	const { mode = "constant", value = 0 } = optionsOf("pad", options, { mode: MODE, value: "number?" });
	if (!isPairs(pairs, x.rank)) {
		const text = `pad: pairs ${shown(pairs)} is not one pair of whole numbers for each axis of ${showShape(x.shape)}`;
		throw new ValueError("pad/pairs", text, { op: "pad" });
	}
	if (mode === "constant") return padWith(x, pairs, value);
	const borders = BORDERS[mode];
	return pairs.reduce((y, pair, axis) => {
		if (Math.max(...pair) === 0) return y;
		if (y.shape[axis] < needs(mode, pair)) {
			throw new ValueError("pad/extent", `pad: axis ${axis} of ${showShape(x.shape)} is too short for [${pair}] in mode ${mode}`, {
				op: "pad",
			});
		}
		const [before, after] = borders(y, axis, pair);
		return cat([before, y, after], axis);
	}, x);
});

/** x in the middle of `value`. */
function padWith(x: Tensor, pairs: readonly Pair[], value: number): Tensor {
	const { device, dtype } = x;
	checkHeld("pad", value, dtype);
	const widen = (t: Tensor): Tensor =>
		pairs.reduce((y, [before, after], axis) => {
			const count = y.shape[axis];
			return before + after === 0 ? y : place(y, { axis, start: before, count, step: 1, extent: before + count + after }, "pad");
		}, t);
	if (value === 0) return widen(x);
	if (dtype === "bool") return cast(padWith(cast(x, "u32"), pairs, value), "bool");
	return where(widen(ones(device, x.shape, "bool")), widen(x), full(device, [], value, dtype));
}

const isPairs = (pairs: readonly Pair[], rank: number): boolean =>
	Array.isArray(pairs) &&
	pairs.length === rank &&
	pairs.every((p: Shape) => Array.isArray(p) && p.length === 2 && p.every((n) => Number.isInteger(n) && n >= 0));
