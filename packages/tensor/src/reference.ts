import type { NdArray } from "./primitive.ts";
import { sizeOf } from "./shape.ts";

/** Helpers of the float64 references. */

/** Applies `f` to each row (last axis) of x; `row` is its number. */
export function mapRows(x: NdArray, f: (values: Float64Array, row: number) => ArrayLike<number>): NdArray {
	const width = x.shape[x.shape.length - 1];
	const data = new Float64Array(x.data.length);
	for (let row = 0; row * width < data.length; row++) {
		data.set(f(x.data.subarray(row * width, (row + 1) * width), row), row * width);
	}
	return { data, shape: x.shape };
}

/** One number from each row (last axis) of x. */
export function reduceRows(x: NdArray, f: (values: Float64Array) => number): NdArray {
	const width = x.shape[x.shape.length - 1];
	const shape = x.shape.slice(0, -1);
	return { data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => f(x.data.subarray(i * width, (i + 1) * width))), shape };
}

/** The entry of a per-sample operand [B, ...core] that row `row` of `rows` belongs to; offset 0 for a shared one. */
export function sampleOffset(operand: NdArray, coreRank: number, row: number, rows: number): number {
	if (operand.shape.length === coreRank) return 0;
	const core = sizeOf(operand.shape.slice(1));
	return Math.floor((row * operand.shape[0]) / rows) * core;
}
