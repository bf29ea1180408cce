import { epsilon, type PrivacyHistory, pldEpsilon, prvEpsilon } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import { describe, expect, test } from "vitest";
import goldens from "../goldens/accountants.json" with { type: "json" };

const one = (sampleRate: number, noiseMultiplier: number, steps: number): PrivacyHistory => [{ sampleRate, noiseMultiplier, steps }];

// opacus/tests/prv_accountant.py, δ 1e-6: σ, (q, T) → upper bound, generated there with prv_accountant
const OPACUS: [number, number, number, number][] = [
	[0.8, 0.001, 100, 0.270403364058],
	[0.8, 0.05, 100, 6.74105193941],
	[0.8, 0.2, 100, 24.3336641779],
	[0.8, 0.001, 1000, 0.477771266185],
	[0.8, 0.05, 1000, 19.5258428054],
	[1.5, 0.001, 100, 0.0393694193095],
	[1.5, 0.05, 100, 1.95385313568],
	[1.5, 0.2, 100, 8.49897785913],
	[1.5, 0.001, 1000, 0.0998206602308],
	[1.5, 0.05, 1000, 6.20996924658],
	[2, 0.001, 100, 0.0291045369485],
	[2, 0.05, 100, 1.28363737962],
	[2, 0.2, 100, 5.67205560882],
	[2, 0.001, 20000, 0.305837939762],
	[3, 0.001, 100, 0.0215200934391],
	[3, 0.05, 1000, 2.52757432606],
];

describe("prvEpsilon", () => {
	test.each(OPACUS)("σ %d, q %d, T %i: Opacus' upper bound", (sigma, q, steps, want) => {
		const { upper, accountant } = prvEpsilon(one(q, sigma, steps), 1e-6);
		expect(accountant).toBe("prv");
		expect(Math.abs(upper - want)).toBeLessThan(2e-4);
	});

	test.each(goldens.poisson)("q $sampleRate, σ $noiseMultiplier, T $steps, δ $delta: Opacus' bounds and estimate", (row) => {
		const { lower, estimate, upper } = prvEpsilon([row], row.delta);
		[lower, estimate, upper].forEach((value, i) => {
			expect(Math.abs(value - Math.max(0, row.prv[i] ?? 0))).toBeLessThan(2e-4);
		});
		const { value } = pldEpsilon([row], row.delta);
		expect(value).toBeGreaterThan(lower);
		expect(value).toBeLessThan(upper);
	});

	test("is Opacus' of its own test, and of the original notebook's run", () => {
		expect(epsilon(one(0.04, 1.5, 2249), { delta: 1e-5, accountant: "prv" })).toBeCloseTo(6.777395712150674, 5);
		const sigma = 0.26691436767578125;
		const notebook = [...one(8 / 900, sigma, 112), ...one(12 / 900, sigma, 1), ...one(8 / 900, sigma, 111)];
		expect(prvEpsilon(notebook, 1e-2).upper).toBeCloseTo(22.2101, 3);
		expect(prvEpsilon(notebook, 1e-5).upper).toBeCloseTo(46.316, 2);
	});

	test("says so where PLD answers instead", () => {
		const pld = pldEpsilon(one(8 / 900, 0.5, 224), 1e-12);
		expect(prvEpsilon(one(8 / 900, 0.5, 224), 1e-12)).toMatchObject({ upper: pld.value, accountant: "pld" });
		expect(prvEpsilon(one(8 / 900, 0.05, 224), 1e-5).accountant).toBe("pld");
		expect(prvEpsilon([], 1e-5)).toEqual({ lower: 0, estimate: 0, upper: 0, accountant: "pld" });
	});

	test("refuses numbers that mean nothing", () => {
		expect(() => prvEpsilon(one(0.1, 1, 1), 0)).toThrow(ValueError);
		expect(() => prvEpsilon(one(2, 1, 1), 1e-5)).toThrow(ValueError);
	});
});
