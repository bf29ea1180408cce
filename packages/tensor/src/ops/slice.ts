import { ShapeError, ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import type { Physical } from "../physical.ts";
import { moved } from "../reference.ts";
import { normalizeAxis, type Shape, sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { refuseStorage } from "./arguments.ts";
import { catInto } from "./cat.kernel.ts";
import { copyInto } from "./contiguous.ts";
import { zeroed } from "./create.ts";
import { flipPrimitive } from "./flip.ts";
import { reshape } from "./view.ts";

/** Elements start, start + step, … of an axis that has `extent` of them, `count` in all. */
export interface Run {
	readonly axis: number;
	readonly start: number;
	readonly count: number;
	readonly step: number;
	readonly extent: number;
}

/** The view of a whole along a run; the record axis comes first. */
const along = (whole: Physical, { axis, start, count, step }: Run): Physical =>
	whole.view({
		shape: whole.shape.with(axis + 1, count),
		strides: whole.strides.with(axis + 1, whole.strides[axis + 1] * step),
		offset: whole.offset + start * whole.strides[axis + 1],
	});

function drawRun(shape: Shape, next: () => number): Run | undefined {
	if (shape.length === 0) return undefined;
	const axis = Math.floor(next() * shape.length);
	const extent = shape[axis];
	// Mostly near the front, so that a step has somewhere to go.
	const start = Math.floor(next() ** 3 * (extent + 1));
	const step = 1 + Math.floor(next() * 3);
	return { axis, start, step, extent, count: Math.ceil((extent - start) / step) };
}

export const slicePrimitive: LinearOp<Run> = defineLinear({
	name: "slice",
	forward: ([x], run) => along(x, run),
	adjoint: (dy, run) => place(dy, run),
	reference: ([x], { axis, start, count, step }) =>
		moved(x, x.shape.with(axis, count), (index) => index.with(axis, start + step * index[axis])),
	test: { draw: drawRun },
});

export const placePrimitive: LinearOp<Run> = defineLinear({
	name: "place",
	forward: ([x], run) => {
		const whole = zeroed(x.runtime, x.shape.with(run.axis + 1, run.extent), x.dtype);
		copyInto(x, along(whole, run));
		return whole;
	},
	adjoint: (dy, run) => slicePrimitive.apply([dy], run),
	reference: ([x], { axis, start, step, extent }) =>
		moved(x, x.shape.with(axis, extent), (index) => {
			const k = (index[axis] - start) / step;
			return Number.isInteger(k) && k >= 0 && k < x.shape[axis] ? index.with(axis, k) : undefined;
		}),
	test: {
		draw: (shape, next) => {
			if (shape.length === 0) return undefined;
			const axis = Math.floor(next() * shape.length);
			const [start, step, tail] = [Math.floor(next() * 3), 1 + Math.floor(next() * 3), Math.floor(next() * 3)];
			return { axis, start, step, count: shape[axis], extent: start + Math.max(0, shape[axis] - 1) * step + 1 + tail };
		},
	},
});

/**
 * Elements start, start + step, … before `end` along one axis, ⌈(end − start) / step⌉ of them, as Python's slices: negative bounds
 * count from the end, a bound left out (undefined) is the end of the axis where the step comes from or leads to, and a negative
 * step goes backwards: `slice(x, 0, undefined, undefined, -1)` is x in reverse. A view; of a negative step a copy. Unlike Python,
 * bounds outside of the axis are refused, and so is an end on the wrong side of start. Any dtype; of bf16 and u8 upwards only.
 * @throws ValueError for other bounds, a step of 0, or an axis out of range.
 * @throws DTypeError for a negative step in bf16 or u8.
 */
export function slice(x: Tensor, axis: number, start?: number, end?: number, step = 1): Tensor {
	expects("slice", { x, start, end, step }, { x: "tensor", start: "whole?", end: "whole?", step: "whole" });
	const at = normalizeAxis("slice", axis, x.rank);
	const extent = x.shape[at];
	const isDown = step < 0;
	const bound = (given: number | undefined, open: number): number => (given === undefined ? open : given < 0 ? given + extent : given);
	const from = bound(start, isDown ? extent - 1 : 0);
	const to = bound(end, isDown ? -1 : extent);
	const fits = isDown ? to >= -1 && from >= to && from < extent : from >= 0 && to >= from && to <= extent;
	if (step === 0 || !fits) {
		throw new ValueError(
			"slice/range",
			`slice: ${start ?? ""}..${end ?? ""} by ${step} does not fit axis ${axis} of ${showShape(x.shape)}`,
			{ op: "slice" },
		);
	}
	const count = Math.max(0, Math.ceil((to - from) / step));
	if (!isDown) return slicePrimitive.apply([x], { axis: at, start: from, step, extent, count });
	refuseStorage("slice", x);
	const first = count === 0 ? 0 : from + (count - 1) * step;
	return flipPrimitive.apply([slicePrimitive.apply([x], { axis: at, start: first, step: -step, extent, count })], at);
}

/**
 * `length` elements from `start` on along one axis, as a view; torch's narrow. A negative start counts from the end. Any dtype.
 * @throws ValueError when they are not within the axis, or `axis` is out of range.
 */
export function narrow(x: Tensor, axis: number, start: number, length: number): Tensor {
	expects("narrow", { x, start, length }, { x: "tensor", start: "whole", length: "count" });
	const extent = x.shape[normalizeAxis("narrow", axis, x.rank)];
	const from = start < 0 ? start + extent : start;
	if (from < 0 || from + length > extent) {
		throw new ValueError("slice/range", `narrow: ${length} elements from ${start} do not fit axis ${axis} of ${showShape(x.shape)}`, {
			op: "narrow",
		});
	}
	return slice(x, axis, from, from + length);
}

/**
 * The entry number `index` along one axis, which disappears, as a view: torch's select, numpy's `x[index]`. A negative index counts
 * from the end. Any dtype.
 * @throws ValueError when the index or the axis is out of range.
 */
export function select(x: Tensor, axis: number, index: number): Tensor {
	expects("select", { x, index }, { x: "tensor", index: "whole" });
	const at = normalizeAxis("select", axis, x.rank);
	const extent = x.shape[at];
	const i = index < 0 ? index + extent : index;
	if (i < 0 || i >= extent) {
		throw new ValueError("select/index", `select: there is no entry ${index} on axis ${axis} of ${showShape(x.shape)}`, { op: "select" });
	}
	return reshape(slice(x, at, i, i + 1), x.shape.toSpliced(at, 1));
}

/**
 * All entries along an axis (the first when left out), which disappears, as views. Any dtype.
 * @throws ValueError when `axis` is out of range.
 */
export function unbind(x: Tensor, axis = 0): Tensor[] {
	expects("unbind", { x }, { x: "tensor" });
	const at = normalizeAxis("unbind", axis, x.rank);
	return Array.from({ length: x.shape[at] }, (_, i) => select(x, at, i));
}

/** Zeros of `run.extent` along an axis, with x at the elements of the run. Adjoint of `slice`. */
export function place(x: Tensor, run: Run, op = "place"): Tensor {
	refuseStorage(op, x);
	return placePrimitive.apply([x], run);
}

/** Where the parts begin along the axis. */
const starts = (shapes: readonly Shape[], axis: number): number[] =>
	shapes.map((_, i) => shapes.slice(0, i).reduce((n, s) => n + s[axis], 0));

export const catPrimitive: LinearOp<number> = defineLinear({
	name: "cat",
	forward: (parts, axis) => {
		const shapes = parts.map((p) => p.shape);
		const extent = shapes.reduce((n, s) => n + s[axis + 1], 0);
		const [first] = parts;
		const whole = first.runtime.empty(first.shape.with(axis + 1, extent), first.dtype);
		catInto(parts, whole, axis + 1, (p, start) => {
			copyInto(p, along(whole, { axis, start, count: p.shape[axis + 1], step: 1, extent }));
		});
		return whole;
	},
	adjoint: (dy, axis, operands, i) => {
		const shapes = operands.map((o) => o.shape);
		const start = starts(shapes, axis)[i];
		return slice(dy, axis, start, start + shapes[i][axis]);
	},
	reference: (parts, axis) => {
		const shapes = parts.map((p) => p.shape);
		const from = starts(shapes, axis);
		const extent = shapes.reduce((n, s) => n + s[axis], 0);
		const pieces = parts.map((p, i) =>
			moved(p, p.shape.with(axis, extent), (index) => {
				const k = index[axis] - from[i];
				return k >= 0 && k < p.shape[axis] ? index.with(axis, k) : undefined;
			}),
		);
		return { data: pieces[0].data.map((_, i) => pieces.reduce((s, p) => s + p.data[i], 0)), shape: pieces[0].shape };
	},
	test: {
		draw: (shape, next) => (shape.length === 0 ? undefined : Math.floor(next() * shape.length)),
		operands: (shape, axis) => [shape, shape.with(axis, 2), shape.with(axis, 3)],
	},
});

/**
 * Tensors joined along an axis, the first when left out; the other axes and the dtype must agree.
 * @throws ShapeError when ranks, other axes or dtypes differ.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError without a tensor, or when `axis` is out of range.
 */
export const cat = (parts: readonly Tensor[], axis = 0): Tensor => join("cat", parts, axis);

/** `cat` under the name that the user called. */
export function join(op: string, parts: readonly Tensor[], axis: number): Tensor {
	expects(op, { parts }, { parts: "tensors" });
	if (parts.length === 0) throw new ValueError("cat/empty", `${op}: needs at least one tensor`, { op });
	const [first] = parts;
	const at = normalizeAxis(op, axis, first.rank);
	const without = (s: Shape) => s.filter((_, i) => i !== at);
	for (const t of parts) {
		if (t.rank !== first.rank || !sameShape(without(t.shape), without(first.shape)) || t.dtype !== first.dtype) {
			const shown = parts.map((q) => `${q.dtype} ${showShape(q.shape)}`).join(", ");
			throw new ShapeError("shape/cat", `${op}: ${shown} differ beside axis ${axis}`, { op });
		}
	}
	refuseStorage(op, first);
	return catPrimitive.apply(parts, at);
}
