import { FLOATS } from "../dtype.ts";
import { expects, optionsOf } from "../expects.ts";
import { item } from "../host.ts";
import { blaming } from "../named.ts";
import type { Tensor } from "../tensor.ts";
import { amax, amin } from "./amax.ts";
import { type Axes, checkType } from "./arguments.ts";
import { cast } from "./cast.ts";
import { full } from "./create.ts";
import { elementwise } from "./elementwise.ts";
import { REDUCING, type ReduceOptions, reduceAxes, reducedShape, sum } from "./expand.ts";

/** Whether elements are not 0, over axes; `empty` where there are none. */
function reduced(op: string, x: Tensor, axes: Axes | undefined, options: ReduceOptions, isAll: boolean): Tensor {
	const { keepDim = false } = optionsOf(op, options, REDUCING);
	const { axes: chosen } = reduceAxes(op, x, axes);
	const isEmpty = chosen.some((a) => x.shape[a] === 0);
	if (isEmpty) return full(x.device, reducedShape(x.shape, chosen, keepDim), Number(isAll), "bool");
	return (isAll ? amin : amax)(cast(x, "bool"), chosen, { keepDim });
}

/**
 * Whether any element over `axes` (one or several; all when left out) is not 0; NaN is not. Of none it is false. Any dtype → bool.
 * No gradient.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const any = (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor => reduced("any", x, axes, options, false);

/**
 * Whether all elements over `axes` (one or several; all when left out) are not 0; NaN is not. Of none it is true. Any dtype → bool.
 * No gradient.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const all = (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor => reduced("all", x, axes, options, true);

/**
 * The number of elements over `axes` (one or several; all when left out) that are not 0; NaN is not. Any dtype → i32. No gradient.
 * @throws ValueError when an axis is out of range or named twice.
 */
export function countNonzero(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
	optionsOf("countNonzero", options, REDUCING);
	const { axes: chosen } = reduceAxes("countNonzero", x, axes);
	return sum(cast(x, "bool"), chosen, options);
}

export const isclosePrimitive = elementwise("isclose", ["a", "b"], {
	f: "a == b || (isFinite(a - b) && abs(a - b) <= p.atol + p.rtol * abs(b)) || (p.equalNan != 0.0 && isNan(a) && isNan(b))",
	ref: ({ a, b, rtol, atol, equalNan }) =>
		Number(a === b || Math.abs(a - b) <= atol + rtol * Math.abs(b) || (equalNan !== 0 && Number.isNaN(a) && Number.isNaN(b))),
	d: "none",
	attrs: { rtol: 1e-5, atol: 1e-8, equalNan: 0 },
	domain: { whole: [-2, 2] },
	result: "bool",
});

/** Options of `isclose` and `allclose`. */
export interface CloseOptions {
	/** Allowed distance in proportion to |b|; 1e-5 when left out. */
	readonly rtol?: number | undefined;
	/** Allowed distance beside that; 1e-8 when left out. */
	readonly atol?: number | undefined;
	/** Two NaN are close; false when left out. */
	readonly equalNan?: boolean | undefined;
}

function close(op: string, a: Tensor, b: Tensor, options: CloseOptions): Tensor {
	checkType(op, a, FLOATS, "a");
	checkType(op, b, FLOATS, "b");
	const { rtol = 1e-5, atol = 1e-8, equalNan = false } = optionsOf(op, options, { rtol: "number?", atol: "number?", equalNan: "flag?" });
	return blaming(op, () => isclosePrimitive.apply([a, b], { rtol, atol, equalNan: Number(equalNan) })[0]);
}

/**
 * Where |a − b| ≤ atol + rtol |b|, element by element, broadcast as numpy, in f32; b is what is expected. An infinity is close to
 * itself alone. f32 or f16 → bool. No gradient.
 * @throws DTypeError for other types: whole numbers are compared by `eq`.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when a tolerance is not finite.
 */
export const isclose = (a: Tensor, b: Tensor, options: CloseOptions = {}): Tensor => close("isclose", a, b, options);

/**
 * Whether all elements are close, as {@link isclose} says; reads the answer back.
 * @throws DTypeError unless both are f32 or f16; ShapeError when the shapes do not broadcast; ValueError when a tolerance is not
 * finite; otherwise what `item` does.
 */
export async function allclose(a: Tensor, b: Tensor, options: CloseOptions = {}): Promise<boolean> {
	expects("allclose", { a }, { a: "tensor" });
	const answer = a.device.scope(() => all(close("allclose", a, b, options)));
	const value = await item(answer);
	answer.dispose();
	return value === 1;
}
