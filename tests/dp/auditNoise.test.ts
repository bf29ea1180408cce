import { type AttackCounts, noiseFromRates, refutes, truePositiveRate } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { errorBounds } from "../../packages/dp/src/audit/rates.ts";

/* What counts of an attack say of the noise that is claimed, without a run. */

const historyOf = (noiseMultiplier: number, steps = 4) => [{ sampleRate: 1, noiseMultiplier, steps }];
const wrong = (v: unknown): never => v as never;

/** 1,000 canaries, half of them included. */
const of = (truePositives: number, falsePositives: number): AttackCounts => ({
	...{ included: 500, excluded: 500 },
	...{ truePositives, falsePositives },
});

/** The σ of four full steps, whose trade-off function is that of μ = 2/σ, at which these counts are as telling as any can be. */
const limit = (counts: AttackCounts, significance: number, steps = 4): number => {
	const [{ falsePositiveRate, falseNegativeRate }] = errorBounds([counts], significance);
	let [low, high] = [1e-3, 1e3];
	while (high > low * 1.0001) {
		const middle = Math.sqrt(low * high);
		if (1 - falseNegativeRate > truePositiveRate(historyOf(middle, steps), falsePositiveRate)) high = middle;
		else low = middle;
	}
	return high;
};

describe("noise is refuted", () => {
	it("where an attack is right more often than any can be, 0.05 being the significance when left out", () => {
		for (const significance of [0.05, 0.3]) {
			const options = significance === 0.05 ? {} : { significance };
			const sigma = limit(of(400, 20), significance);
			expect(refutes(historyOf(1.01 * sigma), [of(400, 20)], options)).toBe(true);
			expect(refutes(historyOf(0.99 * sigma), [of(400, 20)], options)).toBe(false);
			const found = noiseFromRates(historyOf, [of(400, 20)], options);
			expect(found).toBeGreaterThanOrEqual(0.9995 * sigma);
			expect(found).toBeLessThanOrEqual(1.0025 * sigma);
		}
	});

	it("above and below 1, wherever the limit is", () => {
		for (const steps of [1, 400]) {
			const found = noiseFromRates((sigma) => historyOf(sigma, steps), [of(400, 20)]);
			expect(found / limit(of(400, 20), 0.05, steps)).toBeCloseTo(1, 2);
		}
	});

	it("by the most telling threshold, of however many, and by the three most telling alone", () => {
		const [best, second, third, weak, useless] = [of(400, 20), of(300, 20), of(200, 20), of(150, 60), of(20, 400)];
		const alone = limit(best, 0.05 / 4);
		for (const counts of [
			[best, second, third, useless],
			[useless, third, second, best],
			[weak, third, second, best],
		]) {
			expect(noiseFromRates(historyOf, counts) / alone).toBeCloseTo(1, 2);
			expect(refutes(historyOf(1.01 * alone), counts)).toBe(true);
			expect(refutes(historyOf(0.99 * alone), counts)).toBe(false);
		}
	});

	it("by no fourth threshold, though it were the one that tells: of sampled records the best of a Gaussian is not the best", () => {
		const sampled = [{ sampleRate: 0.3, noiseMultiplier: 0.5, steps: 1 }];
		const rare = [60, 59, 58].map((truePositives) => of(truePositives, 0));
		const often = of(420, 250);
		expect(refutes(sampled, [often])).toBe(true);
		expect(refutes(sampled, [...rare.slice(1), often])).toBe(true);
		expect(refutes(sampled, [...rare, often])).toBe(false);
	});

	it("up to 2²⁰", () => {
		const sigma = limit(of(400, 20), 0.05);
		for (const most of [0.6, 0.99]) {
			const claimed = (noise: number) => historyOf(noise > most * 2 ** 20 ? 2 * sigma : sigma / 2);
			expect(noiseFromRates(claimed, [of(400, 20)]) / (most * 2 ** 20)).toBeCloseTo(1, 2);
		}
	});

	it("nowhere where nothing shows: the noise may be any", () => {
		for (const useless of [of(0, 0), of(250, 250), of(20, 400), of(500, 500)]) {
			expect(noiseFromRates(historyOf, [useless])).toBe(Number.POSITIVE_INFINITY);
			expect(refutes(historyOf(1e6), [useless])).toBe(false);
		}
		// Hardly anything: as good as any.
		const hardly = { included: 1e8, excluded: 1e8, truePositives: 50_020_000, falsePositives: 50_000_000 };
		expect(noiseFromRates((sigma) => historyOf(sigma / 100, 1), [hardly])).toBe(Number.POSITIVE_INFINITY);
	});
});

it("what is no history, no count and no significance is refused by name", () => {
	const counts = [of(400, 20)];
	expect(() => refutes(wrong(3), counts)).toThrow("refutes: history is 3, expected a list");
	expect(() => refutes(historyOf(1), counts, wrong(3))).toThrow("refutes: options is 3, expected options in an object");
	expect(() => refutes(historyOf(1), [])).toThrow("refutes: counts must be a list of counts, one or more");
	expect(() => refutes(historyOf(1), counts, { significance: 1 })).toThrow("refutes: significance must be");
	expect(() => noiseFromRates(wrong(3), counts)).toThrow("noiseFromRates: historyOf is 3, expected a function");
	expect(() => noiseFromRates(historyOf, counts, wrong(3))).toThrow("noiseFromRates: options is 3, expected options in an object");
	expect(() => noiseFromRates(historyOf, [])).toThrow("noiseFromRates: counts must be a list of counts, one or more");
	expect(() => noiseFromRates(historyOf, counts, { significance: 0 })).toThrow("noiseFromRates: significance must be");
	const odd = () => [{ sampleRate: 2, noiseMultiplier: 1, steps: 1 }];
	expect(() => noiseFromRates(odd, counts)).toThrow("sampleRate must be");
});
