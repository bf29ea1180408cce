import { ShapeError, ValueError } from "../errors.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import { moved } from "../reference.ts";
import { checkShape, normalizeAxis, type Shape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { reshaped } from "./contiguous.ts";

export const reshapePrimitive: LinearOp<Shape> = defineLinear({
	name: "reshape",
	forward: ([x], shape) => reshaped(x, shape),
	adjoint: (dy, _, [{ shape }]) => reshape(dy, shape),
	reference: ([x], shape) => ({ data: x.data, shape }),
	test: { draw: (shape, next) => (next() < 0.5 ? [sizeOf(shape)] : [...shape.slice(0, -2), 1, sizeOf(shape.slice(-2))]) },
});

/**
 * The elements, in row-major order, in a new shape; one extent may be −1, for what is left. A view where the strides allow it,
 * else a copy. Any dtype.
 * @throws ShapeError when the shape does not have x's number of elements, or more than one −1, or −1 beside an extent of 0.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
	const known = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
	const free = shape.filter((d) => d === -1).length;
	const target = shape.map((d) => (d === -1 ? x.size / known : d));
	if (free > 1 || target.some((d) => !Number.isInteger(d)) || sizeOf(target) !== x.size) {
		throw new ShapeError("shape/reshape", `reshape: ${showShape(x.shape)} has ${x.size} elements, ${showShape(shape)} does not`, {
			op: "reshape",
		});
	}
	checkShape("reshape", target);
	return reshapePrimitive.apply([x], target);
}

export const permutePrimitive: LinearOp<readonly number[]> = defineLinear({
	name: "permute",
	forward: ([x], order) => x.permute([0, ...order.map((a) => a + 1)]),
	adjoint: (dy, order) =>
		permute(
			dy,
			order.map((_, i) => order.indexOf(i)),
		),
	reference: ([x], order) =>
		moved(
			x,
			order.map((a) => x.shape[a]),
			(index) => order.map((_, a) => index[order.indexOf(a)]),
		),
	test: {
		draw: (shape, next) =>
			shape
				.map((_, a) => [next(), a])
				.sort(([p], [q]) => p - q)
				.map(([, a]) => a),
	},
});

/**
 * The axes in another order, as a view: axis i of the result is axis `order[i]` of x; negative ones count from the last.
 * @throws ValueError unless `order` names each axis once.
 */
export function permute(x: Tensor, order: readonly number[]): Tensor {
	const axes = order.map((a) => normalizeAxis("permute", a, x.rank));
	if (axes.length !== x.rank || new Set(axes).size !== x.rank) {
		throw new ValueError("permute/order", `permute: [${order.join(", ")}] is no order of ${x.rank} axes`, { op: "permute" });
	}
	return permutePrimitive.apply([x], axes);
}

/**
 * Two axes swapped, as a view; the last two when left out.
 * @throws ValueError when an axis is out of range, as of a vector when they are left out.
 */
export function transpose(x: Tensor, a = -1, b = -2): Tensor {
	const order = x.shape.map((_, i) => i);
	const i = normalizeAxis("transpose", a, x.rank);
	const j = normalizeAxis("transpose", b, x.rank);
	[order[i], order[j]] = [order[j], order[i]];
	return permute(x, order);
}

/**
 * One axis moved to another place, as a view; the others keep their order. Negative numbers count from the last.
 * @throws ValueError when `from` or `to` is out of range.
 */
export function movedim(x: Tensor, from: number, to: number): Tensor {
	const a = normalizeAxis("movedim", from, x.rank);
	const order = x.shape.map((_, i) => i).filter((i) => i !== a);
	return permute(x, order.toSpliced(normalizeAxis("movedim", to, x.rank), 0, a));
}

/**
 * x without one axis of extent 1.
 * @throws ShapeError when the axis has another extent.
 * @throws ValueError when `axis` is out of range.
 */
export function squeeze(x: Tensor, axis: number): Tensor {
	const at = normalizeAxis("squeeze", axis, x.rank);
	if (x.shape[at] !== 1)
		throw new ShapeError("shape/squeeze", `squeeze: axis ${axis} of ${showShape(x.shape)} is not 1`, { op: "squeeze" });
	return reshape(x, x.shape.toSpliced(at, 1));
}

/**
 * x with a new axis of extent 1, which becomes number `axis` of the result; −1 puts it last.
 * @throws ValueError when `axis` is not within the rank of the result.
 */
export function unsqueeze(x: Tensor, axis: number): Tensor {
	const at = normalizeAxis("unsqueeze", axis, x.rank + 1);
	return reshape(x, x.shape.toSpliced(at, 0, 1));
}
