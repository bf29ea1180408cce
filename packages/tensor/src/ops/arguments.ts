import type { DType } from "../dtype.ts";
import { DTypeError, ValueError } from "../errors.ts";
import { normalizeAxis, showShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";

/* What functions ask of their arguments, under the name that the user called. */

/** One axis, or a list of them. Negative numbers count from the last axis. */
export type Axes = number | readonly number[];

/** @throws ValueError unless x is a tensor. */
export function checkTensor(op: string, x: Tensor, name = "x"): void {
	if (!(x instanceof Tensor)) throw new ValueError("op/operand", `${op}: operand ${name} is not a tensor`, { op });
}

/** @throws ValueError unless `value` is a whole number of at least `least`. */
export function checkWhole(op: string, name: string, value: number, least = Number.NEGATIVE_INFINITY): void {
	if (Number.isInteger(value) && value >= least) return;
	const range = Number.isFinite(least) ? ` of ${least} or more` : "";
	throw new ValueError("op/whole", `${op}: ${name} is ${value}, expected a whole number${range}`, { op });
}

/** @throws DTypeError unless x is of one of the types. */
export function checkType(op: string, x: Tensor, types: readonly DType[], name = "x"): void {
	checkTensor(op, x, name);
	if (types.includes(x.dtype)) return;
	throw new DTypeError("op/dtype", `${op}: ${name} is ${x.dtype} ${showShape(x.shape)}, expected ${types.join(" or ")}`, {
		op,
		hint: "convert it with cast()",
	});
}

/** @throws DTypeError unless both are of one type. */
export function checkSame(op: string, operands: Readonly<Record<string, Tensor>>): void {
	const [[a, x], [b, y]] = Object.entries(operands);
	if (x.dtype === y.dtype) return;
	throw new DTypeError("op/dtype", `${op}: ${a} is ${x.dtype}, ${b} is ${y.dtype}`, { op, hint: "convert one with cast()" });
}

/** Refuses element types of which a word holds several: kernels store them by whole words. */
export function refuseStorage(op: string, x: Tensor): void {
	checkTensor(op, x);
	if (x.dtype !== "bf16" && x.dtype !== "u8") return;
	throw new DTypeError("op/dtype", `${op}: x is ${x.dtype} ${showShape(x.shape)}, which is storage only`, {
		op,
		hint: "convert it with cast()",
	});
}

/** An axis of x from its first; a scalar counts as a vector of one element, as torch's. */
export const axisOf = (op: string, axis: number, { rank }: Tensor): number => normalizeAxis(op, axis, Math.max(1, rank));

/** The axes that are meant, all when left out. Of a scalar there are none, though 0 and −1 may be named, as in torch. */
export function axesOf(op: string, x: Tensor, axes: Axes | undefined): number[] {
	checkTensor(op, x);
	if (axes === undefined) return [...x.shape.keys()];
	const list = typeof axes === "number" ? [axes] : axes;
	if (!Array.isArray(list)) throw new ValueError("axis/list", `${op}: ${String(axes)} is no axis and no list of axes`, { op });
	const chosen = list.map((a: number) => axisOf(op, a, x));
	if (new Set(chosen).size !== chosen.length) throw new ValueError("axis/twice", `${op}: axes [${list}] name one axis twice`, { op });
	return x.rank === 0 ? [] : chosen;
}
