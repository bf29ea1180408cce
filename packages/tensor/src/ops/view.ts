import { ShapeError, ValueError } from "../errors.ts";
import { checkShape, normalizeAxis, type Shape, showShape, sizeOf, viewStrides } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { linearOp } from "./traced.ts";

/** Gives the elements, in row-major order, a new shape; one extent may be -1. Copies only if the strides demand it. */
export function reshape(x: Tensor, shape: Shape): Tensor {
	const target = resolve(x, shape);
	const from = x.shape;
	const keepsSamples = x.perSample && target.length > 0 && target[0] === from[0];
	return linearOp(
		"reshape",
		x,
		(v) => {
			const strides = viewStrides(v.shape, v.strides, target);
			return strides === undefined ? contiguous(v).alias({ shape: target }) : v.alias({ shape: target, strides });
		},
		(dy) => reshape(dy, from),
		keepsSamples,
	);
}

function resolve(x: Tensor, shape: Shape): number[] {
	const known = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
	const free = shape.filter((d) => d === -1).length;
	const target = shape.map((d) => (d === -1 ? x.size / known : d));
	if (free > 1 || target.some((d) => !Number.isInteger(d)) || sizeOf(target) !== x.size) {
		throw new ShapeError("shape/reshape", `reshape: ${showShape(x.shape)} has ${x.size} elements, ${showShape(shape)} does not`, {
			op: "reshape",
		});
	}
	checkShape("reshape", target);
	return target;
}

/** Reorders the axes. Moving axis 0 of a marked tensor ends its mark. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
	const axes = order.map((a) => normalizeAxis("permute", a, x.rank));
	if (axes.length !== x.rank || new Set(axes).size !== x.rank) {
		throw new ValueError("permute/order", `permute: [${order.join(", ")}] is no order of ${x.rank} axes`, { op: "permute" });
	}
	const inverse = axes.map((_, i) => axes.indexOf(i));
	return linearOp(
		"permute",
		x,
		(v) => v.alias({ shape: axes.map((a) => v.shape[a]), strides: axes.map((a) => v.strides[a]) }),
		(dy) => permute(dy, inverse),
		x.perSample && axes[0] === 0,
	);
}

/** Swaps two axes. */
export function transpose(x: Tensor, a = -1, b = -2): Tensor {
	const order = x.shape.map((_, i) => i);
	const i = normalizeAxis("transpose", a, x.rank);
	const j = normalizeAxis("transpose", b, x.rank);
	[order[i], order[j]] = [order[j], order[i]];
	return permute(x, order);
}

/** Removes an axis of size 1. */
export function squeeze(x: Tensor, axis: number): Tensor {
	const at = normalizeAxis("squeeze", axis, x.rank);
	if (x.shape[at] !== 1)
		throw new ShapeError("shape/squeeze", `squeeze: axis ${axis} of ${showShape(x.shape)} is not 1`, { op: "squeeze" });
	return insertOrRemove(x, x.shape.toSpliced(at, 1), x.strides.toSpliced(at, 1), x.perSample && at !== 0);
}

/** Inserts an axis of size 1. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
	const at = normalizeAxis("unsqueeze", axis, x.rank + 1);
	return insertOrRemove(x, x.shape.toSpliced(at, 0, 1), x.strides.toSpliced(at, 0, 0), x.perSample && at !== 0);
}

function insertOrRemove(x: Tensor, shape: number[], strides: number[], perSample: boolean): Tensor {
	const from = x.shape;
	return linearOp(
		"squeeze",
		x,
		(v) => v.alias({ shape, strides }),
		(dy) => reshape(dy, from),
		perSample,
	);
}

/** Declares axis 0 the sample axis: from here on no operation may mix its entries. */
export function markSamples(x: Tensor): Tensor {
	if (x.rank === 0) throw new ShapeError("shape/samples", "markSamples: a scalar has no sample axis", { op: "markSamples" });
	return linearOp(
		"markSamples",
		x,
		(v) => v.alias({}),
		(dy) => dy.alias(),
		true,
	);
}

/** Moves one axis to another place. */
export function movedim(x: Tensor, from: number, to: number): Tensor {
	const a = normalizeAxis("movedim", from, x.rank);
	const order = x.shape.map((_, i) => i).filter((i) => i !== a);
	return permute(x, order.toSpliced(normalizeAxis("movedim", to, x.rank), 0, a));
}
