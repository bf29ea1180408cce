import { contiguousStrides, sizeOf } from "./shape.ts";

/** A float64 array of the reference implementations, of one record. */
export interface NdArray {
	/** The elements in row-major order. */
	readonly data: Float64Array;
	/** Extents; [] for a scalar. */
	readonly shape: readonly number[];
}

/* Helpers of the float64 references. */

/** Applies `f`, which keeps the length, to each row (last axis) of x; `row` is its number. x needs an axis. */
export function mapRows(x: NdArray, f: (values: Float64Array, row: number) => ArrayLike<number>): NdArray {
	const width = x.shape[x.shape.length - 1];
	const data = new Float64Array(x.data.length);
	for (let row = 0; row * width < data.length; row++) {
		data.set(f(x.data.subarray(row * width, (row + 1) * width), row), row * width);
	}
	return { data, shape: x.shape };
}

/** One number from each row (last axis) of x: the result has x's shape without that axis. */
export function reduceRows(x: NdArray, f: (values: Float64Array) => number): NdArray {
	const width = x.shape[x.shape.length - 1];
	const shape = x.shape.slice(0, -1);
	return { data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => f(x.data.subarray(i * width, (i + 1) * width))), shape };
}

/** The array of another shape whose element at an index is the element of x at `from(index)`, or 0 where that is undefined. */
export function moved(x: NdArray, shape: readonly number[], from: (index: readonly number[]) => readonly number[] | undefined): NdArray {
	const data = new Float64Array(sizeOf(shape));
	const strides = contiguousStrides(x.shape);
	const index = shape.map(() => 0);
	for (let i = 0; i < data.length; i++) {
		const source = from(index);
		if (source !== undefined) data[i] = x.data[source.reduce((at, k, axis) => at + k * strides[axis], 0)];
		for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
	}
	return { data, shape };
}

/** The series of erf in float64, for |x| up to 2.5. */
function erfSeries(x: number): number {
	let term = x;
	let sum = x;
	for (let k = 1; k < 80; k++) {
		term *= (-x * x) / k;
		sum += term / (2 * k + 1);
	}
	return (2 / Math.sqrt(Math.PI)) * sum;
}
/** The continued fraction of 1 − erf in float64, from 2.5 on. */
function erfTail(a: number): number {
	let c = 0;
	for (let k = 60; k > 0; k--) c = k / 2 / (a + c);
	return Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + c));
}
/** erf in float64. */
export const erfOf = (x: number): number => (Math.abs(x) > 2.5 ? Math.sign(x) * (1 - erfTail(Math.abs(x))) : erfSeries(x));
/** 1 − erf in float64, which keeps its digits where that is small. */
export const erfcOf = (x: number): number => (x > 2.5 ? erfTail(x) : 1 - erfOf(x));
