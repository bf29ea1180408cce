import type { DType } from "../dtype.ts";
import { DTypeError, ValueError } from "../errors.ts";
import { expectsOne } from "../expects.ts";
import { normalizeAxis, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/* What functions ask of element types and axes, under the names of the function and the argument; `expects` asks for kinds. */

/** One axis, or a list of them. Negative numbers count from the last axis. */
export type Axes = number | readonly number[];

/** @throws DTypeError unless x is of one of the types; ValueError unless it is a tensor. */
export function checkType(op: string, x: Tensor, types: readonly DType[], name = "x"): void {
	expectsOne(op, name, x, "tensor");
	if (!types.includes(x.dtype)) throw wrongType(op, name, x, `expected ${types.join(" or ")}`);
}

/** @throws DTypeError unless both are of one type. */
export function checkSame(op: string, operands: Readonly<Record<string, Tensor>>): void {
	const [[a, x], [b, y]] = Object.entries(operands);
	if (x.dtype === y.dtype) return;
	throw new DTypeError("op/dtype", `${op}: ${a} is ${x.dtype}, ${b} is ${y.dtype}`, { op, hint: "convert one with cast()" });
}

/** Refuses element types of which a word holds several: kernels store them by whole words. */
export function refuseStorage(op: string, x: Tensor, name = "x"): void {
	expectsOne(op, name, x, "tensor");
	if (x.dtype === "bf16" || x.dtype === "u8") throw wrongType(op, name, x, "which is storage only");
}

const wrongType = (op: string, name: string, { dtype, shape }: Tensor, text: string): DTypeError =>
	new DTypeError("op/dtype", `${op}: ${name} is ${dtype} ${showShape(shape)}, ${text}`, { op, hint: "convert it with cast()" });

/** An axis of x from its first; a scalar counts as a vector of one element, as torch's. */
export const axisOf = (op: string, axis: number, { rank }: Tensor): number => normalizeAxis(op, axis, Math.max(1, rank));

/** The axes that are meant, all when left out. Of a scalar there are none, though 0 and −1 may be named, as in torch. */
export function axesOf(op: string, x: Tensor, axes: Axes | undefined, name = "axes"): number[] {
	expectsOne(op, "x", x, "tensor");
	if (axes === undefined) return [...x.shape.keys()];
	expectsOne(op, name, axes, "axes");
	const list = typeof axes === "number" ? [axes] : axes;
	const chosen = list.map((a: number) => axisOf(op, a, x));
	if (new Set(chosen).size !== chosen.length) throw new ValueError("axis/twice", `${op}: axes [${list}] name one axis twice`, { op });
	return x.rank === 0 ? [] : chosen;
}
