import { type PrivacyHistory, pldEpsilon, prvEpsilon } from "@hushgrad/dp";
import { describe, expect, it, test } from "vitest";
import goldens from "../goldens/accountants.json" with { type: "json" };

/* Opacus' default accountant where its grid is short; its breadth is in prv.test.ts. */

const one = (sampleRate: number, noiseMultiplier: number, steps: number): PrivacyHistory => [{ sampleRate, noiseMultiplier, steps }];
const row = goldens.poisson.find(({ steps }) => steps === 56) as (typeof goldens.poisson)[number];

describe("ε by privacy random variables", () => {
	// opacus/tests/prv_accountant.py, δ 1e-6: σ, (q, T) → upper bound, generated there with prv_accountant
	test.each([
		[1.5, 0.05, 100, 1.95385313568],
		[1.5, 0.001, 100, 0.0393694193095],
		[3, 0.001, 100, 0.0215200934391],
	])("σ %d, q %d, T %i: Opacus' upper bound", (sigma, q, steps, want) => {
		expect(Math.abs(prvEpsilon(one(q, sigma, steps), 1e-6).upper - want)).toBeLessThan(1e-8);
	});

	it("has Opacus' bounds and estimate, none of them below 0", () => {
		const { accountant, ...bounds } = prvEpsilon([row], row.delta);
		expect(accountant).toBe("prv");
		Object.values(bounds).forEach((value, i) => {
			expect(Math.abs(value - (row.prv[i] ?? 0))).toBeLessThan(1e-8);
		});
		const next = prvEpsilon(one(1e-4, 5, 3), 1e-3);
		expect(next).toEqual({ lower: 0, estimate: 0, upper: next.upper, accountant: "prv" });
		expect(next.upper).toBeGreaterThan(0);
		expect(next.upper).toBeLessThan(0.01);
	});

	it("is the same however equal steps are told, in whichever order, and without those that touch nothing", () => {
		const [a, b] = [one(0.05, 1.5, 40), one(0.02, 1, 20)];
		const whole = prvEpsilon([...a, ...b], 1e-5);
		for (const history of [
			[...b, ...a],
			[...one(0.05, 1.5, 15), ...b, ...one(0.05, 1.5, 25)],
			[...a, ...b, ...one(0.5, 0, 0), ...one(0, 0, 5)],
		]) {
			const other = prvEpsilon(history, 1e-5);
			for (const bound of ["lower", "estimate", "upper"] as const) expect(other[bound] / whole[bound]).toBeCloseTo(1, 6);
		}
		const { value } = pldEpsilon([...a, ...b], 1e-5);
		expect(whole.lower).toBeLessThan(value);
		expect(whole.upper).toBeGreaterThan(value);
		expect(whole.estimate / value).toBeCloseTo(1, 3);
	});

	it("is that of PLD where it has no answer, and says so", () => {
		for (const [history, delta] of [
			[one(0.05, 1.5, 10), 1e-13],
			[one(0.05, 0.03, 100), 1e-5],
			[one(0.05, 0, 1), 1e-5],
			[[...one(0.05, 1.5, 10), ...one(0.05, 0, 1)], 1e-5],
			[[], 1e-5],
			[one(0.1, 1, 0), 1e-5],
		] as const) {
			const { value, error } = pldEpsilon(history, delta);
			const [lower, estimate] = [Math.max(0, value - 2 * error), value - error];
			expect(prvEpsilon(history, delta)).toEqual({ lower, estimate, upper: value, accountant: "pld" });
		}
	});

	it("refuses what is no history, and δ that is none, by name", () => {
		expect(() => prvEpsilon(3 as never, 1e-5)).toThrow("prvEpsilon: history is 3, expected a list");
		expect(() => prvEpsilon([], "1" as never)).toThrow("prvEpsilon: delta is");
		for (const bad of [0, 1, Number.NaN]) expect(() => prvEpsilon([], bad)).toThrow("prvEpsilon: delta must be a probability");
		expect(() => prvEpsilon(one(2, 1, 1), 1e-5)).toThrow("prvEpsilon: sampleRate must be");
	});
});
