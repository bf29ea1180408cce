import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import type { Physical } from "../physical.ts";
import { moved } from "../reference.ts";
import { normalizeAxis, type Shape, sameShape, showShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { copyInto } from "./contiguous.ts";
import { zeroed } from "./create.ts";

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

/** Refuses element types of which a word holds several: kernels store them by whole words. */
export function refuseStorage(op: string, x: Tensor): void {
	if (x.dtype !== "bf16" && x.dtype !== "u8") return;
	throw new DTypeError("op/dtype", `${op}: x is ${x.dtype} ${showShape(x.shape)}, which is storage only`, {
		op,
		hint: "convert it with cast()",
	});
}

function drawRun(shape: Shape, next: () => number): Run | undefined {
	if (shape.length === 0) return undefined;
	const axis = Math.floor(next() * shape.length);
	const extent = shape[axis];
	const start = Math.floor(next() * (extent + 1));
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
 * Elements start, start + step, … below `end` along one axis, as a view: ⌈(end − start) / step⌉ of them. Any dtype. Bounds do
 * not count from the end: 0 ≤ start ≤ end ≤ extent.
 * @throws ValueError for other bounds, a step below 1, or an axis out of range.
 */
export function slice(x: Tensor, axis: number, start: number, end: number, step = 1): Tensor {
	const at = normalizeAxis("slice", axis, x.rank);
	const extent = x.shape[at];
	if (![start, end, step].every(Number.isInteger) || start < 0 || end < start || end > extent || step < 1) {
		throw new ValueError("slice/range", `slice: ${start}..${end} by ${step} does not fit axis ${axis} of ${showShape(x.shape)}`, {
			op: "slice",
		});
	}
	return slicePrimitive.apply([x], { axis: at, start, step, extent, count: Math.ceil((end - start) / step) });
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
		const from = starts(shapes, axis + 1);
		parts.forEach((p, i) => {
			copyInto(p, along(whole, { axis, start: from[i], count: p.shape[axis + 1], step: 1, extent }));
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
export function cat(parts: readonly Tensor[], axis = 0): Tensor {
	if (parts.length === 0) throw new ValueError("cat/empty", "cat: needs at least one tensor", { op: "cat" });
	const [first] = parts;
	const at = normalizeAxis("cat", axis, first.rank);
	const without = (s: Shape) => s.filter((_, i) => i !== at);
	for (const t of parts) {
		if (!(t instanceof Tensor) || t.rank !== first.rank || !sameShape(without(t.shape), without(first.shape)) || t.dtype !== first.dtype) {
			throw new ShapeError(
				"shape/cat",
				`cat: ${parts.map((q) => `${q.dtype} ${showShape(q.shape)}`).join(", ")} differ beside axis ${axis}`,
				{
					op: "cat",
				},
			);
		}
	}
	refuseStorage("cat", first);
	return catPrimitive.apply(parts, at);
}
