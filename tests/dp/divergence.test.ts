import { GaussianMechanism, insecureNoiseForTests } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { DivergenceWatch } from "../../packages/dp/src/divergence.ts";

/** Steps until a run with these counts is stopped; undefined where none of so many does. */
function stopsAfter(L: number, sigma: number, count: (step: number) => number, steps = 400, seed = 1): number | undefined {
	const mechanism = new GaussianMechanism({ length: 1, maxGradNorm: 1, noiseMultiplier: sigma, expectedBatchSize: L });
	const watch = new DivergenceWatch(mechanism);
	const noise = insecureNoiseForTests(seed);
	for (let step = 1; step <= steps; step++) {
		const { notFinite } = mechanism.release(Float64Array.of(0, count(step) * mechanism.countSteps), mechanism.draw(noise));
		try {
			watch.see(step, notFinite);
		} catch (error) {
			expect(error).toMatchObject({ name: "NumericError", code: "privacy/diverged", op: "PrivacyEngine.step" });
			return step;
		}
	}
	return undefined;
}

describe("a run whose gradients are not finite", () => {
	it.each([
		[100, 1, 1],
		[20, 1, 1],
		[8, 1, 2],
		[225, 5, 1],
	])("stops at once, or after a few steps where the noise is large: L = %i, sigma %f, by step %i", (L, sigma, most) => {
		expect(stopsAfter(L, sigma, () => L)).toBeLessThanOrEqual(most);
	});

	it("stops, however small the batches are beside the noise", () => {
		expect(stopsAfter(1, 1, () => 1)).toBeLessThan(120);
		expect(stopsAfter(2, 4, () => 2, 2000)).toBeLessThan(1000);
	});

	it("stops when it goes wrong late", () => {
		const after = stopsAfter(50, 1, (step) => (step > 200 ? 50 : 0));
		expect(after).toBeGreaterThan(200);
		expect(after).toBeLessThanOrEqual(202);
	});
});

describe("the watch", () => {
	/** Of counts whose deviation σ' is sigma, but for 2⁻¹⁸ and rounding. */
	const watchOf = (L: number, sigma: number, excess?: number): DivergenceWatch =>
		new DivergenceWatch(new GaussianMechanism({ length: 1, maxGradNorm: 3, noiseMultiplier: sigma, expectedBatchSize: L }), excess);

	it("adds up what is above L/2, and never falls below 0", () => {
		const watch = watchOf(10, 2);
		const seen = [6, 7.5, 1, -3, 5, 9.25].map((count, i) => {
			watch.see(i + 1, count);
			return watch.excess;
		});
		expect(seen).toEqual([1, 3.5, 0, 0, 0, 4.25]);
		expect(watchOf(10, 2, 3.5).excess).toBe(3.5);
	});

	it.each([
		// The larger of 6 σ' and ln(10⁹) σ'²/L.
		[10, 2, 12],
		[1, 2, 82.893063347],
		[4, 1, 6],
		[2, 1, 10.361632918],
	])("stops a run above the limit: L = %i, sigma %f, %f", (L, sigma, limit) => {
		const watch = watchOf(L, sigma);
		watch.see(1, L / 2 + limit * (1 - 1e-5));
		expect(watch.excess).toBeCloseTo(limit, 2);
		const next = watchOf(L, sigma, limit / 2);
		expect(() => next.see(9, L / 2 + (limit / 2) * (1 + 1e-4))).toThrow(
			expect.objectContaining({
				code: "privacy/diverged",
				hint: expect.stringContaining("the parameters are as before the step, which was counted; lower the rate"),
				message: expect.stringContaining(
					`step 9: about ${Math.round((L + limit) / 2)} records have gradients that are not finite, with some ${L} in a step, so the run stops`,
				),
			}),
		);
		// Without noise nothing is hidden: one more than half is too many.
		const exact = watchOf(L, 0);
		exact.see(1, L / 2);
		expect(() => exact.see(2, L / 2 + 1)).toThrow("so the run stops");
	});
});

describe("a sound run", () => {
	it.each([
		[100, 1],
		[8, 1],
		[1, 1],
		[1, 6],
		[3, 0.5],
	])("is not stopped in 100 runs of 400 steps: L = %i, sigma %f", (L, sigma) => {
		for (let seed = 0; seed < 100; seed++) expect(stopsAfter(L, sigma, () => 0, 400, seed)).toBeUndefined();
	});

	it("bears a third of its records", () => {
		expect(stopsAfter(90, 1, () => 30)).toBeUndefined();
	});
});
