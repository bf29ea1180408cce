import { delta, type PrivacyHistory, tradeOff, truePositiveRate } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import { describe, expect, test } from "vitest";
import goldens from "../goldens/gaussian_roc.json" with { type: "json" };

const one = (sampleRate: number, noiseMultiplier: number, steps: number): PrivacyHistory => [{ sampleRate, noiseMultiplier, steps }];

describe("truePositiveRate", () => {
	test.each(goldens.rows)("of the Gaussian mechanism with μ $mu at $fpr is the closed form's, from above", ({ mu, fpr, tpr }) => {
		const rate = truePositiveRate(one(1, 1 / mu, 1), fpr);
		expect(rate / tpr).toBeGreaterThan(1 - 1e-9);
		expect(rate / tpr).toBeLessThan(1.001);
	});

	test("is bounded by every (ε, δ) of the history, and touches one", () => {
		const history = one(100 / 393, 0.9564, 16);
		for (const fpr of [1e-4, 1e-2, 0.2]) {
			const rate = truePositiveRate(history, fpr);
			const bounds = Array.from({ length: 33 }, (_, i) => i / 4).map((at) => Math.exp(at) * fpr + delta(history, { epsilon: at }));
			const least = Math.min(...bounds);
			expect(rate).toBeLessThan(least * 1.001);
			expect(rate).toBeGreaterThan(least * 0.97);
		}
	});

	test("grows with what is spent, and with the false positive rate", () => {
		const rates = [1e-5, 1e-3, 0.1, 0.5, 0.9].map((fpr) => truePositiveRate(one(0.05, 1, 100), fpr));
		expect(rates.toSorted((a, b) => a - b)).toEqual(rates);
		expect(truePositiveRate(one(0.05, 1, 200), 1e-3)).toBeGreaterThan(rates[1] ?? 1);
	});

	test("is chance without steps, certain without noise", () => {
		expect(truePositiveRate([], 0.01)).toBe(0.01);
		expect(truePositiveRate(one(0.1, 0, 1), 0.01)).toBe(1);
		for (const bad of [0, 1, -1, Number.NaN]) expect(() => truePositiveRate([], bad)).toThrow(ValueError);
	});
});

test("the trade-off function is convex, decreasing, and 1 − rate at most", () => {
	const history = one(0.1, 1.2, 50);
	const grid = Array.from({ length: 9 }, (_, i) => (i + 1) / 10);
	const f = grid.map((fpr) => tradeOff(history, fpr));
	f.forEach((value, i) => {
		expect(value).toBeLessThanOrEqual(1 - (grid[i] ?? 0));
		if (i > 0) expect(value).toBeLessThan(f[i - 1] ?? 0);
		if (i > 1) expect(value - 2 * (f[i - 1] ?? 0) + (f[i - 2] ?? 0)).toBeGreaterThan(-1e-4);
	});
});
