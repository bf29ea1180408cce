import { data, slice, sum, type Tensor, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Large numbers that cancel, so that another order gives other bits. */
function drawn(shape: readonly number[]): Float32Array {
	const next = numbers(7, 1);
	return Float32Array.from({ length: sizeOf(shape) }, () => (next() - 0.5) * 10 ** Math.floor(4 * next()));
}

/** The sum in float64 over the axes. */
function expected(values: Float32Array, shape: readonly number[], axes: readonly number[]): Float64Array {
	const kept = shape.map((d, i) => (axes.includes(i) ? 1 : d));
	const out = new Float64Array(sizeOf(kept));
	values.forEach((v, i) => {
		let [rest, at, step] = [i, 0, 1];
		for (let k = shape.length - 1; k >= 0; k--) {
			if (kept[k] !== 1) at += (rest % shape[k]) * step;
			rest = Math.floor(rest / shape[k]);
			step *= kept[k];
		}
		out[at] += v;
	});
	return out;
}

/** The same values one column further into a wider tensor: nothing of it lies at a multiple of four. */
function misaligned(values: Float32Array, shape: readonly number[]): Tensor {
	const width = shape[shape.length - 1];
	const wide = new Float32Array((values.length / width) * (width + 3));
	values.forEach((v, i) => {
		wide[Math.floor(i / width) * (width + 3) + 1 + (i % width)] = v;
	});
	return slice(device().fromHost(wide, [...shape.slice(0, -1), width + 3]), -1, 1, width + 1);
}

/** Rows of so many values as columns. */
function turned(values: Float32Array, width: number): Float32Array {
	const height = values.length / width;
	return Float32Array.from(values, (_, i) => values[(i % height) * width + Math.floor(i / height)]);
}

describe("a sum", () => {
	it.each([5, 9, 70, 600])("of %i values has the same bits however they lie", async (length) => {
		const values = drawn([12, length]);
		const [rows, columns] = [device().fromHost(values, [12, length]), device().fromHost(turned(values, length), [length, 12])];
		const [ofRows, ofColumns] = device().scope<Tensor[]>(() => [sum(rows, -1), sum(columns, 0)]);
		expect(await data(ofColumns)).toEqual(await data(ofRows));
		for (const t of [rows, columns, ofRows, ofColumns]) t.dispose();
	});

	// Read by fours along rows, by twos of columns, in one part and in several, with what is left over.
	it.each([
		[[3, 64], [1]],
		[[64, 12], [0]],
		[[70, 12], [0]],
		[[1029, 16], [0]],
		[[2, 530, 8], [1]],
		[[2, 3, 600], [2]],
		[[4, 1030], [1]],
		[
			[5, 6, 16],
			[0, 2],
		],
		[
			[9, 5, 8],
			[0, 1],
		],
		[
			[3, 7, 4, 8],
			[1, 2],
		],
	])("of %j over %j has the same bits however it is read, near its float64 reference", async (shape, axes) => {
		const values = drawn(shape);
		const [whole, apart] = [device().fromHost(values, shape), misaligned(values, shape)];
		const y = (await data(device().scope(() => sum(whole, axes)))) as Float32Array;
		const z = (await data(device().scope(() => sum(apart, axes)))) as Float32Array;
		expect([...new Uint32Array(y.slice().buffer)]).toEqual([...new Uint32Array(z.slice().buffer)]);
		// Numbers up to 500: eights are rounded seven times, the corrected rest once or twice.
		expected(values, shape, axes).forEach((v, i) => {
			expect(Math.abs(y[i] - v)).toBeLessThan(8 * 4000 * 2 ** -24 + Math.abs(v) * 2 ** -22);
		});
		for (const t of [whole, apart]) t.dispose();
	});

	it("of columns whose rows lie apart has the bits of those that do not", async () => {
		const shape = [3, 6, 8];
		const wide = device().fromHost(drawn(shape), shape);
		const apart = device().scope<Tensor>(() => slice(wide, 1, 0, 5));
		const whole = device().fromHost((await data(apart)) as Float32Array, [3, 5, 8]);
		const [y, z] = device().scope<Tensor[]>(() => [sum(apart, [0, 1]), sum(whole, [0, 1])]);
		expect(await data(y)).toEqual(await data(z));
		for (const t of [wide, apart, whole, y, z]) t.dispose();
	});

	it.each([
		[[3, 523, 20], [0]],
		[[3, 523, 20], [1]],
		[
			[3, 2, 3, 5, 70, 2, 4],
			[1, 3, 4],
		],
		[
			[3, 2, 3, 5, 70, 2, 4],
			[1, 3],
		],
	])("of a record of %j over %j is the same alone and among others", async (shape, axes) => {
		const x = device().fromHost(drawn(shape), shape);
		// With gaps between all axes, so that they cannot be merged.
		const program = vmap((record: Tensor) => sum(slice(record, 1, 0, record.shape[1] - 1), axes));
		const all = (await data(device().scope(() => program(x)))) as Float32Array;
		const alone = (await data(device().scope(() => program(slice(x, 0, 1, 2))))) as Float32Array;
		expect([...alone]).toEqual([...all.slice(alone.length, 2 * alone.length)]);
	});
});
