import { FLOATS, INTEGERS } from "../dtype.ts";
import { DTypeError, PrivacyError, ShapeError, ValueError } from "../errors.ts";
import { broadcastStrides, checkShape, normalizeAxis, type Shape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { reduceInner } from "./reduceInner.ts";
import { linearOp } from "./traced.ts";
import { permute, reshape, transpose } from "./view.ts";

/** Moves `axes` last, refusing to reduce the sample axis. */
export function reduceAxes(op: string, x: Tensor, axes: readonly number[] | undefined): { axes: number[]; order: number[] } {
	const all = x.shape.map((_, i) => i);
	const chosen = axes === undefined ? all : axes.map((a) => normalizeAxis(op, a, x.rank));
	if (new Set(chosen).size !== chosen.length) throw new ValueError("axis/twice", `${op}: axes [${axes}] name one axis twice`, { op });
	if (x.perSample && chosen.includes(0)) {
		throw new PrivacyError("privacy/mixes-samples", `${op}: axis 0 of ${showShape(x.shape)} is the sample axis`, {
			op,
			hint: "reduce over the other axes; the privacy engine itself combines samples, after clipping",
		});
	}
	return { axes: chosen, order: [...all.filter((a) => !chosen.includes(a)), ...chosen] };
}

export interface ReduceOptions {
	/** Keep the reduced axes with extent 1. */
	readonly keepDim?: boolean;
}

/**
 * Sum over `axes` (all when left out), accumulated in f32 (integers in their own type) in a fixed order.
 * Adjoint of `expand`.
 */
export function sum(x: Tensor, axes?: readonly number[], { keepDim = false }: ReduceOptions = {}): Tensor {
	if (![...FLOATS, ...INTEGERS].includes(x.dtype)) {
		throw new DTypeError("op/dtype", `sum: x is ${x.dtype}`, { op: "sum", hint: "convert it with cast()" });
	}
	const { axes: chosen, order } = reduceAxes("sum", x, axes);
	const from = x.shape;
	const ones = from.map((d, i) => (chosen.includes(i) ? 1 : d));
	const shape = keepDim ? ones : from.filter((_, i) => !chosen.includes(i));
	return linearOp(
		"sum",
		x,
		(v) => reshape(reduceInner("sum", permute(v, order), chosen.length), shape),
		(dy) => expand(reshape(dy, ones), from),
		x.perSample,
	);
}

/** Repeats axes of size 1, and adds leading axes, without copying. Adjoint of `sum`. */
export function expand(x: Tensor, shape: Shape): Tensor {
	checkShape("expand", shape);
	const lead = shape.length - x.rank;
	const bad = x.shape.findIndex((d, i) => d !== 1 && d !== shape[lead + i]);
	if (lead < 0 || bad >= 0) {
		throw new ShapeError("shape/expand", `expand: ${showShape(x.shape)} cannot become ${showShape(shape)}`, {
			op: "expand",
			hint: "only axes of size 1 can be expanded; new axes come first",
		});
	}
	const axes = shape.map((_, i) => i).filter((i) => i < lead || (x.shape[i - lead] === 1 && shape[i] !== 1));
	const from = x.shape;
	return linearOp(
		"expand",
		x,
		(v) => v.alias({ shape: [...shape], strides: broadcastStrides(v.shape, v.strides, shape) }),
		(dy) => (axes.length === 0 ? dy.alias() : reshape(sum(dy, axes), from)),
		x.perSample && lead === 0,
	);
}

/**
 * Applies an operation on the last axis to other axes: moves `axes` (all when left out) last, merges them into one,
 * and gives the results their places back.
 */
export function overAxes(
	op: string,
	x: Tensor,
	axes: readonly number[] | undefined,
	keepDim: boolean,
	reduce: (rows: Tensor) => Tensor,
): Tensor {
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

/** Applies an operation along the last axis to another one. */
export function alongAxis(op: string, x: Tensor, axis: number, map: (rows: Tensor) => Tensor): Tensor {
	const at = normalizeAxis(op, axis, x.rank);
	return at === x.rank - 1 ? map(x) : transpose(map(transpose(x, at, -1)), at, -1);
}
