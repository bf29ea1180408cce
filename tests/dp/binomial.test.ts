import { describe, expect, test } from "vitest";
import { binomialTail, logBinomial } from "../../packages/dp/src/accountant/binomial.ts";

/** Binomial coefficients n over 0, 1, …, exact. */
function coefficients(n: number): bigint[] {
	const row = [1n];
	for (let k = 1; k <= n; k++) row.push((row[k - 1] * BigInt(n - k + 1)) / BigInt(k));
	return row;
}

/** ln of a positive integer, from its first 17 digits. */
function logOf(x: bigint): number {
	const digits = x.toString();
	return Math.log(Number(digits.slice(0, 17))) + Math.max(0, digits.length - 17) * Math.LN10;
}

/** a/b ≤ 1 to float64, also where both are beyond its range; a/b from 1e-280. */
const quotient = (a: bigint, b: bigint): number => Number((a * 2n ** 1020n) / b) * 2 ** -1020;

/** P[Binomial(n, p) > k], exact for a dyadic p. */
function exactTail(k: number, n: number, p: number): number {
	const whole = 2n ** 60n;
	const hit = BigInt(p * 2 ** 60);
	const terms = coefficients(n).map((c, i) => c * hit ** BigInt(i) * (whole - hit) ** BigInt(n - i));
	return quotient(
		terms.slice(Math.max(0, k + 1)).reduce((a, b) => a + b, 0n),
		whole ** BigInt(n),
	);
}

describe("logBinomial", () => {
	test.each([0, 1, 2, 7, 64, 128, 129, 130, 131, 200, 1000])("is the logarithm of the exact coefficient: n = %i", (n) => {
		for (const [k, c] of coefficients(n).entries()) {
			const exact = logOf(c);
			// The sum of up to 64 logarithms, or Stirling's formula, each with its rounding.
			expect(Math.abs(logBinomial(k, n) - exact), `k = ${k}`).toBeLessThanOrEqual(2e-16 * n + 1e-15 * exact);
		}
	});

	test("is exactly 0 where there is one way alone", () => {
		expect([logBinomial(0, 500), logBinomial(500, 500)]).toEqual([0, 0]);
	});
});

describe("binomialTail", () => {
	test.each([1, 2, 5, 40, 300])("is the exact tail: n = %i", (n) => {
		for (const p of [2 ** -20, 0.125, 0.25, 0.5, 0.75, 1 - 2 ** -20]) {
			for (const k of new Set([-1, 0, 1, 2, Math.floor(n * p) - 1, Math.floor(n * p), Math.floor(n * p) + 1, n - 2, n - 1, n])) {
				const exact = exactTail(k, n, p);
				const got = binomialTail(k, n, p);
				if (exact < 1e-280) expect(got).toBeLessThan(1.0001e-280);
				else expect(Math.abs(got / exact - 1), `p = ${p}, k = ${k}`).toBeLessThan(1e-15 * (n + 20));
			}
		}
	});

	test("is 0 above all, 1 below, whatever the probability, and never above 1", () => {
		for (const p of [0, 0.3, 1]) {
			expect([binomialTail(9, 9, p), binomialTail(12, 9, p), binomialTail(-1, 9, p), binomialTail(-5, 9, p)]).toEqual([0, 0, 1, 1]);
		}
		expect([binomialTail(8, 9, 1), binomialTail(0, 9, 1), binomialTail(0, 9, 0)]).toEqual([1, 1, 0]);
		for (let n = 1; n < 400; n++) expect(binomialTail(0, n, 0.9)).toBeLessThanOrEqual(1);
	});

	test("reaches over more terms than one product can hold", () => {
		// n = 10⁶, p = 1/2: by symmetry 1/2 minus half the middle term, C(n, n/2)/2ⁿ ≈ √(2/(πn))·(1 − 1/(4n)).
		const n = 1e6;
		const middle = Math.sqrt(2 / (Math.PI * n)) * (1 - 1 / (4 * n));
		expect(Math.abs(binomialTail(n / 2, n, 0.5) - (0.5 - middle / 2))).toBeLessThan(1e-9);
	});
});
