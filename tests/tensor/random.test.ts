import {
	data,
	foldIn,
	key,
	normalValues,
	permutation,
	randint,
	splitKey,
	type UniformOptions,
	uniform,
	uniformValues,
} from "@hushgrad/tensor";
import { threefry } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();

const hex = (words: ArrayLike<number>): string[] => Array.from(words, (w) => (w >>> 0).toString(16).padStart(8, "0"));

describe("threefry2x32, 20 rounds", () => {
	// Known answers of Random123 (Salmon et al. 2011).
	it.each([
		[
			[0, 0],
			[0, 0],
			["6b200159", "99ba4efe"],
		],
		[
			[0xffffffff, 0xffffffff],
			[0xffffffff, 0xffffffff],
			["1cb996fc", "bb002be7"],
		],
		[
			[0x13198a2e, 0x03707344],
			[0x243f6a88, 0x85a308d3],
			["c4923a9c", "483df7a0"],
		],
	])("key %j, counter %j", (k, c, expected) => {
		expect(hex(threefry(k[0], k[1], c[0], c[1]))).toEqual(expected);
	});
});

describe("keys", () => {
	it("give the same numbers again, and different keys different ones", () => {
		expect(uniformValues(key(3), 9)).toEqual(uniformValues(key(3), 9));
		const firsts = [key(3), key(4), foldIn(key(3), 0), foldIn(key(3), 1), ...splitKey(key(5), 3)].map((k) => uniformValues(k, 1)[0]);
		expect(new Set(firsts).size).toBe(firsts.length);
	});

	it("uniform: mean 1/2, variance 1/12; normal: mean 0, variance 1; within 5 deviations", () => {
		const n = 100_000;
		const moments = (v: Float32Array) => {
			const m = v.reduce((s, x) => s + x, 0) / n;
			return [m, v.reduce((s, x) => s + (x - m) ** 2, 0) / n];
		};
		const [um, uv] = moments(uniformValues(key(1), n));
		expect(Math.abs(um - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
		expect(Math.abs(uv - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / n));
		const [nm, nv] = moments(normalValues(key(2), n));
		expect(Math.abs(nm)).toBeLessThan(5 / Math.sqrt(n));
		expect(Math.abs(nv - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
	});

	it("permutations hold every number once, and each order is about as likely", () => {
		expect([...permutation(100, key(7))].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
		const counts = new Map<string, number>();
		for (let i = 0; i < 6000; i++) {
			const order = permutation(3, foldIn(key(8), i)).join();
			counts.set(order, (counts.get(order) ?? 0) + 1);
		}
		expect(counts.size).toBe(6);
		// Binomial(6000, 1/6): deviation 28.9.
		for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(5 * 28.9);
	});
});

describe("randint", () => {
	const draw = async (count: number, low: number, high: number): Promise<number[]> => {
		const x = randint(device(), [count], key(11), low, high);
		const values = [...(await data(x))];
		x.dispose();
		return values;
	};

	it.each([
		[2 ** 24 + 1, 2 ** 24 + 2],
		[2 ** 31 - 1, 2 ** 31],
		[-(2 ** 31), 2 - 2 ** 31],
		[-3, 4],
	])("%i to %i stays in its range and reaches all of it", async (low, high) => {
		const seen = new Set(await draw(500, low, high));
		expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: high - low }, (_, i) => low + i));
	});

	it("is floor(range x / 2^64) of a 64-bit x for each element, exactly", async () => {
		const { k0, k1 } = key(11);
		for (const [low, high] of [
			[-(2 ** 31), 2 ** 31],
			[-(2 ** 31), 2 ** 31 - 1],
			[-5, 2 ** 31 - 7],
			[1, 2 ** 24 + 2],
			[0, 3],
		]) {
			const expected = Array.from({ length: 301 }, (_, i) => {
				const [head, tail] = [0, 3].map((stream) => BigInt(threefry(k0, k1, i >>> 1, stream)[i % 2]));
				return low + Number((BigInt(high - low) * ((head << 32n) | tail)) >> 64n);
			});
			expect(await draw(301, low, high)).toEqual(expected);
		}
	});

	it("draws the low bits of a large range too, each about as often 0 as 1", async () => {
		const n = 20_000;
		const values = await draw(n, -(2 ** 31), 2 ** 31);
		for (let bit = 0; bit < 32; bit++) {
			const ones = values.filter((v) => (v >>> bit) & 1).length;
			expect(Math.abs(ones - n / 2), `bit ${bit}`).toBeLessThan(5 * Math.sqrt(n / 4));
		}
	});

	it("of a small range takes the numbers of `uniformValues`; a longer tensor begins with the shorter one", async () => {
		expect(await draw(999, 0, 10)).toEqual([...uniformValues(key(11), 999)].map((u) => Math.floor(10 * u)));
		expect((await draw(64, -9, 2 ** 30)).slice(0, 7)).toEqual(await draw(7, -9, 2 ** 30));
	});
});

describe("uniform", () => {
	it.each<UniformOptions>([
		{},
		{ low: 1, high: 2 },
		{ low: 2 ** 24, high: 2 ** 24 + 2 },
		{ low: 2 ** 24, high: 2 ** 24 + 4 },
		{ low: -(2 ** 24) - 2, high: -(2 ** 24) },
		{ low: 16, high: 16 + 2 ** -18 },
		{ low: 1e-3, high: 0.1 },
		{ low: -0.1, high: 0 },
	])("%j stays at or above low and below high, as f32", async (options) => {
		const { low = 0, high = 1 } = options;
		const x = uniform(device(), [4000], key(5), options);
		const values = [...(await data(x))];
		x.dispose();
		expect(Math.min(...values)).toBeGreaterThanOrEqual(Math.fround(low));
		expect(Math.max(...values)).toBeLessThan(Math.fround(high));
	});

	it("what would round up to high counts as low: the numbers of a coarse grid are equally likely", async () => {
		const low = 2 ** 24;
		const n = 20_000;
		const x = uniform(device(), [n], key(5), { low, high: low + 4 });
		const values = [...(await data(x))];
		x.dispose();
		const lows = values.filter((v) => v === low).length;
		expect(values.filter((v) => v === low + 2).length).toBe(n - lows);
		expect(Math.abs(lows - n / 2)).toBeLessThan(5 * Math.sqrt(n / 4));
	});

	it("of a range of one value is that value", async () => {
		const x = uniform(device(), [3], key(5), { low: 2, high: 2 });
		expect([...(await data(x))]).toEqual([2, 2, 2]);
		x.dispose();
	});
});
