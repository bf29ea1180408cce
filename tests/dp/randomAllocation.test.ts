import { type AccountedHistory, calibrateNoise, delta, epsilon, gaussianDelta, gaussianEpsilon, pldDelta, pldEpsilon } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import { describe, expect, test } from "vitest";
import goldens from "../goldens/random_allocation.json" with { type: "json" };

const allocation = (stepsPerEpoch: number, noiseMultiplier: number, epochs: number): AccountedHistory => [
	{ sampling: "random-allocation", stepsPerEpoch, noiseMultiplier, epochs },
];

/** E[max(Y − k, 0)] of the lognormal Y with mean 1 and deviation s of its logarithm; for negative k it is 1 − k. */
function call(s: number, k: number): number {
	if (k <= 0) return 1 - k;
	return k >= 1 ? gaussianDelta(s, Math.log(k)) : 1 - k + k * gaussianDelta(s, -Math.log(k));
}

/**
 * δ of one epoch of two steps by quadrature: E_Q[max(R − e^ε, 0)] to remove, E_Q[max(1 − e^ε·R, 0)] to add, R = (Y1 + Y2)/2; the
 * inner expectation in closed form, the outer one by the trapezoid rule.
 */
function twoSteps(sigma: number, at: number): number {
	const s = 1 / sigma;
	const spacing = 1 / 512;
	let remove = 0;
	let add = 0;
	for (let u = -12; u <= 12; u += spacing) {
		const density = (spacing * Math.exp(-(u * u) / 2)) / Math.sqrt(2 * Math.PI);
		const y = Math.exp(s * u - (s * s) / 2);
		remove += density * 0.5 * call(s, 2 * Math.exp(at) - y);
		const k = 2 * Math.exp(-at) - y;
		// E[max(k − Y, 0)] = E[max(Y − k, 0)] − 1 + k
		if (k > 0) add += density * 0.5 * Math.exp(at) * Math.max(0, call(s, k) - 1 + k);
	}
	return Math.max(remove, add);
}

describe("random allocation", () => {
	test("4 steps × 4 epochs: far less than Poisson sampling with q = 1/4", () => {
		// the authors' code, and an independent quadrature: 5.61 against 6.98
		const { value, error } = pldEpsilon(allocation(4, 1.027659, 4), 1e-5);
		expect(Math.abs(value - 5.61)).toBeLessThan(0.005);
		expect(error).toBeLessThan(3e-4);
		expect(epsilon([{ sampleRate: 1 / 4, noiseMultiplier: 1.027659, steps: 16 }], { delta: 1e-5 })).toBeCloseTo(6.976, 2);
	});

	test.each(goldens.rows)("$stepsPerEpoch steps × $epochs epochs, σ $noiseMultiplier: between the authors' bounds", (row) => {
		const { value } = pldEpsilon(allocation(row.stepsPerEpoch, row.noiseMultiplier, row.epochs), row.delta);
		expect(value).toBeGreaterThan(row.lower);
		expect(value).toBeLessThan(row.upper);
	});

	test.each([
		[1, 0],
		[1, 0.5],
		[1, 3],
		[0.5, 2],
		[0.5, 8],
		[3, 0.4],
	])("two steps, σ %d, ε %d: δ is that of a quadrature, from above", (sigma, at) => {
		const exact = twoSteps(sigma, at);
		const { value } = pldDelta(allocation(2, sigma, 1), at);
		expect(value / exact).toBeGreaterThan(1 - 1e-6);
		expect(value / exact).toBeLessThan(1.001);
	});

	test("one step an epoch is the exact Gaussian's", () => {
		expect(pldEpsilon(allocation(1, 2, 4), 1e-5).value).toBe(pldEpsilon([{ sampleRate: 1, noiseMultiplier: 2, steps: 4 }], 1e-5).value);
	});

	test("spends less with more steps and noise, more with more epochs, and composes with other sampling", () => {
		const base = epsilon(allocation(5, 0.9, 3), { delta: 1e-6 });
		expect(epsilon(allocation(6, 0.9, 3), { delta: 1e-6 })).toBeLessThan(base);
		expect(epsilon(allocation(5, 1, 3), { delta: 1e-6 })).toBeLessThan(base);
		expect(epsilon(allocation(5, 0.9, 4), { delta: 1e-6 })).toBeGreaterThan(base);
		expect(epsilon([...allocation(5, 0.9, 3), { sampleRate: 0.1, noiseMultiplier: 1, steps: 3 }], { delta: 1e-6 })).toBeGreaterThan(base);
	});

	test("stays below that of a known step for next to no noise", () => {
		const known = epsilon([{ sampleRate: 1, noiseMultiplier: 0.04, steps: 2 }], { delta: 1e-5 });
		expect(epsilon(allocation(8, 0.04, 2), { delta: 1e-5 }) / known).toBeCloseTo(1, 2);
		expect(epsilon(allocation(8, 0.06, 2), { delta: 1e-5 })).toBeLessThan(known);
	});

	// The mean of s ratios is at least a part 1/s of the one under P: the loss falls by ln s an epoch at most.
	test.each([0.01, 0.02, 0.05, 0.051, 0.07, 0.1, 0.15, 0.25, 0.5])(
		"σ %d: between that of a known step and as much less ln s an epoch",
		(sigma) => {
			for (const [steps, epochs] of [
				[20, 2],
				[1830, 1],
			]) {
				const known = gaussianEpsilon(Math.sqrt(epochs) / sigma, 1e-5);
				const { value } = pldEpsilon(allocation(steps, sigma, epochs), 1e-5);
				expect(value).toBeLessThanOrEqual(known * 1.0001);
				expect(value).toBeGreaterThanOrEqual(known - epochs * Math.log(steps));
			}
		},
	);

	test("a run of one epoch of many steps can be planned", () => {
		const sigma = calibrateNoise({ targetEpsilon: 8, targetDelta: 1e-5 }, (noiseMultiplier) => allocation(1830, noiseMultiplier, 1));
		expect(epsilon(allocation(1830, sigma, 1), { delta: 1e-5 })).toBeLessThanOrEqual(8);
		expect(epsilon(allocation(1830, sigma - 1e-5, 1), { delta: 1e-5 })).toBeGreaterThan(8);
	});

	test("needs less noise than Poisson sampling for the same budget", () => {
		const target = { targetEpsilon: 8, targetDelta: 1e-5 };
		const sigma = calibrateNoise(target, (noiseMultiplier) => allocation(4, noiseMultiplier, 4));
		expect(sigma).toBeLessThan(0.84);
		expect(epsilon(allocation(4, sigma, 4), { delta: 1e-5 })).toBeLessThanOrEqual(8);
		expect(epsilon(allocation(4, sigma - 1e-5, 4), { delta: 1e-5 })).toBeGreaterThan(8);
	});

	test("is refused by the accountants that do not cover it, and with numbers that mean nothing", () => {
		for (const accountant of ["rdp", "prv", "gdp"] as const) {
			expect(() => epsilon(allocation(4, 1, 4), { delta: 1e-5, accountant })).toThrow(/covers Poisson sampling alone/);
		}
		expect(() => delta(allocation(4, 1, 4), { epsilon: 1, accountant: "rdp" })).toThrow(ValueError);
		for (const bad of [allocation(0, 1, 1), allocation(1.5, 1, 1), allocation(4, -1, 1), allocation(4, 1, -1)]) {
			expect(() => epsilon(bad, { delta: 1e-5 })).toThrow(ValueError);
		}
	});
});
