import { delta, epsilon, type PrivacyHistory, pldDelta, pldEpsilon, privacySpent, prvEpsilon } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import goldens from "../goldens/accountants.json" with { type: "json" };

const one = (sampleRate: number, noiseMultiplier: number, steps: number): PrivacyHistory => [{ sampleRate, noiseMultiplier, steps }];

// The accumulated run of the original notebook.
const SIGMA = 0.26691436767578125;
const NOTEBOOK = [...one(8 / 900, SIGMA, 112), ...one(12 / 900, SIGMA, 1), ...one(8 / 900, SIGMA, 111)];

/** Plans from a small fraction of the budget to far beyond any. */
const PLAN = fc.record({
	q: fc.double({ min: 1e-3, max: 1, noNaN: true }),
	sigma: fc.double({ min: 0.3, max: 8, noNaN: true }),
	steps: fc.integer({ min: 1, max: 300 }),
	delta: fc.double({ min: -28, max: -1, noNaN: true }).map(Math.exp),
});

describe("pldEpsilon", () => {
	test.each(goldens.poisson)("q $sampleRate, σ $noiseMultiplier, T $steps, δ $delta: dp_accounting's on its finest grid", (row) => {
		const start = performance.now();
		const { value, error } = pldEpsilon([row], row.delta);
		console.log(`ε ${value.toFixed(6)}, of the grid ${error.toExponential(1)}, ${(performance.now() - start).toFixed(0)} ms`);
		expect(Math.abs(value / row.pld - 1)).toBeLessThan(1e-4);
		expect(Math.abs(value - row.pld)).toBeLessThan(1e-3);
		expect(value).toBeGreaterThan(row.lower);
		expect(value).toBeGreaterThanOrEqual(row.remove - 1e-4 * row.remove);
		expect(error).toBeLessThan(5e-5 * value);
	});

	test("of the original notebook's run is what a tight accountant says of it", () => {
		expect(Math.abs(pldEpsilon(NOTEBOOK, 1e-2).value - 22.196)).toBeLessThan(2e-3);
		expect(Math.abs(pldEpsilon(NOTEBOOK, 1e-5).value - 46.303)).toBeLessThan(3e-3);
		expect(pldEpsilon(NOTEBOOK, 1e-2).value).toBeGreaterThan(22.1961);
	});

	// jax_privacy: docstrings of accounting.py, two digits
	test("is jax_privacy's", () => {
		expect(pldEpsilon(one(0.1, 3, 512), 1e-6).value).toBeCloseTo(3.77, 2);
	});

	test("at q near 1 is that of the exact Gaussian", () => {
		const exact = pldEpsilon(one(1, 10, 100), 1e-5);
		expect(exact).toEqual({ value: expect.closeTo(4.377178096, 8), error: 0 });
		expect(Math.abs(pldEpsilon(one(1 - 1e-9, 10, 100), 1e-5).value - exact.value)).toBeLessThan(1e-4);
		expect(pldEpsilon(one(0.999, 10, 100), 1e-5).value).toBeLessThan(exact.value);
	});

	test("of steps with q = 1 and different noise is one Gaussian's; with others among them it is larger", () => {
		const full = [...one(1, 5, 9), ...one(1, 10, 64)];
		expect(pldEpsilon(full, 1e-5).value).toBeCloseTo(pldEpsilon(one(1, 1, 1), 1e-5).value, 11);
		expect(pldEpsilon([...full, ...one(0.01, 1, 1)], 1e-5).value).toBeGreaterThan(pldEpsilon(full, 1e-5).value);
	});

	test("does not depend on the order of the steps, nor on how they are told apart", () => {
		const whole = pldEpsilon(one(0.04, 1.5, 300), 1e-5).value;
		expect(pldEpsilon([...one(0.04, 1.5, 100), ...one(0.04, 1.5, 200)], 1e-5).value / whole - 1).toBeCloseTo(0, 8);
		const [a, b] = [one(0.04, 1.5, 100), one(0.2, 3, 10)];
		expect(pldEpsilon([...a, ...b], 1e-5).value / pldEpsilon([...b, ...a], 1e-5).value - 1).toBeCloseTo(0, 8);
	});

	test("is 0 before the first step and where δ covers all that can leak, ∞ without noise", () => {
		expect(pldEpsilon([], 1e-5).value).toBe(0);
		expect(pldEpsilon(one(0.1, 1, 0), 1e-12).value).toBe(0);
		expect(pldEpsilon(one(0, 0, 10), 1e-12).value).toBe(0);
		expect(pldEpsilon(one(1e-6, 1, 1), 1e-5).value).toBe(0);
		expect(pldEpsilon(one(0.1, 0, 1), 1e-5).value).toBe(Number.POSITIVE_INFINITY);
	});

	test("stays finite and monotone for little noise and for δ down to 1e-100", () => {
		const little = [0.2, 0.1, 0.05, 0.03].map((sigma) => pldEpsilon(one(8 / 900, sigma, 224), 1e-5).value);
		const small = [1e-5, 1e-12, 1e-30, 1e-60, 1e-100].map((at) => pldEpsilon(one(8 / 900, 0.5, 224), at).value);
		for (const values of [little, small]) {
			expect(values.every(Number.isFinite)).toBe(true);
			expect(values.toSorted((a, b) => a - b)).toEqual(values);
		}
	});

	test("lies between PRV's lower bound and RDP's", () => {
		fc.assert(
			fc.property(PLAN, ({ q, sigma, steps, delta }) => {
				const { value } = pldEpsilon(one(q, sigma, steps), delta);
				expect(value).toBeLessThanOrEqual(privacySpent(one(q, sigma, steps), { delta }).epsilon);
				expect(value).toBeGreaterThanOrEqual(prvEpsilon(one(q, sigma, steps), delta).lower);
			}),
			{ numRuns: 25, seed: 5 },
		);
	});

	test("moves the right way with q, σ, T and δ", () => {
		fc.assert(
			fc.property(PLAN, ({ q, sigma, steps, delta }) => {
				const base = pldEpsilon(one(q, sigma, steps), delta).value * (1 - 1e-4);
				expect(pldEpsilon(one(Math.min(1, q * 1.2), sigma, steps), delta).value).toBeGreaterThanOrEqual(base);
				expect(pldEpsilon(one(q, sigma / 1.1, steps), delta).value).toBeGreaterThanOrEqual(base);
				expect(pldEpsilon(one(q, sigma, steps + 1), delta).value).toBeGreaterThanOrEqual(base);
				expect(pldEpsilon(one(q, sigma, steps), delta / 2).value).toBeGreaterThanOrEqual(base);
			}),
			{ numRuns: 15, seed: 6 },
		);
	});

	test("refuses numbers that mean nothing", () => {
		for (const at of [0, -1e-5, 1, Number.NaN, 1e-300]) expect(() => pldEpsilon(one(0.1, 1, 1), at)).toThrow(ValueError);
		for (const bad of [one(1.1, 1, 1), one(0.1, -1, 1), one(0.1, 1, 1.5)]) expect(() => pldEpsilon(bad, 1e-5)).toThrow(ValueError);
	});
});

describe("pldDelta", () => {
	test.each(goldens.poisson)("q $sampleRate, σ $noiseMultiplier, T $steps at ε 1: dp_accounting's", (row) => {
		const { value } = pldDelta([row], 1);
		expect(Math.abs(value - row.deltaAtOne)).toBeLessThan(1e-3 * row.deltaAtOne + 1e-13);
	});

	test("is that of dp_accounting's own tests", () => {
		expect(delta(one(0.2, 0.5, 3), { epsilon: 1 })).toBeCloseTo(0.15594, 3);
		expect(delta(one(1, Math.sqrt(3), 3), { epsilon: 1 })).toBeCloseTo(0.126936, 5);
	});

	test("is the inverse of ε", () => {
		fc.assert(
			fc.property(PLAN, ({ q, sigma, steps, delta: at }) => {
				const spent = epsilon(one(q, sigma, steps), { delta: at });
				const back = delta(one(q, sigma, steps), { epsilon: spent });
				if (spent > 0) expect(Math.abs(back / at - 1)).toBeLessThan(0.01);
				else expect(back).toBeLessThanOrEqual(at * 1.01);
			}),
			{ numRuns: 15, seed: 7 },
		);
	});

	test("is 0 for no steps and 1 without noise", () => {
		expect(pldDelta([], 1).value).toBe(0);
		expect(pldDelta(one(0.1, 0, 1), 1).value).toBe(1);
		expect(() => pldDelta(one(0.1, 1, 1), -1)).toThrow(ValueError);
	});
});

describe("truncated Poisson sampling", () => {
	const event = (row: { datasetSize: number; sampleRate: number; maxBatchSize: number; noiseMultiplier: number; steps: number }) =>
		({ sampling: "truncated-poisson", ...row }) as const;

	test.each(goldens.truncated)("N $datasetSize, cap $maxBatchSize, σ $noiseMultiplier: dp_accounting's", ({ pld, delta, ...row }) => {
		const { value } = pldEpsilon([event(row)], delta);
		expect(Math.abs(value - pld)).toBeLessThan(1e-3);
		expect(Math.abs(value / pld - 1)).toBeLessThan(1e-4);
	});

	test("composes: dp_accounting's own test", () => {
		const small = { sampleRate: 0.5, maxBatchSize: 2, noiseMultiplier: 1 };
		const history = [event({ datasetSize: 4, ...small, steps: 3 }), event({ datasetSize: 3, ...small, steps: 2 })];
		expect(pldEpsilon(history, 1e-6).value).toBeCloseTo(17.90433, 2);
	});

	test("costs nothing for a cap that is never met, and never less than none", () => {
		const plain = pldEpsilon(one(8 / 900, 0.5, 224), 1e-5).value;
		const capped = (maxBatchSize: number) =>
			pldEpsilon([event({ datasetSize: 900, sampleRate: 8 / 900, maxBatchSize, noiseMultiplier: 0.5, steps: 224 })], 1e-5).value;
		expect(capped(900)).toBe(plain);
		expect(capped(40) / plain - 1).toBeCloseTo(0, 3);
		expect(capped(16)).toBeGreaterThan(capped(20));
		expect(capped(20)).toBeGreaterThan(plain);
	});
});
