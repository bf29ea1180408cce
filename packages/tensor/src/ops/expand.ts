import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import { moved } from "../reference.ts";
import { checkShape, type Shape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, axesOf, axisOf, checkType } from "./arguments.ts";
import { cast } from "./cast.ts";
import { reshaped } from "./contiguous.ts";
import { reduceInner } from "./reduceInner.ts";
import { permute, reshape, transpose } from "./view.ts";

/** The axes to reduce, all when left out, and an order of the axes that brings them last. */
export function reduceAxes(op: string, x: Tensor, axes: Axes | undefined): { axes: number[]; order: number[] } {
	const chosen = axesOf(op, x, axes);
	return { axes: chosen, order: [...[...x.shape.keys()].filter((a) => !chosen.includes(a)), ...chosen] };
}

/** Options of the reductions. */
export interface ReduceOptions {
	/** Keep the reduced axes with extent 1; false when left out. */
	readonly keepDim?: boolean | undefined;
}

/** The kinds of these options. */
export const REDUCING = { keepDim: "flag?" } as const;

/** The shape with the reduced axes taken out, or as 1. */
export const reducedShape = (shape: Shape, axes: readonly number[], keepDim: boolean): number[] =>
	keepDim ? shape.map((d, i) => (axes.includes(i) ? 1 : d)) : shape.filter((_, i) => !axes.includes(i));

export const sumPrimitive: LinearOp<{ readonly axes: readonly number[]; readonly keepDim: boolean }> = defineLinear({
	name: "sum",
	forward: ([x], { axes, keepDim }) => {
		const shape = x.shape.slice(1);
		const order = [...shape.keys()].filter((a) => !axes.includes(a)).concat(axes);
		const total = reduceInner("sum", x.permute([0, ...order.map((a) => a + 1)]), axes.length);
		return reshaped(total, reducedShape(shape, axes, keepDim));
	},
	adjoint: (dy, { axes }, [{ shape }]) => expand(reshape(dy, reducedShape(shape, axes, true)), shape),
	reference: ([x], { axes, keepDim }) => {
		const shape = reducedShape(x.shape, axes, keepDim);
		const data = new Float64Array(sizeOf(shape));
		const kept = x.shape.map((d, i) => (axes.includes(i) ? 0 : d));
		moved(x, x.shape, (index) => {
			const to = index.reduce((at, k, i) => (kept[i] === 0 ? at : at * kept[i] + k), 0);
			const from = index.reduce((at, k, i) => at * x.shape[i] + k, 0);
			data[to] += x.data[from];
			return index;
		});
		return { data, shape };
	},
	test: {
		abs: 2e-5,
		draw: (shape, next) => ({ axes: [...shape.keys()].filter(() => next() < 0.5), keepDim: next() < 0.5 }),
	},
});

const SUMMED: readonly DType[] = [...FLOATS, ...INTEGERS, "bool"];

/**
 * Sum over `axes` (one or several; all when left out, none for `[]`), in a fixed order. f32 and f16 are added up in f32 and give
 * f32; i32 and u32 stay what they are and wrap around; of bool it is the number of true ones, i32. The sum of nothing is 0.
 * Adjoint of `expand`.
 * @throws DTypeError for storage types.
 * @throws ValueError when an axis is out of range or named twice.
 */
export function sum(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
	checkType("sum", x, SUMMED);
	const { keepDim = false } = optionsOf("sum", options, REDUCING);
	const { axes: chosen } = reduceAxes("sum", x, axes);
	return sumPrimitive.apply([x.dtype === "bool" ? cast(x, "i32") : x], { axes: chosen, keepDim });
}

export const expandPrimitive: LinearOp<Shape> = defineLinear({
	name: "expand",
	forward: ([x], shape) => x.lift(shape.length + 1).broadcast([x.shape[0], ...shape]),
	adjoint: (dy, shape, [{ shape: from }]) => {
		const lead = shape.length - from.length;
		const axes = [...shape.keys()].filter((i) => i < lead || (from[i - lead] === 1 && shape[i] !== 1));
		return axes.length === 0 ? dy : reshape(sum(dy, axes), from);
	},
	reference: ([x], shape) =>
		moved(x, shape, (index) => index.slice(shape.length - x.shape.length).map((k, i) => (x.shape[i] === 1 ? 0 : k))),
	test: { draw: (shape, next) => [...(next() < 0.5 ? [2] : []), ...shape.map((d) => (d === 1 ? 3 : d))] },
});

function expanded(op: string, x: Tensor, shape: Shape): Tensor {
	expects(op, { x }, { x: "tensor" });
	checkShape(op, shape);
	const lead = shape.length - x.rank;
	const bad = x.shape.findIndex((d, i) => d !== 1 && d !== shape[lead + i]);
	if (lead < 0 || bad >= 0) {
		throw new ShapeError("shape/expand", `${op}: ${showShape(x.shape)} cannot become ${showShape(shape)}`, {
			op,
			hint: "only axes of size 1 can be expanded; new axes come first",
		});
	}
	return expandPrimitive.apply([x], [...shape]);
}

/**
 * x repeated along axes of extent 1, and along new leading axes, to `shape` (numpy's broadcast_to), as a view. Any dtype.
 * Adjoint of `sum`.
 * @throws ShapeError when another axis would change, `shape` has fewer axes than x, or an extent is −1.
 */
export const expand = (x: Tensor, shape: Shape): Tensor => expanded("expand", x, shape);

/**
 * x repeated to `shape`, as a view: numpy's name for {@link expand}.
 * @throws ShapeError when another axis would change, `shape` has fewer axes than x, or an extent is −1.
 */
export const broadcastTo = (x: Tensor, shape: Shape): Tensor => expanded("broadcastTo", x, shape);

/**
 * Applies an operation on the last axis to other axes: moves `axes` (all when left out) last, merges them into one,
 * and gives the results their places back.
 */
export function overAxes(op: string, x: Tensor, axes: Axes | undefined, options: ReduceOptions, reduce: (rows: Tensor) => Tensor): Tensor {
	const { keepDim = false } = optionsOf(op, options, REDUCING);
	const { axes: chosen, order } = reduceAxes(op, x, axes);
	const outer = x.shape.filter((_, i) => !chosen.includes(i));
	const length = chosen.reduce((n, a) => n * x.shape[a], 1);
	const y = reduce(reshape(permute(x, order), [...outer, length]));
	return keepDim
		? reshape(
				y,
				x.shape.map((d, i) => (chosen.includes(i) ? 1 : d)),
			)
		: y;
}

/** Applies an operation along the last axis to another one; a scalar counts as a vector of one. */
export function alongAxis(op: string, x: Tensor, axis: number, map: (rows: Tensor) => Tensor): Tensor {
	expects(op, { x }, { x: "tensor" });
	const at = axisOf(op, axis, x);
	if (x.rank === 0) return reshape(map(reshape(x, [1])), []);
	return at === x.rank - 1 ? map(x) : transpose(map(transpose(x, at, -1)), at, -1);
}
