import { ShapeError, ValueError } from "./errors.ts";

/** Extents of the axes, whole numbers of 0 or more, outermost first; [] is a scalar. */
export type Shape = readonly number[];

/** Number of elements: the product of the extents, 1 for a scalar. */
export function sizeOf(shape: Shape): number {
	let size = 1;
	for (let i = 0; i < shape.length; i++) size *= shape[i];
	return size;
}

/** Whether two shapes have the same rank and extents; nothing is broadcast. */
export function sameShape(a: Shape, b: Shape): boolean {
	if (a?.length !== b?.length || !Array.isArray(a)) return false;
	for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
	return true;
}

/** A shape as error texts show it: "[2, 3]". */
export const showShape = (shape: Shape): string => (Array.isArray(shape) ? `[${shape.map(extentText).join(", ")}]` : " without a shape");

const extentText = (d: unknown): string =>
	typeof d === "function" ? "a function" : typeof d === "object" && d !== null ? "an object" : String(d);

/** Row-major strides, in elements. */
export function contiguousStrides(shape: Shape): number[] {
	const strides = new Array<number>(shape.length);
	let step = 1;
	for (let i = shape.length - 1; i >= 0; i--) {
		strides[i] = step;
		step *= shape[i];
	}
	return strides;
}

export function isContiguous(shape: Shape, strides: Shape): boolean {
	let step = 1;
	for (let i = shape.length - 1; i >= 0; i--) {
		if (shape[i] !== 1 && strides[i] !== step) return false;
		step *= shape[i];
	}
	return true;
}

/** Kernels number elements with u32. */
const MAX_ELEMENTS = 2 ** 32 - 1;

/**
 * Refuses what is no shape; `op` names the caller in the text.
 * @throws ShapeError unless every extent is a whole number of 0 or more and there are fewer than 2^32 elements.
 */
export function checkShape(op: string, shape: Shape): void {
	if (!Array.isArray(shape)) {
		throw new ShapeError("shape/list", `${op}: shape is ${extentText(shape)}, expected a list of numbers`, { op, hint: "give [2, 3]" });
	}
	for (const d of shape) {
		if (!Number.isSafeInteger(d) || d < 0) {
			throw new ShapeError("shape/extent", `${op}: ${showShape(shape)} is not a shape: ${extentText(d)} is not an extent`, {
				op,
				hint: "extents are whole numbers, zero or more",
			});
		}
	}
	if (sizeOf(shape) > MAX_ELEMENTS) {
		throw new ShapeError("shape/too-large", `${op}: ${showShape(shape)} has ${sizeOf(shape)} elements, more than ${MAX_ELEMENTS}`, { op });
	}
}

/** Maps a possibly negative axis into 0..rank-1. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
	const at = Number.isInteger(axis) && axis < 0 ? axis + rank : axis;
	if (!Number.isInteger(axis) || !Number.isInteger(rank) || at < 0 || at >= rank) {
		throw new ValueError("axis/range", `${op}: axis ${extentText(axis)} is out of range for a tensor of rank ${rank}`, { op });
	}
	return at;
}

/** numpy broadcasting of several shapes, aligned at the last axis. */
export function broadcastShapes(op: string, ...shapes: Shape[]): number[] {
	let rank = 0;
	for (const shape of shapes) rank = Math.max(rank, shape.length);
	const out = new Array<number>(rank).fill(1);
	for (const shape of shapes) {
		for (let i = 0; i < shape.length; i++) {
			const at = rank - shape.length + i;
			const d = shape[i];
			if (d === 1 || d === out[at]) continue;
			if (out[at] !== 1) {
				throw new ShapeError(
					"shape/broadcast",
					`${op}: shapes ${shapes.map(showShape).join(" and ")} do not broadcast: axis ${at - rank} is ${out[at]} and ${d}`,
					{ op, hint: "axes are compared from the last one; each pair must be equal, or one of them 1" },
				);
			}
			out[at] = d;
		}
	}
	return out;
}

/** Strides of a view that repeats a tensor to a broadcast shape (0 along repeated axes). */
export function broadcastStrides(shape: Shape, strides: Shape, target: Shape): number[] {
	const lead = target.length - shape.length;
	return target.map((d, i) => (i < lead || (shape[i - lead] === 1 && d !== 1) ? 0 : strides[i - lead]));
}

/**
 * Merges neighbouring axes that every operand walks with one stride, and drops axes of size 1.
 * Returns the merged shape and the strides of each operand.
 */
export function collapse(shape: Shape, operands: readonly Shape[]): { shape: number[]; strides: number[][] } {
	const outShape: number[] = [];
	const out: number[][] = operands.map(() => []);
	for (let i = 0; i < shape.length; i++) {
		if (shape[i] === 1) continue;
		const last = outShape.length - 1;
		if (last >= 0 && operands.every((s, o) => out[o][last] === s[i] * shape[i])) {
			outShape[last] *= shape[i];
			operands.forEach((s, o) => {
				out[o][last] = s[i];
			});
		} else {
			outShape.push(shape[i]);
			operands.forEach((s, o) => {
				out[o].push(s[i]);
			});
		}
	}
	return { shape: outShape, strides: out };
}

/** Strides with which the elements of a view take another shape in row-major order; undefined when they need a copy. */
export function viewStrides(shape: Shape, strides: Shape, target: Shape): number[] | undefined {
	if (sizeOf(shape) === 0) return contiguousStrides(target);
	const runs = collapse(shape, [strides]);
	const out = new Array<number>(target.length);
	let run = runs.shape.length - 1;
	let left = runs.shape[run] ?? 1;
	let stride = runs.strides[0][run] ?? 1;
	for (let i = target.length - 1; i >= 0; i--) {
		if (left === 1 && target[i] !== 1 && run > 0) {
			run--;
			left = runs.shape[run];
			stride = runs.strides[0][run];
		}
		if (left % target[i] !== 0) return undefined;
		out[i] = stride;
		stride *= target[i];
		left /= target[i];
	}
	return out;
}
