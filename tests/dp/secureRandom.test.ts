import { insecureNoiseForTests, type NoiseSource, secureNoise } from "@hushgrad/dp";
import { describe, expect, test } from "vitest";
import { chiSquare, chiSquareQuantile, correlation, kolmogorovSmirnov, moment, normalCdf } from "./statistics.ts";

const DRAWS = 2_000_000;

function normals(source: NoiseSource, count: number): Float64Array {
	const out = new Float64Array(count);
	source.fillNormals(out);
	return out;
}

test("the reference CDF has the values of the tables", () => {
	expect(normalCdf(0)).toBe(0.5);
	expect(normalCdf(1.959963984540054)).toBeCloseTo(0.975, 14);
	expect(normalCdf(-5)).toBeCloseTo(2.866515718791939e-7, 15);
});

describe("seeded normals", () => {
	const z = normals(insecureNoiseForTests(20), DRAWS);

	// Limits: 5 standard errors (two-sided 6e-7); the seed is fixed, so the outcome is too.
	test("have the moments of the normal law", () => {
		const standardError = (variance: number) => Math.sqrt(variance / DRAWS);
		expect(Math.abs(moment(z, 1))).toBeLessThan(5 * standardError(1));
		expect(Math.abs(moment(z, 2) - 1)).toBeLessThan(5 * standardError(2));
		expect(Math.abs(moment(z, 3))).toBeLessThan(5 * standardError(15));
		expect(Math.abs(moment(z, 4) - 3)).toBeLessThan(5 * standardError(96));
	});

	test("pass Kolmogorov–Smirnov at p = 1e-6", () => {
		expect(kolmogorovSmirnov(z)).toBeLessThan(Math.sqrt(Math.log(2e6) / 2));
	});

	test("reach the tails as often as they should", () => {
		for (const limit of [3, 4, 5]) {
			const expected = 2 * normalCdf(-limit) * DRAWS;
			const count = z.reduce((n, x) => n + Number(Math.abs(x) > limit), 0);
			// Poisson with mean 5400, 127, 1.15: 5 deviations, and at the last P(≥ 11) is 4e-8
			expect(Math.abs(count - expected)).toBeLessThan(Math.max(5 * Math.sqrt(expected), 9));
		}
	});

	test("are independent of their neighbours, of other streams and of other seeds", () => {
		const other = [
			z.subarray(1),
			z.subarray(2),
			normals(insecureNoiseForTests(20, { stream: 1 }), 500_000),
			normals(insecureNoiseForTests(21), 500_000),
		];
		for (const w of other) expect(Math.abs(correlation(z.subarray(0, 500_000), w.subarray(0, 500_000)))).toBeLessThan(5);
	});
});

describe("uniform53", () => {
	test("is a multiple of 2⁻⁵³ below 1, even over 64 cells, with its lowest bits in use", () => {
		const source = insecureNoiseForTests(5);
		const cells = new Array<number>(64).fill(0);
		const lowest = [0, 0, 0, 0];
		let whole = 0;
		for (let i = 0; i < 200_000; i++) {
			const units = source.uniform53() * 2 ** 53;
			whole += Number(Number.isSafeInteger(units) && units >= 0);
			cells[Math.floor(units / 2 ** 47)]++;
			lowest[units % 4]++;
		}
		expect(whole).toBe(200_000);
		// false alarm 1e-7
		expect(chiSquare(cells, new Array(64).fill(200_000 / 64))).toBeLessThan(chiSquareQuantile(63, 5.2));
		expect(chiSquare(lowest, new Array(4).fill(50_000))).toBeLessThan(chiSquareQuantile(3, 5.2));
	});
});

describe("secureNoise", () => {
	// Not seeded: limits of 7 standard errors, a false alarm once in 4e11 runs.
	test("gives normals and says that it is secure", () => {
		const source = secureNoise();
		expect(source.secure).toBe(true);
		expect(insecureNoiseForTests(1).secure).toBe(false);
		const n = 100_001;
		const z = normals(source, n);
		expect(Math.abs(moment(z, 1)) * Math.sqrt(n)).toBeLessThan(7);
		expect(Math.abs(moment(z, 2) - 1) * Math.sqrt(n / 2)).toBeLessThan(7);
		expect(new Set(z).size).toBe(n);
	});
});
