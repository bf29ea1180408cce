import type { NdArray } from "@hushgrad/tensor/author";

/* Arrays in float64, written for plainness: the oracle of functions that are composed of primitives. */

const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** The array whose element at each index is `value(index)`. */
export function build(shape: readonly number[], value: (index: number[]) => number): NdArray {
	const data = new Float64Array(sizeOf(shape));
	const index = shape.map(() => 0);
	for (let i = 0; i < data.length; i++) {
		data[i] = value([...index]);
		for (let k = shape.length - 1; k >= 0 && ++index[k] === shape[k]; k--) index[k] = 0;
	}
	return { data, shape };
}

/** The element at an index; axes of extent 1 repeat, missing leading axes too. */
export function at(x: NdArray, index: readonly number[]): number {
	const { data, shape } = x;
	const skipped = index.length - shape.length;
	let flat = 0;
	for (let k = 0; k < shape.length; k++) flat = flat * shape[k] + (shape[k] === 1 ? 0 : index[skipped + k]);
	return data[flat];
}

/** Every index of a shape. */
export function indices(shape: readonly number[]): number[][] {
	const all: number[][] = [];
	build(shape, (index) => all.push(index));
	return all;
}

/** Reduces the axes with `f`, which sees the values in row-major order. */
export function reduce(x: NdArray, axes: readonly number[], f: (values: number[]) => number, keepDim = false): NdArray {
	const inner = axes.map((a) => x.shape[a]);
	const ones = x.shape.map((d, i) => (axes.includes(i) ? 1 : d));
	const reduced = build(ones, (index) => {
		const values = indices(inner).map((part) => {
			const full = [...index];
			axes.forEach((a, k) => {
				full[a] = part[k];
			});
			return at(x, full);
		});
		return f(values);
	});
	return keepDim ? reduced : { data: reduced.data, shape: x.shape.filter((_, i) => !axes.includes(i)) };
}

/** Maps each line along an axis with `f`. */
export function alongAxis(x: NdArray, axis: number, f: (line: number[]) => number[]): NdArray {
	const lines = new Map<string, number[]>();
	const line = (index: readonly number[]): number[] => {
		const key = index.toSpliced(axis, 1).join();
		const known = lines.get(key) ?? f(Array.from({ length: x.shape[axis] }, (_, k) => at(x, index.with(axis, k))));
		lines.set(key, known);
		return known;
	};
	const length = x.shape.includes(0) ? x.shape[axis] : line(x.shape.map(() => 0)).length;
	return build(x.shape.with(axis, length), (index) => line(index.with(axis, 0))[index[axis]]);
}

/** Einstein's sum by the definition: all indices of all letters. */
export function einsum(equation: string, parts: readonly NdArray[]): NdArray {
	const [left, right] = equation.split("->");
	const terms = left.split(",");
	const sizes = new Map<string, number>();
	terms.forEach((term, i) => [...term].forEach((c, k) => sizes.set(c, parts[i].shape[k])));
	const inner = [...sizes.keys()].filter((c) => !right.includes(c));
	return build(
		[...right].map((c) => sizes.get(c) as number),
		(index) => {
			let total = 0;
			for (const rest of indices(inner.map((c) => sizes.get(c) as number))) {
				const where = (c: string): number => (right.includes(c) ? index[right.indexOf(c)] : rest[inner.indexOf(c)]);
				total += terms.reduce((product, term, i) => product * at(parts[i], [...term].map(where)), 1);
			}
			return total;
		},
	);
}
