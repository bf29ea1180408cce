import {
	type Device,
	data,
	mul,
	ones,
	requestDevice,
	type Slot,
	scaledDotProductAttention,
	slice,
	sum,
	type Tensor,
	unsqueeze,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { expectSame, expectWithin } from "../support/bounds.ts";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { readAll } from "../support/reading.ts";

const fused = useDevice({ plan: "gpu" });
const held = useDevice({ plan: "cpu" });

type Options = NonNullable<Parameters<typeof scaledDotProductAttention>[3]>;

const values = (shape: readonly number[], seed: number): Float32Array => {
	const next = numbers(seed, 0);
	return Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => 2 * next() - 1);
};

interface Shapes {
	readonly q: readonly number[];
	readonly k: readonly number[];
	readonly v: readonly number[];
	readonly mask?: readonly number[] | undefined;
}

/** The result, and the gradients of a functional of it. */
async function run(
	on: Device,
	shapes: Shapes,
	options: Options,
	mask?: (values: Float32Array, on: Device) => Tensor,
): Promise<Float32Array[]> {
	return (
		await readAll([
			on.scope<Tensor[]>(() => {
				const slots = [shapes.q, shapes.k, shapes.v].map((shape, i): Slot => ({ value: on.fromHost(values(shape, i + 1), [...shape]) }));
				const given = shapes.mask && mask && { mask: mask(values(shapes.mask, 4), on) };
				const attend = () => scaledDotProductAttention(slots[0].value, slots[1].value, slots[2].value, { ...options, ...given });
				const y = attend();
				const weights = on.fromHost(values(y.shape, 5), [...y.shape]);
				const { grads } = valueAndGrad(() => sum(mul(attend(), weights)), slots);
				return [y, ...grads];
			}),
		])
	)[0].map((x) => Float32Array.from(x));
}

const heads = (n: number, T: number, K: number): readonly number[] => [n, T, K];

/** Extents within a tile, of whole tiles, and beyond them; widths of fours and not, for both kinds of tiles, of one four and two. */
const CASES: readonly (readonly [name: string, shapes: Shapes, options: Options])[] = [
	["one tile", { q: [5, 4], k: [3, 4], v: [3, 4] }, {}],
	["causal rows of two tiles", { q: heads(2, 37, 24), k: heads(2, 37, 24), v: heads(2, 37, 24) }, { isCausal: true }],
	["keys of three tiles, after a cache", { q: heads(1, 5, 8), k: heads(1, 150, 8), v: heads(1, 150, 12) }, { isCausal: true, offset: 145 }],
	["a window and a cap", { q: heads(2, 70, 16), k: heads(2, 70, 16), v: heads(2, 70, 16) }, { isCausal: true, window: 9, softcap: 0.7 }],
	["a window into later keys", { q: heads(1, 20, 8), k: heads(1, 70, 8), v: heads(1, 70, 8) }, { window: 4, offset: 2 }],
	["shared heads", { q: heads(6, 35, 8), k: heads(2, 35, 8), v: heads(2, 35, 8) }, { isCausal: true, scale: 0.3 }],
	["one head of keys for all", { q: [2, 3, 7, 8], k: [2, 1, 9, 8], v: [2, 1, 9, 8] }, {}],
	["heads of 5 and 7", { q: heads(2, 11, 5), k: heads(2, 11, 5), v: heads(2, 11, 7) }, { isCausal: true }],
	["heads of 72 and 128", { q: heads(1, 9, 72), k: heads(1, 70, 72), v: heads(1, 70, 128) }, {}],
	["heads of 256", { q: heads(2, 20, 256), k: heads(2, 140, 256), v: heads(2, 140, 256) }, { isCausal: true, offset: 120 }],
	["leading axes that broadcast", { q: [3, 1, 5, 8], k: [2, 6, 8], v: [1, 6, 8] }, {}],
];

const bound = { abs: 2e-5, ulp: 64, why: "sums of up to 256 products of size 1, in another order" };

describe("attention without scores in memory equals attention with them, gradients included", () => {
	it.each(CASES)("%s", async (_, shapes, options) => {
		const [actual, expected] = [await run(fused(), shapes, options), await run(held(), shapes, options)];
		for (const [i, values] of actual.entries()) expectWithin(values, Float64Array.from(expected[i]), bound);
	});

	const shapes: Shapes = { q: heads(2, 40, 8), k: heads(2, 70, 8), v: heads(2, 70, 8), mask: [40, 70] };
	const MASKS: readonly (readonly [string, Shapes["mask"], (v: Float32Array, on: Device) => Tensor])[] = [
		[
			"of queries and keys",
			[40, 70],
			(v, on) =>
				on.fromHost(
					v.map((x) => Number(x > 0)),
					[40, 70],
					"bool",
				),
		],
		[
			"of keys",
			[1, 70],
			(v, on) =>
				on.fromHost(
					v.map((x, i) => Number(x > 0 && i > 0)),
					[1, 70],
					"bool",
				),
		],
		[
			"that hides every key of a head",
			[2, 1, 70],
			(v, on) =>
				on.fromHost(
					v.map((_, i) => Number(i < 70)),
					[2, 1, 70],
					"bool",
				),
		],
		[
			"of numbers",
			[40, 70],
			(v, on) =>
				on.fromHost(
					v.map((x) => (x > 0.5 ? Number.NEGATIVE_INFINITY : x)),
					[40, 70],
				),
		],
	];
	it.each(MASKS)("a mask %s", async (_, shape, mask) => {
		for (const options of [{}, { isCausal: true, offset: 30, softcap: 2 }]) {
			const own = { ...shapes, mask: shape };
			const [actual, expected] = [await run(fused(), own, options, mask), await run(held(), own, options, mask)];
			for (const [i, values] of actual.entries()) expectWithin(values, Float64Array.from(expected[i]), bound);
		}
	});
});

describe("attention without scores in memory", () => {
	it("takes memory for its rows alone: of 1,024 positions no scores", async () => {
		const [T, K] = [1024, 8];
		const peak = async (plan: "gpu" | "cpu"): Promise<number> => {
			const on = await requestDevice({ plan });
			const grads = on.scope(() => {
				const slots = [0, 1, 2].map((): Slot => ({ value: ones(on, [1, T, K]) }));
				return valueAndGrad(() => sum(scaledDotProductAttention(slots[0].value, slots[1].value, slots[2].value)), slots).grads;
			});
			for (const g of grads) await data(g); // what nobody reads is not computed
			const { peakBytes } = on.memory();
			on.destroy();
			return peakBytes;
		};
		expect(await peak("gpu")).toBeLessThan(T * T);
		expect(await peak("cpu")).toBeGreaterThan(4 * T * T);
	});

	it("lets nothing through from what a query may not see, not even what is no number", async () => {
		const on = fused();
		const [T, K] = [40, 8];
		const y = on.scope(() => {
			const [q, k, v] = [1, 2, 3].map((seed) => values([T, K], seed));
			for (const x of [k, v]) x.fill(Number.NaN, (T - 1) * K);
			const [a, b, c] = [q, k, v].map((x) => on.fromHost(x, [T, K]));
			return on.keep(scaledDotProductAttention(a, b, c, { isCausal: true }));
		});
		const rows = Array.from({ length: T }, (_, t) => t);
		const all = await data(y);
		const isNan = rows.filter((t) => all.subarray(t * K, (t + 1) * K).some(Number.isNaN));
		expect(isNan).toEqual([T - 1]);
		y.dispose();
	});

	it("gives a record the same bits alone and among others", async () => {
		const on = fused();
		const shape = [3, 2, 33, 12];
		const [all, alone] = await readAll([
			on.scope<Tensor[]>(() => {
				const q = on.fromHost(values(shape, 1), shape);
				return [vmap((x: Tensor) => scaledDotProductAttention(x, x, x, { isCausal: true }))(q)];
			}),
			on.scope<Tensor[]>(() => {
				const q = slice(on.fromHost(values(shape, 1), shape), 0, 1, 2);
				return [unsqueeze(vmap((x: Tensor) => scaledDotProductAttention(x, x, x, { isCausal: true }))(q), 0)];
			}),
		]);
		const size = all[0].length / 3;
		expectSame(Float32Array.from(all[0]).subarray(size, 2 * size), Float32Array.from(alone[0]), "record 1");
	});
});
