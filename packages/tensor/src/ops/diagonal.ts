import { ShapeError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import type { Physical } from "../physical.ts";
import { moved } from "../reference.ts";
import { normalizeAxis, type Shape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { refuseStorage } from "./arguments.ts";
import { copyInto } from "./contiguous.ts";
import { zeroed } from "./create.ts";
import { sum } from "./expand.ts";

/** A diagonal of the matrices [rows, columns] on two axes: element i is (row + i, column + i). */
interface Line {
	readonly axis1: number;
	readonly axis2: number;
	readonly rows: number;
	readonly columns: number;
	readonly offset: number;
}

const startOf = ({ offset }: Line): readonly [row: number, column: number] => [Math.max(0, -offset), Math.max(0, offset)];
const lengthOf = (line: Line): number => Math.max(0, Math.min(line.rows - startOf(line)[0], line.columns - startOf(line)[1]));

/** A list without the entries of two axes, followed by one more. */
const without = (list: Shape, { axis1, axis2 }: Line, last: number): number[] => [
	...list.filter((_, i) => i !== axis1 && i !== axis2),
	last,
];

/** A list with the entries of two axes put in. */
function within(list: Shape, { axis1, axis2 }: Line, first: number, second: number): number[] {
	const [low, high] = axis1 < axis2 ? [first, second] : [second, first];
	return list.slice().toSpliced(Math.min(axis1, axis2), 0, low).toSpliced(Math.max(axis1, axis2), 0, high);
}

/** The view of a whole along the diagonal, which comes last. The record axis is axis 0. */
function along(x: Physical, line: Line): Physical {
	const [records, ...shape] = x.shape;
	const [stride, ...strides] = x.strides;
	const [s1, s2] = [strides[line.axis1], strides[line.axis2]];
	const [row, column] = startOf(line);
	const length = lengthOf(line);
	return x.view({
		shape: [records, ...without(shape, line, length)],
		strides: [stride, ...without(strides, line, s1 + s2)],
		offset: length === 0 ? x.offset : x.offset + row * s1 + column * s2,
	});
}

export const diagonalPrimitive: LinearOp<Line> = defineLinear({
	name: "diagonal",
	forward: ([x], line) => along(x, line),
	adjoint: (dy, line) => placeDiagonalPrimitive.apply([dy], line),
	reference: ([x], line) => {
		const [row, column] = startOf(line);
		return moved(x, without(x.shape, line, lengthOf(line)), (index) => {
			const i = index[index.length - 1];
			return within(index.slice(0, -1), line, row + i, column + i);
		});
	},
	test: {
		draw: (shape: Shape, next) => {
			if (shape.length < 2) return undefined;
			const axis1 = Math.floor(next() * shape.length);
			const axis2 = (axis1 + 1 + Math.floor(next() * (shape.length - 1))) % shape.length;
			return { axis1, axis2, rows: shape[axis1], columns: shape[axis2], offset: Math.floor(next() * 7) - 3 };
		},
	},
});

export const placeDiagonalPrimitive: LinearOp<Line> = defineLinear({
	name: "placeDiagonal",
	forward: ([x], line) => {
		const [records, ...shape] = x.shape;
		const whole = zeroed(x.runtime, [records, ...within(shape.slice(0, -1), line, line.rows, line.columns)], x.dtype);
		copyInto(x, along(whole, line));
		return whole;
	},
	adjoint: (dy, line) => diagonalPrimitive.apply([dy], line),
	reference: ([x], line) => {
		const [row, column] = startOf(line);
		return moved(x, within(x.shape.slice(0, -1), line, line.rows, line.columns), (index) => {
			const i = index[line.axis1] - row;
			return i >= 0 && i < lengthOf(line) && index[line.axis2] - column === i ? without(index, line, i) : undefined;
		});
	},
	test: {
		draw: (shape, next) => {
			if (shape.length === 0) return undefined;
			const axis1 = Math.floor(next() * (shape.length + 1));
			const axis2 = (axis1 + 1 + Math.floor(next() * shape.length)) % (shape.length + 1);
			return squareFor(shape[shape.length - 1], { offset: Math.floor(next() * 5) - 2, axis1, axis2 });
		},
	},
});

/** The smallest square matrix with a diagonal of this length. */
const squareFor = (length: number, at: Pick<Line, "offset" | "axis1" | "axis2">): Line => {
	const n = length + Math.abs(at.offset);
	return { ...at, rows: n, columns: n };
};

/** Options of `diagonal`, `diagEmbed` and `trace`. */
export interface DiagonalOptions {
	/** Counts up from the main diagonal, which is 0 (when left out); 1 is the one above it, −1 the one below. */
	readonly offset?: number | undefined;
	/** Axis of the rows. */
	readonly axis1?: number | undefined;
	/** Axis of the columns. */
	readonly axis2?: number | undefined;
}

const DIAGONAL = { offset: "whole?", axis1: "whole?", axis2: "whole?" } as const;

/** The diagonal that is asked for, of a tensor of this shape. */
function lineOf(op: string, shape: Shape, { offset = 0, axis1 = 0, axis2 = 1 }: DiagonalOptions): Line {
	const [a, b] = [axis1, axis2].map((axis) => normalizeAxis(op, axis, shape.length));
	if (a === b) throw new ShapeError("shape/diagonal", `${op}: axes ${axis1} and ${axis2} of ${showShape(shape)} are one`, { op });
	return { axis1: a, axis2: b, rows: shape[a], columns: shape[b], offset };
}

/**
 * A diagonal of the matrices on two axes (0 and 1 when left out), as a view: both axes disappear, and the diagonal comes last, as
 * numpy's and torch's. The matrices need not be square; beyond their corners a diagonal is empty. Any dtype.
 * `[2, 3, 5]` → `[5, 2]`.
 * @throws ShapeError when both axes are one.
 * @throws ValueError when an axis is out of range or `offset` is no whole number.
 */
export function diagonal(x: Tensor, options: DiagonalOptions = {}): Tensor {
	expects("diagonal", { x }, { x: "tensor" });
	return diagonalPrimitive.apply([x], lineOf("diagonal", x.shape, optionsOf("diagonal", options, DIAGONAL)));
}

/**
 * Square matrices with the last axis of x on a diagonal and 0 elsewhere; the axes of the matrices are the last two of the result
 * when left out: torch's diag_embed, and the adjoint of `diagonal`. All dtypes but bf16 and u8. `[2, 3]` → `[2, 3, 3]`.
 * @throws ShapeError when x has no axis or both axes are one.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError when an axis is out of range or `offset` is no whole number.
 */
export function diagEmbed(x: Tensor, options: DiagonalOptions = {}): Tensor {
	refuseStorage("diagEmbed", x);
	const { offset = 0, axis1 = -2, axis2 = -1 } = optionsOf("diagEmbed", options, DIAGONAL);
	if (x.rank === 0) throw new ShapeError("shape/diagonal", "diagEmbed: x is a scalar", { op: "diagEmbed" });
	const n = x.shape[x.rank - 1];
	const line = lineOf("diagEmbed", [...x.shape, n], { offset, axis1, axis2 });
	return placeDiagonalPrimitive.apply([x], squareFor(n, line));
}

/**
 * The sum of a diagonal of the matrices on two axes (0 and 1 when left out), which disappear; numpy's trace. Types as of `sum`.
 * @throws ShapeError when both axes are one.
 * @throws DTypeError for storage types.
 * @throws ValueError when an axis is out of range or `offset` is no whole number.
 */
export function trace(x: Tensor, options: DiagonalOptions = {}): Tensor {
	refuseStorage("trace", x);
	return sum(diagonalPrimitive.apply([x], lineOf("trace", x.shape, optionsOf("trace", options, DIAGONAL))), -1);
}
