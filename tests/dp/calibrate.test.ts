import { epsilon, getNoiseMultiplier, OPACUS_ORDERS } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

describe("getNoiseMultiplier", () => {
	// opacus/tests/accountants_test.py and its calibration; Opacus stops up to 0.01 in ε short of the target
	test.each([
		[2250, 1.416015625, 1e-9],
		[2000, 1.3562, 5e-5],
	])("for ε 8, δ 1e-5, q .04, %i steps is Opacus' σ or just below", (steps, opacus, rounding) => {
		const sigma = getNoiseMultiplier({
			targetEpsilon: 8,
			targetDelta: 1e-5,
			sampleRate: 0.04,
			steps,
			accountant: "rdp",
			orders: OPACUS_ORDERS,
		});
		expect(sigma).toBeLessThanOrEqual(opacus + rounding);
		const spent = (noiseMultiplier: number) =>
			epsilon([{ sampleRate: 0.04, noiseMultiplier, steps }], { delta: 1e-5, accountant: "rdp", orders: OPACUS_ORDERS });
		expect(spent(sigma) - spent(opacus)).toBeLessThan(0.01);
		expect(8 - spent(sigma)).toBeGreaterThanOrEqual(0);
		expect(8 - spent(sigma)).toBeLessThan(2e-5);
	});

	test("never exceeds the target, and one grid step less noise would", () => {
		const plan = fc.record({
			targetEpsilon: fc.double({ min: 0.05, max: 50, noNaN: true }),
			sampleRate: fc.double({ min: 1e-4, max: 1, noNaN: true }),
			steps: fc.integer({ min: 1, max: 20_000 }),
			logDelta: fc.double({ min: -28, max: -3, noNaN: true }),
		});
		fc.assert(
			fc.property(plan, ({ targetEpsilon, sampleRate, steps, logDelta }) => {
				const delta = Math.exp(logDelta);
				const sigma = getNoiseMultiplier({ targetEpsilon, targetDelta: delta, sampleRate, steps, accountant: "rdp" });
				const spent = (noiseMultiplier: number) => epsilon([{ sampleRate, noiseMultiplier, steps }], { delta, accountant: "rdp" });
				expect(spent(sigma)).toBeLessThanOrEqual(targetEpsilon);
				expect(Math.round(sigma * 1e6) / 1e6).toBe(sigma);
				if (sigma > 0.01) expect(spent((Math.round(sigma * 1e6) - 1) / 1e6)).toBeGreaterThan(targetEpsilon);
			}),
			{ numRuns: 40, seed: 3 },
		);
	});

	test("needs more noise for more steps, a higher rate, or a smaller budget", () => {
		const base = { targetEpsilon: 8, targetDelta: 1e-5, sampleRate: 0.25, steps: 40 };
		const sigma = getNoiseMultiplier(base);
		expect(getNoiseMultiplier({ ...base, steps: 80 })).toBeGreaterThan(sigma);
		expect(getNoiseMultiplier({ ...base, sampleRate: 0.5 })).toBeGreaterThan(sigma);
		expect(getNoiseMultiplier({ ...base, targetEpsilon: 4 })).toBeGreaterThan(sigma);
		expect(getNoiseMultiplier({ ...base, targetDelta: 1e-7 })).toBeGreaterThan(sigma);
	});

	test("is the exact Gaussian's for a full batch; RDP needs up to 10 % more", () => {
		// μ of the exact (ε 1, δ 1e-5) Gaussian is .268051123
		const full = { targetEpsilon: 1, targetDelta: 1e-5, sampleRate: 1, steps: 1 };
		expect(getNoiseMultiplier(full)).toBeCloseTo(1 / 0.268051123, 5);
		const byRdp = getNoiseMultiplier({ ...full, accountant: "rdp" });
		expect(byRdp).toBeGreaterThan(1.01 / 0.268051123);
		expect(byRdp).toBeLessThan(1.1 / 0.268051123);
	});

	test("returns the smallest σ it knows for a target that anything meets", () => {
		expect(getNoiseMultiplier({ targetEpsilon: 1e9, targetDelta: 1e-5, sampleRate: 0.01, steps: 1, accountant: "rdp" })).toBe(0.01);
	});

	test("refuses what cannot be reached or means nothing", () => {
		const base = { targetEpsilon: 8, targetDelta: 1e-5, sampleRate: 0.25, steps: 40 };
		expect(() => getNoiseMultiplier({ ...base, targetEpsilon: 1e-9, sampleRate: 1, steps: 1e9 })).toThrow(/no noise multiplier/);
		const bad = [
			{ targetEpsilon: 0 },
			{ targetEpsilon: -1 },
			{ targetEpsilon: Number.NaN },
			{ targetEpsilon: Number.POSITIVE_INFINITY },
			{ targetDelta: 0 },
			{ targetDelta: 1 },
			{ sampleRate: 0 },
			{ sampleRate: 1.01 },
			{ steps: 0 },
			{ steps: 2.5 },
		];
		for (const change of bad) expect(() => getNoiseMultiplier({ ...base, ...change })).toThrow(ValueError);
	});
});
