import { foldIn, key, normalValues, permutation, splitKey, uniformValues } from "@hushgrad/tensor";
import { threefry } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";

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
