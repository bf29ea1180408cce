import { gaussianEpsilon, type PrivacyHistory, pldEpsilon, prvEpsilon } from "@hushgrad/dp";
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

	// A thousandth of the error that it states.
	const FINE = 1e-5;
	it.each([
		["with much noise", 1, 0.3],
		["with little", 0.1, 1e-5],
		["where what lies beyond the grid weighs most", 0.12, 0.9],
		["where all of it counts", 0.12, 0.9999],
	])("is the closed form's of one Gaussian mechanism %s", (_, sigma, delta) => {
		const { lower, estimate, upper } = prvEpsilon(one(1, sigma, 1), delta);
		const exact = (d: number) => (d < 1 ? gaussianEpsilon(1 / sigma, d) : 0);
		expect(Math.abs(estimate - exact(delta))).toBeLessThan(FINE);
		expect(Math.abs(upper - 0.01 - exact(delta * 0.999))).toBeLessThan(FINE);
		expect(Math.abs(lower - Math.max(0, exact(delta * 1.001) - 0.01))).toBeLessThan(FINE);
	});

	it("is the closed form's of several, in whichever order", () => {
		const exact = gaussianEpsilon(Math.sqrt(3 / 4 + 2 / 9), 1e-5);
		for (const history of [
			[...one(1, 2, 3), ...one(1, 3, 2)],
			[...one(1, 3, 2), ...one(1, 2, 3)],
		])
			expect(Math.abs(prvEpsilon(history, 1e-5).estimate - exact)).toBeLessThan(FINE);
	});

	it("is the same however equal steps are told, in whichever order, and without those that touch nothing", () => {
		const [a, b] = [one(0.05, 1.5, 4), one(0.02, 1, 2)];
		const whole = prvEpsilon([...a, ...b], 1e-5);
		for (const history of [
			[...b, ...a],
			[...one(0.05, 1.5, 1), ...b, ...one(0.05, 1.5, 3)],
			[...a, ...b, ...one(0.5, 0, 0), ...one(0, 0, 5)],
			[...a, ...b, ...one(0, 1, 5)],
		]) {
			const other = prvEpsilon(history, 1e-5);
			for (const bound of ["lower", "estimate", "upper"] as const) expect(other[bound] / whole[bound]).toBeCloseTo(1, 6);
		}
	});

	it("is at most its error where no loss is below −6, and δ is above all that", () => {
		expect(prvEpsilon(one(1, 3, 1), 0.9999)).toEqual({ lower: 0, estimate: 0, upper: 0.01, accountant: "prv" });
	});

	// Remark 5.6 of Gopi et al.: twice 3 and the larger ε of all steps at δ_error/4 and of one at δ_error/8T, over the mesh.
	it.each<[string, PrivacyHistory, number, number]>([
		["the δ left after its error", one(1, 5, 1), 2 ** -40 * 1.0005, 2 ** -40 * 1.002],
		["one step", one(1, 0.546, 1), 2 ** -38 * 1.1, 2 ** -37 * 1.1],
		["one step of eight", [...one(1, 2.13, 1), ...one(1e-6, 5, 7)], 2 ** -38 * 1.1, 2 ** -37 * 1.1],
		["all steps", one(1, 2.15, 8), 2 ** -37 * 1.1, 2 ** -36 * 1.1],
	])(
		"weighs the round-off of as many points as Gopi et al. want for %s, here a little more than a power of two",
		(_, history, below, above) => {
			expect(prvEpsilon(history, below).accountant).toBe("pld");
			expect(prvEpsilon(history, above).accountant).toBe("prv");
		},
	);

	it("is that of PLD where it has no answer, and says so", () => {
		for (const [history, delta] of [
			[one(0.5, 1, 1), 1e-13],
			[one(1, 0.004, 1), 1e-5],
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
