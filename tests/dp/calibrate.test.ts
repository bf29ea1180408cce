import { calibrateNoise, epsilon, getNoiseMultiplier, getSampleRate, getSteps, OPACUS_ORDERS } from "@hushgrad/dp";
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

describe("by PLD", () => {
	const spent = (sampleRate: number, noiseMultiplier: number, steps: number, delta: number) =>
		epsilon([{ sampleRate, noiseMultiplier, steps }], { delta });

	// calibrated with dp_accounting, h = 1e-4, root tolerance 1e-5; N = 900, δ 1e-5
	test.each([
		[8, 225, 15, 0.395804],
		[64, 28, 15, 0.488555],
		[64, 141, 8, 0.856408],
		[225, 40, 15, 0.848536],
		[450, 40, 15, 1.309772],
	])("batch %i of 900, %i steps, ε %d: σ %d", (batch, steps, targetEpsilon, want) => {
		const start = performance.now();
		const sigma = getNoiseMultiplier({ targetEpsilon, targetDelta: 1e-5, sampleRate: batch / 900, steps });
		console.log(`σ ${sigma}, ${(performance.now() - start).toFixed(0)} ms`);
		expect(Math.abs(sigma / want - 1)).toBeLessThan(4e-5);
		expect(spent(batch / 900, sigma, steps, 1e-5)).toBeLessThanOrEqual(targetEpsilon);
	});

	test("is the σ of the original notebook, and of jax_privacy", () => {
		const notebook = { targetEpsilon: 15, targetDelta: 0.01, sampleRate: 1 / 900, steps: 1800 };
		expect(Math.abs(getNoiseMultiplier(notebook) - 0.26691)).toBeLessThan(2e-3);
		const jax = { targetEpsilon: 1, targetDelta: 1e-6, sampleRate: 0.1, steps: 512 };
		expect(getNoiseMultiplier(jax)).toBeCloseTo(9.66, 2);
		expect(getSteps({ targetEpsilon: 2, targetDelta: 1e-6, sampleRate: 0.1, noiseMultiplier: 3 })).toBe(155);
	});

	test("needs 7 % less noise than RDP for 16 steps of 100 of 393", () => {
		const plan = { targetEpsilon: 8, targetDelta: 1e-5, sampleRate: 100 / 393, steps: 16 };
		expect(getNoiseMultiplier(plan)).toBeCloseTo(0.9564, 4);
		expect(getNoiseMultiplier({ ...plan, accountant: "rdp" })).toBeCloseTo(1.027659, 5);
		expect(getNoiseMultiplier({ ...plan, accountant: "prv" })).toBeCloseTo(0.9571, 4);
	});

	test("never exceeds the target, and hardly falls short of it", () => {
		const plan = fc.record({
			targetEpsilon: fc.double({ min: 0.3, max: 30, noNaN: true }),
			sampleRate: fc.double({ min: 1e-3, max: 1, noNaN: true }),
			steps: fc.integer({ min: 1, max: 300 }),
			targetDelta: fc.double({ min: -20, max: -4, noNaN: true }).map(Math.exp),
		});
		fc.assert(
			fc.property(plan, (options) => {
				const sigma = getNoiseMultiplier(options);
				const at = (noise: number) => spent(options.sampleRate, noise, options.steps, options.targetDelta);
				expect(at(sigma)).toBeLessThanOrEqual(options.targetEpsilon);
				expect(at(sigma - 1e-6)).toBeGreaterThan(options.targetEpsilon);
				expect(Math.round(sigma * 1e6) / 1e6).toBe(sigma);
			}),
			{ numRuns: 10, seed: 4 },
		);
	});

	test("finds the most steps and the highest rate", () => {
		const target = { targetEpsilon: 3, targetDelta: 1e-6 };
		const steps = getSteps({ ...target, sampleRate: 0.1, noiseMultiplier: 1.5 });
		expect(spent(0.1, 1.5, steps, 1e-6)).toBeLessThanOrEqual(3);
		expect(spent(0.1, 1.5, steps + 1, 1e-6)).toBeGreaterThan(3);
		const rate = getSampleRate({ ...target, noiseMultiplier: 1.5, steps: 50 });
		expect(spent(rate, 1.5, 50, 1e-6)).toBeLessThanOrEqual(3);
		expect(spent(rate * (1 + 1e-5), 1.5, 50, 1e-6)).toBeGreaterThan(3);
		expect(getSteps({ ...target, sampleRate: 1, noiseMultiplier: 0.1 })).toBe(0);
		expect(getSampleRate({ ...target, noiseMultiplier: 100, steps: 1 })).toBe(1);
	});

	test("calibrates a schedule of noise", () => {
		const schedule = (sigma: number) => [1, 2, 3].map((factor) => ({ sampleRate: 0.2, noiseMultiplier: sigma * factor, steps: 5 }));
		const sigma = calibrateNoise({ targetEpsilon: 2, targetDelta: 1e-5 }, schedule);
		expect(epsilon(schedule(sigma), { delta: 1e-5 })).toBeLessThanOrEqual(2);
		expect(epsilon(schedule(sigma - 1e-5), { delta: 1e-5 })).toBeGreaterThan(2);
	});

	test("refuses what means nothing", () => {
		const target = { targetEpsilon: 3, targetDelta: 1e-6 };
		expect(() => getSteps({ ...target, sampleRate: 0, noiseMultiplier: 1 })).toThrow(ValueError);
		expect(() => getSteps({ ...target, sampleRate: 0.1, noiseMultiplier: 0 })).toThrow(ValueError);
		expect(() => getSampleRate({ ...target, noiseMultiplier: 1, steps: 0 })).toThrow(ValueError);
		expect(() => calibrateNoise({ ...target, targetEpsilon: 0 }, () => [])).toThrow(ValueError);
	});
});
