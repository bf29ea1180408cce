import { logMoment } from "@hushgrad/dp";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import goldens from "../goldens/sampled_gaussian.json" with { type: "json" };

// ln A(α) at q, σ, α with 15 digits: mpmath, 40 digits; integer orders by the finite sum, others by quadrature.
const TABLE: [number, number, number, number][] = [
	[1e-6, 0.1, 256, 3260463.22929716],
	[1e-6, 1, 27, 8.7695113048485e-10],
	[1e-4, 1, 1.5, 6.44268695383665e-9],
	[1e-3, 1, 2, 1.71828035221452e-6],
	[0.01, 10, 20, 1.9129699912843e-4],
	[0.1, 100, 20.5, 1.99918184580683e-4],
	[0.99, 0.1, 256, 3263997.42711402],
	[0.999, 100, 256.1, 3.26010803797311],
	[1e-5, 0.1, 256.1, 3263607.03978842],
	[0.01, 2.5, 1.5, 6.5007089718804e-6],
	[0.01, 2.5, 2.5, 3.25625417075437e-5],
	[0.01, 2.5, 5, 1.7446052498463e-4],
	[0.01, 2.5, 50, 2.3369116787932e-2],
	[0.04, 1.5, 3.9, 5.31628637879319e-3],
	[0.04, 1.5, 2.1, 1.03628151926607e-3],
	[8 / 900, 0.2669, 1.1, 3.16013280710086e-3],
	[8 / 900, 0.2669, 1.5, 0.14263284468096],
	[8 / 900, 0.33882, 1.7, 0.0522977567621402],
	[8 / 900, 0.33882, 2, 0.391645208875678],
	[0.1, 1, 1.1, 8.09856846807385e-4],
	[0.1, 1, 9.9, 21.2716693006088],
	[0.4, 12, 58.7, 2.08688951460102],
	[256 / 60000, 1.1, 10.9, 1.36420434926682e-3],
	[256 / 60000, 1.1, 12, 1.71314178301642e-3],
	[256 / 60000, 1.1, 63, 1270.2634757832],
	// 12 digits given
	[1e-7, 0.5, 1.25, 8.37407966606e-14],
];

const relative = (got: number, want: number) => Math.abs(got / want - 1);

/** The closed form for integer α: A − 1 = Σ_{k≥2} C(α,k)·q^k·(1−q)^(α−k)·expm1((k²−k)/(2σ²)); all terms are positive. */
function integerLogMoment(q: number, sigma: number, alpha: number): number {
	let sum = 0;
	let binomial = alpha;
	for (let k = 2; k <= alpha; k++) {
		binomial *= (alpha - k + 1) / k;
		sum += binomial * q ** k * (1 - q) ** (alpha - k) * Math.expm1((k * k - k) / (2 * sigma * sigma));
	}
	return Math.log1p(sum);
}

describe("logMoment", () => {
	test.each([
		["a rate above 1", [1.5, 1, 2]],
		["a deviation that is no number", [0.5, Number.NaN, 2]],
		["an order that no sum reaches", [0.5, 1, 1e300]],
	] as const)("refuses %s", (_, args) => {
		expect(() => logMoment(args[0], args[1], args[2])).toThrow(expect.objectContaining({ name: "ValueError" }));
	});

	// 1e-12 is the stated accuracy; the table's own rounding is 5e-15 to 5e-13.
	test.each(TABLE)("q %d, σ %d, α %d is the value of 40-digit arithmetic", (q, sigma, alpha, want) => {
		expect(relative(logMoment(q, sigma, alpha), want)).toBeLessThan(1e-12);
	});

	test.each(goldens.rows)("q $q, σ $sigma, α $alpha is the value of 40-digit quadrature", (row) => {
		expect(relative(logMoment(row.q, row.sigma, row.alpha), row.logMoment)).toBeLessThan(1e-12);
	});

	test("agrees with the finite sum at integer orders", () => {
		const q = fc.double({ min: 1e-6, max: 0.999, noNaN: true });
		// σ ≥ 0.6 and α ≤ 20 keep the sum itself inside float64's range
		const sigma = fc.double({ min: 0.6, max: 20, noNaN: true });
		fc.assert(
			fc.property(q, sigma, fc.integer({ min: 2, max: 20 }), (q, sigma, alpha) => {
				expect(relative(logMoment(q, sigma, alpha), integerLogMoment(q, sigma, alpha))).toBeLessThan(1e-12);
			}),
			{ numRuns: 300, seed: 1 },
		);
	});

	test("has its limits in closed form", () => {
		expect(logMoment(0, 1, 2)).toBe(0);
		expect(logMoment(0, 0, 2), "no record is in any step").toBe(0);
		expect(logMoment(1e-200, 1, 2), "q² (e − 1), which is below every float64").toBe(0);
		expect(logMoment(0.1, 0, 2)).toBe(Number.POSITIVE_INFINITY);
		expect(logMoment(1, 2, 3)).toBe((3 * 2) / (2 * 4));
		// q → 1: the quadrature joins the closed form; the difference is of the order of 1 − q
		expect(relative(logMoment(1 - 1e-13, 2, 3), logMoment(1, 2, 3))).toBeLessThan(1e-11);
	});

	test("stays finite and grows when the noise all but vanishes", () => {
		const moments = [0.1, 0.05, 0.02, 0.01].map((sigma) => logMoment(8 / 900, sigma, 2));
		expect(moments.every(Number.isFinite)).toBe(true);
		expect(moments.toSorted((a, b) => a - b)).toEqual(moments);
	});
});
