import { ShapeError, ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import { alias } from "../record.ts";
import { moved } from "../reference.ts";
import { checkShape, normalizeAxis, type Shape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, axesOf } from "./arguments.ts";
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
	expects("reshape", { x, shape }, { x: "tensor", shape: "wholes" });
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
export function permute(x: Tensor, order: Axes): Tensor {
	expects("permute", { x, order }, { x: "tensor", order: "axes" });
	const axes = [order].flat().map((a) => normalizeAxis("permute", a, x.rank));
	if (axes.length !== x.rank || new Set(axes).size !== x.rank) {
		throw new ValueError("permute/order", `permute: [${order}] is no order of ${x.rank} axes`, { op: "permute" });
	}
	return permutePrimitive.apply([x], axes);
}

function swapped(op: string, x: Tensor, a: number, b: number): Tensor {
	expects(op, { x }, { x: "tensor" });
	const order = x.shape.map((_, i) => i);
	const i = normalizeAxis(op, a, x.rank);
	const j = normalizeAxis(op, b, x.rank);
	[order[i], order[j]] = [order[j], order[i]];
	return permutePrimitive.apply([x], order);
}

/**
 * Two axes swapped, as a view; the last two when left out.
 * @throws ValueError when an axis is out of range, as of a vector when they are left out.
 */
export const transpose = (x: Tensor, a = -1, b = -2): Tensor => swapped("transpose", x, a, b);

/**
 * Two axes swapped, as a view: numpy's name for {@link transpose}, with both axes named.
 * @throws ValueError when an axis is out of range.
 */
export const swapaxes = (x: Tensor, a: number, b: number): Tensor => swapped("swapaxes", x, a, b);

function movedAxes(op: string, x: Tensor, from: Axes, to: Axes): Tensor {
	expects(op, { x, from, to }, { x: "tensor", from: "axes", to: "axes" });
	const [sources, targets] = [axesOf(op, x, from), axesOf(op, x, to)];
	if (sources.length !== targets.length) {
		throw new ValueError("movedim/axes", `${op}: axes [${from}] cannot become axes [${to}]`, { op });
	}
	const rest = x.shape.map((_, i) => i).filter((i) => !sources.includes(i));
	const order = x.shape.map((_, i) => (targets.includes(i) ? sources[targets.indexOf(i)] : (rest.shift() as number)));
	return permutePrimitive.apply([x], order);
}

/**
 * Axes moved to other places, as a view; the others keep their order. Negative numbers count from the last. Of lists, axis
 * `from[i]` becomes axis `to[i]`.
 * @throws ValueError when an axis is out of range or named twice, or there are not as many of both.
 */
export const movedim = (x: Tensor, from: Axes, to: Axes): Tensor => movedAxes("movedim", x, from, to);

/**
 * Axes moved to other places, as a view: numpy's name for {@link movedim}.
 * @throws ValueError when an axis is out of range or named twice, or there are not as many of both.
 */
export const moveaxis = (x: Tensor, from: Axes, to: Axes): Tensor => movedAxes("moveaxis", x, from, to);

/**
 * x without axes of extent 1: one, several, or all of them when left out.
 * @throws ShapeError when an axis that is named has another extent.
 * @throws ValueError when an axis is out of range or named twice.
 */
export function squeeze(x: Tensor, axes?: Axes): Tensor {
	const named = axesOf("squeeze", x, axes);
	const other = axes === undefined ? undefined : named.find((a) => x.shape[a] !== 1);
	if (other !== undefined) {
		throw new ShapeError("shape/squeeze", `squeeze: axis ${other} of ${showShape(x.shape)} is not 1`, { op: "squeeze" });
	}
	return reshape(
		x,
		x.shape.filter((d, i) => d !== 1 || !named.includes(i)),
	);
}

/**
 * x with a new axis of extent 1, which becomes number `axis` of the result; −1 puts it last.
 * @throws ValueError when `axis` is not within the rank of the result.
 */
export function unsqueeze(x: Tensor, axis: number): Tensor {
	expects("unsqueeze", { x }, { x: "tensor" });
	const at = normalizeAxis("unsqueeze", axis, x.rank + 1);
	return reshape(x, x.shape.toSpliced(at, 0, 1));
}

/**
 * The same values as a constant: no gradient goes through it. Shares the memory of x. Any dtype.
 * @throws DisposedError after the release of x.
 */
export function detach(x: Tensor): Tensor {
	expects("detach", { x }, { x: "tensor" });
	return alias(x, undefined);
}
