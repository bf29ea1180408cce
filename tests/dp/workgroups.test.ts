import { data, full, slice, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { addClippedKernel, addClippedPrimitive } from "../../packages/dp/src/clip/addClipped.ts";
import { addPartsPrimitive } from "../../packages/dp/src/clip/addParts.ts";
import { clipFactorsPrimitive } from "../../packages/dp/src/clip/clipFactors.ts";
import { differsPrimitive } from "../../packages/dp/src/clip/differs.ts";
import { squarePartsKernel, squarePartsPrimitive } from "../../packages/dp/src/clip/squareParts.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();

/** A matrix of small whole numbers, in which no two neighbours are alike. */
const matrix = (B: number, P: number): number[] => Array.from({ length: B * P }, (_, i) => (i % 7) - 3);
const upload = (values: readonly number[], ...shape: readonly number[]): Tensor => device().fromHost(values, shape);
/** Sums over the runs of 256 of each row. */
const parts = (values: readonly number[], B: number, P: number): number[] =>
	Array.from({ length: B }, (_, b) => values.slice(b * P, (b + 1) * P)).flatMap((row) =>
		Array.from({ length: Math.ceil(P / 256) }, (_, c) => row.slice(256 * c, 256 * (c + 1)).reduce((s, v) => s + v, 0)),
	);
async function given(make: () => Tensor): Promise<number[]> {
	const y = device().scope<Tensor>(make);
	const values = Array.from(await data(y));
	y.dispose();
	return values;
}

describe("more results than one workgroup gives, of whole numbers", () => {
	const [B, P] = [50, 300];
	const values = matrix(B, P);

	it("are the squares of each record, whose parts add up to them", async () => {
		const own = await given(() => squarePartsPrimitive.apply([upload(values, B, P)], { scale: 2 })[0]);
		const sums = (all: readonly number[]) => {
			const of = (b: number) => all.slice((b * all.length) / B, ((b + 1) * all.length) / B);
			return Array.from({ length: B }, (_, b) => of(b).reduce((s, v) => s + v, 0));
		};
		expect(sums(own)).toEqual(sums(values.map((v) => 4 * v * v)));
	});

	it("are the parts of parts", async () => {
		const own = await given(() => addPartsPrimitive.apply([upload(values, B, P)])[0]);
		expect(own).toEqual(parts(values, B, P));
	});

	it("are the factors and the norms of each record and group", async () => {
		// Norms 2, 4, 6, …, of which C is 8.
		const squares = Array.from({ length: 2 * B }, (_, i) => 4 * (i + 1) ** 2);
		const [factors, norms] = [0, 1].map((result) =>
			given(
				() =>
					clipFactorsPrimitive.apply([upload(squares, B, 2, 1), full(device(), [B], 1), full(device(), [2], 8)], {
						...{ gamma: 0, most: 1, perGrid: 1, unit: 1 },
					})[result],
			),
		);
		const near = (found: readonly number[], expected: readonly number[]) => {
			expect(found).toHaveLength(expected.length);
			found.forEach((f, i) => expect(Math.abs(f / expected[i] - 1)).toBeLessThan(2 ** -20));
		};
		near(
			await factors,
			squares.map((s) => Math.min(1, 8 / Math.sqrt(s))),
		);
		near(
			await norms,
			Array.from({ length: B }, (_, b) => Math.sqrt(squares[2 * b] + squares[2 * b + 1])),
		);
	});

	it("are the differences of each coordinate", async () => {
		const other = values.map((v, i) => ((i % P) % 3 === 0 ? v + 1 : v));
		const ones = () => full(device(), [B, 1], 1);
		const own = await given(() => differsPrimitive.apply([upload(values, B, P), ones(), upload(other, B, P), ones()])[0]);
		expect(own).toEqual(Array.from({ length: P }, (_, p) => Number(p % 3 === 0)));
	});

	it.each([300, 304, 301])("are the sums of %i coordinates, and their counts", async (S) => {
		const own = matrix(B, S);
		const sum = device().fromHost(new Int32Array(S + 2), [S + 2]);
		const factors = Array.from({ length: B }, (_, b) => [2, -1, 1, 0][b % 4]);
		device().scope<void>(() => {
			addClippedPrimitive.apply([sum, upload(own, B, S), upload(factors, B, 1)], { whole: 5, full: 2, group: 0 });
		});
		const of = (factor: number) => factors.filter((f) => f === factor).length;
		const expected = Array.from({ length: S }, (_, p) => factors.reduce((s, f, b) => s + Math.max(0, f) * own[b * S + p], 0));
		expect([...(await data(sum))]).toEqual([...expected, 5 * of(-1), 5 * (of(2) - of(1))]);
		sum.dispose();
	});
});

describe("sums of clipped gradients", () => {
	it("in the reference are of whole steps, halves to the even one; and count factors below 0, below `full`, and of it", () => {
		const at = (data: readonly number[], ...shape: readonly number[]) => ({ data: Float64Array.from(data), shape });
		const halves = [0.5, 1.5, 2.5, -0.5, -1.5, 0.75];
		// What a factor of 0 or below scales is not read.
		const unread = [Number.NaN, Number.POSITIVE_INFINITY, 1, 1, 1, 1];
		const inputs = {
			sum: at([10, 10, 10, 10, 10, 10, 10, 10, 10], 9),
			g: at([...halves, ...halves, ...unread, ...unread, ...unread], 5, 6),
			factors: at([1, 3, 0, -1, -2], 5, 1),
		};
		const attrs = { ...addClippedPrimitive.spec.attrs, whole: 5, full: 3, group: 0 };
		const [{ data: own }] = addClippedPrimitive.spec.reference(inputs, attrs);
		// Three times a half: 1.5, 4.5, 7.5, −1.5, −4.5 and 2.25.
		const expected = [0 + 2, 2 + 4, 2 + 8, 0 - 2, -2 - 4, 1 + 2, 5 + 5, -5 + 5, 0].map((v) => 10 + v);
		expect([...own]).toEqual(expected);
		const { factors } = addClippedPrimitive.spec.test?.domains ?? {};
		const [low, high] = (factors as { readonly range: readonly [number, number] }).range;
		expect(low).toBeLessThan(0);
		expect(high).toBeGreaterThan(addClippedPrimitive.spec.attrs.full);
	});

	it.each([
		["lies", 0, 33, 0],
		["begins", 1, 36, 0],
		["is added to what begins", 0, 36, 1],
		["is added to what goes on", 0, 32, 0],
	])("are those of a gradient that %s (%i of %i, %i) where no four begins, and nothing beside", async (_, from, width, start) => {
		const [B, P] = [3, 32];
		const own = matrix(B, width);
		const all = device().fromHost(new Int32Array(48).fill(9), [48]);
		device().scope<void>(() => {
			const g = slice(upload(own, B, width), 1, from, from + P);
			const factors = upload([1, 2, 1], B, 1);
			addClippedPrimitive.apply([slice(all, 0, start, start + P + 2), g, factors], { whole: 5, full: 2, group: 0 });
		});
		const sums = Array.from({ length: P }, (_, p) => [1, 2, 1].reduce((s, f, b) => s + f * own[b * width + from + p], 9));
		const rest = new Array(48 - start - P - 2).fill(9);
		expect([...(await data(all))]).toEqual([...new Array(start).fill(9), ...sums, 9, 9 - 5, ...rest]);
		all.dispose();
	});
});

it("kernels read fours of numbers where all lies at multiples of four", async () => {
	const made = (kernels: readonly { readonly key: string }[]) => kernels.map(({ key }) => Number(key.match(/\d+$/)));
	for (const P of [8, 9, 10]) await given(() => squarePartsPrimitive.apply([upload(matrix(2, P), 2, P)])[0]);
	expect(made(squarePartsKernel.made).sort()).toEqual([1, 4]);
	for (const P of [32, 12, 5]) {
		const sum = device().fromHost(new Int32Array(P), [P]);
		device().scope<void>(() => void addClippedPrimitive.apply([sum, upload(matrix(2, P), 2, P), full(device(), [2, 1], 1)]));
		sum.dispose();
	}
	expect(made(addClippedKernel.made).sort((a, b) => a - b)).toEqual([1, 4, 16]);
});
