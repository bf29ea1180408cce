import { approximateMu, delta, epsilon, gaussianDelta, gaussianEpsilon, gaussianMu } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import goldens from "../goldens/gaussian.json" with { type: "json" };

describe("the Gaussian mechanism", () => {
	test.each(goldens.rows)("μ $mu, ε $epsilon: δ of 60-digit arithmetic", ({ mu, epsilon, delta }) => {
		expect(Math.abs(gaussianDelta(mu, epsilon) / delta - 1)).toBeLessThan(1e-12 * (1 + 1 / mu) * (1 + epsilon / mu));
		if (delta < 1) {
			expect(Math.abs(gaussianEpsilon(mu, delta) - epsilon)).toBeLessThan(1e-9 * Math.max(1, epsilon));
			expect(Math.abs(gaussianMu(epsilon, delta) / mu - 1)).toBeLessThan(1e-9);
		}
	});

	test("has the known μ", () => {
		const table = [
			[1e-5, [0.268051123, 0.501551689, 0.924930898, 1.666030598, 2.763121597]],
			[1e-6, [0.236704381, 0.44833474, 0.837858757, 1.531545118, 2.576209564]],
		] as const;
		for (const [at, mus] of table) {
			mus.forEach((mu, i) => {
				expect(gaussianMu([1, 2, 4, 8, 15][i] ?? 0, at)).toBeCloseTo(mu, 8);
			});
		}
	});

	test("ε, δ and μ are inverse to each other", () => {
		const logUniform = (low: number, high: number) => fc.double({ min: Math.log(low), max: Math.log(high), noNaN: true }).map(Math.exp);
		fc.assert(
			fc.property(logUniform(1e-2, 50), logUniform(1e-100, 0.5), (mu, at) => {
				const spent = gaussianEpsilon(mu, at);
				if (spent === 0) expect(gaussianDelta(mu, 0)).toBeLessThanOrEqual(at * (1 + 1e-10));
				else expect(gaussianMu(spent, at) / mu - 1).toBeCloseTo(0, 8);
			}),
			{ numRuns: 200, seed: 1 },
		);
	});

	test("hides nothing where there is next to no noise", () => {
		expect(gaussianDelta(100, 0.01)).toBe(1);
		expect(gaussianDelta(1e4, 0)).toBe(1);
	});

	test("refuses numbers that mean nothing", () => {
		for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
			expect(() => gaussianDelta(bad, 1)).toThrow(ValueError);
			expect(() => gaussianEpsilon(bad, 1e-5)).toThrow(ValueError);
			expect(() => gaussianMu(bad, 1e-5)).toThrow(ValueError);
		}
		expect(() => gaussianDelta(1, -1)).toThrow(ValueError);
		expect(() => gaussianEpsilon(1, 1)).toThrow(ValueError);
	});
});

describe("the gdp accountant", () => {
	const full = [{ sampleRate: 1, noiseMultiplier: 10, steps: 100 }];

	test("is exact for steps that take every record, and refuses others", () => {
		expect(epsilon(full, { delta: 1e-5, accountant: "gdp" })).toBe(gaussianEpsilon(1, 1e-5));
		expect(delta(full, { epsilon: 2, accountant: "gdp" })).toBe(gaussianDelta(1, 2));
		expect(epsilon([], { delta: 1e-5, accountant: "gdp" })).toBe(0);
		const sampled = [{ sampleRate: 0.5, noiseMultiplier: 10, steps: 100 }];
		expect(() => epsilon(sampled, { delta: 1e-5, accountant: "gdp" })).toThrow(/covers sampleRate 1 alone/);
	});

	test("the central limit is Opacus' GaussianAccountant, and lies below the truth", () => {
		const central = (sampleRate: number, noiseMultiplier: number, steps: number) =>
			gaussianEpsilon(approximateMu([{ sampleRate, noiseMultiplier, steps }]), 1e-5);
		expect(central(0.04, 1.5, 2249)).toBeCloseTo(6.599820769, 6);
		expect(central(8 / 900, 0.5, 224)).toBeCloseTo(4.25, 2);
		expect(central(8 / 900, 0.5, 224)).toBeLessThan(epsilon([{ sampleRate: 8 / 900, noiseMultiplier: 0.5, steps: 224 }], { delta: 1e-5 }));
	});
});
