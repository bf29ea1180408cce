import { addNoise, drawNoise, fixedPointGrid, insecureNoiseForTests, privatize, secureNoise, splitVirtual } from "@hushgrad/dp";
import { PrivacyError, ShapeError, ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const norm = (values: Iterable<number>) => Math.hypot(...values);

/** What the GPU does to one sample: scale in f32 to clipNorm, round to the grid. */
function quantise(gradient: Float32Array, { grid, clipNorm }: { grid: number; clipNorm: number }): Int32Array {
	const scale = Math.fround(Math.min(1, clipNorm / norm(gradient)));
	return Int32Array.from(gradient, (x) => Math.round(Math.fround(x * scale) / grid));
}

describe("fixedPointGrid", () => {
	const norms = fc.double({ min: 1e-6, max: 1e6, noNaN: true });

	test("is a power of two that puts 2¹⁹ to 2²⁰ steps into C, with the tightened norm of the design", () => {
		fc.assert(
			fc.property(norms, (maxGradNorm) => {
				const { grid } = fixedPointGrid(maxGradNorm, 100);
				expect(Number.isInteger(Math.log2(grid))).toBe(true);
				expect(maxGradNorm / grid).toBeLessThanOrEqual(2 ** 20);
				expect(maxGradNorm / grid).toBeGreaterThan(2 ** 19);
			}),
			{ seed: 6 },
		);
		// C − √P·g/2 is .125 % tighter for P = 6 842 368 at g = 2⁻²⁰; the f32 margin takes 2⁻¹² more
		const { grid, clipNorm } = fixedPointGrid(1, 6_842_368);
		expect(grid).toBe(2 ** -20);
		expect(clipNorm).toBeCloseTo((1 - 0.001247) * (1 - 2 ** -12), 6);
	});

	test("keeps every rounded sample within C, also where each coordinate rounds up", () => {
		const gradient = fc.array(fc.float({ min: -1000, max: 1000, noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 300 });
		fc.assert(
			fc.property(norms, gradient, (maxGradNorm, values) => {
				const point = fixedPointGrid(maxGradNorm, values.length);
				const steps = quantise(Float32Array.from(values), point);
				expect(norm(steps) * point.grid).toBeLessThanOrEqual(maxGradNorm);
			}),
			{ numRuns: 300, seed: 7 },
		);
		for (const parameters of [1, 7, 1000, 100_000]) {
			for (const maxGradNorm of [1, 0.7, 1e-3]) {
				const point = fixedPointGrid(maxGradNorm, parameters);
				// half a step off the grid, and on the clipping norm
				const each = (Math.floor(point.clipNorm / Math.sqrt(parameters) / point.grid - 0.5) + 0.5) * point.grid;
				const steps = Int32Array.from({ length: parameters }, () => Math.round(each / point.grid));
				expect(Math.sqrt(parameters) * steps[0] * point.grid).toBeLessThanOrEqual(maxGradNorm);
			}
		}
	});

	test("counts samples so that sum and 10 deviations of noise fit an i32", () => {
		expect(fixedPointGrid(1, 1000).maxSamples(0.5)).toBe(2047 - 5);
		fc.assert(
			fc.property(norms, fc.double({ min: 0, max: 100, noNaN: true }), (maxGradNorm, noiseMultiplier) => {
				const { grid, maxSamples } = fixedPointGrid(maxGradNorm, 10);
				const samples = maxSamples(noiseMultiplier);
				expect(samples).toBeGreaterThanOrEqual(2047 - Math.ceil(10 * noiseMultiplier));
				expect((samples + 10 * noiseMultiplier) * Math.floor(maxGradNorm / grid)).toBeLessThan(2 ** 31);
			}),
			{ seed: 8 },
		);
		expect(fixedPointGrid(1, 10).maxSamples(1000)).toBe(0);
	});

	test("refuses norms that f32 does not hold, and more parameters than the grid allows", () => {
		for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-35, 1e39]) expect(() => fixedPointGrid(bad, 10)).toThrow(ValueError);
		expect(() => fixedPointGrid(1, 0)).toThrow(ValueError);
		expect(() => fixedPointGrid(1, 2 ** 44)).toThrow(/rounding/);
	});
});

describe("privatize", () => {
	const settings = { grid: 2 ** -20, maxGradNorm: 1, noiseMultiplier: 0.5, expectedBatchSize: 225 };

	test("adds round(σ·C·N/g) whole steps and divides by the public constant", () => {
		const sum = Int32Array.of(0, 5, -7, 2 ** 30, -(2 ** 31), 2 ** 31 - 1);
		const z = new Float64Array(sum.length);
		insecureNoiseForTests(9).fillNormals(z);
		const want = Float32Array.from(sum, (k, i) => ((k + Math.round(z[i] * 0.5 * 2 ** 20)) * 2 ** -20) / 225);
		expect(privatize(sum, settings, insecureNoiseForTests(9))).toEqual(want);
	});

	test("gives the same bits for every virtual split and order of addition", () => {
		const random = insecureNoiseForTests(10);
		const [samples, parameters] = [23, 40];
		const point = fixedPointGrid(0.7, parameters);
		const gradients = Array.from({ length: samples }, () => {
			const values = new Float64Array(parameters);
			random.fillNormals(values);
			return quantise(Float32Array.from(values), point);
		});
		const noisy = (order: Int32Array, physicalSize: number) => {
			const sum = new Int32Array(parameters);
			for (const { indices, weights } of splitVirtual(order, physicalSize)) {
				const rows = [...indices].filter((_, row) => weights[row] === 1).map((record) => gradients[record]);
				const part = Int32Array.from({ length: parameters }, (_, j) => rows.reduce((total, row) => total + row[j], 0));
				for (let j = 0; j < parameters; j++) sum[j] += part[j];
			}
			return privatize(sum, { ...settings, grid: point.grid, maxGradNorm: 0.7 }, insecureNoiseForTests(1));
		};
		const order = Int32Array.from({ length: samples }, (_, i) => i);
		const whole = noisy(order, samples);
		for (let size = 1; size <= samples; size++) expect(noisy(order, size)).toEqual(whole);
		expect(noisy(order.toReversed(), 4)).toEqual(whole);
	});

	test("leaves every result on the grid before it is divided", () => {
		const random = insecureNoiseForTests(17);
		// |sum + noise| < 2²⁴ steps, so that f32 holds it; L = 1
		const sum = Int32Array.from({ length: 10_000 }, () => Math.floor((random.uniform53() - 0.5) * 2 ** 22));
		for (const x of privatize(sum, { ...settings, expectedBatchSize: 1 }, secureNoise())) expect(Number.isInteger(x * 2 ** 20)).toBe(true);
	});

	test("adds noise of deviation σ·C/L, to an empty batch as well", () => {
		const n = 200_000;
		const out = privatize(new Int32Array(n), { ...settings, maxGradNorm: 0.5, noiseMultiplier: 2 }, insecureNoiseForTests(18));
		const deviation = (2 * 0.5) / 225;
		// 5 standard errors: variance 2/n of the relative second moment; rounding to 2⁻²⁰/C adds 1e-13
		expect(Math.abs(out.reduce((s, x) => s + (x / deviation) ** 2, 0) / n - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
		expect(Math.abs(out.reduce((s, x) => s + x / deviation, 0)) / Math.sqrt(n)).toBeLessThan(5);
	});

	test("adds nothing at σ = 0", () => {
		const mean = privatize(Int32Array.of(2 ** 20, -(2 ** 19)), { ...settings, noiseMultiplier: 0, expectedBatchSize: 2 }, secureNoise());
		expect(mean).toEqual(Float32Array.of(0.5, -0.25));
	});

	test("uses a draw once, for the sum it was made for", () => {
		const draw = drawNoise(3, settings, secureNoise());
		expect(() => addNoise(new Int32Array(4), draw, settings)).toThrow(ShapeError);
		expect(() => addNoise(new Int32Array(3), draw, { ...settings, grid: 2 ** -19 })).toThrow(ShapeError);
		expect(addNoise(new Int32Array(3), draw, settings)).toHaveLength(3);
		expect(() => addNoise(new Int32Array(3), draw, settings)).toThrow(PrivacyError);
	});

	test("draws different noise for every step", () => {
		const source = secureNoise();
		const step = () => privatize(new Int32Array(16), settings, source);
		expect(step()).not.toEqual(step());
	});

	test("refuses noise of unknown origin and settings that mean nothing", () => {
		const forged = { secure: true, uniform53: () => 0.5, fillNormals: (out: Float64Array) => void out.fill(0) };
		// @ts-expect-error a noise source is an opaque type
		expect(() => privatize(new Int32Array(2), settings, forged)).toThrow(PrivacyError);
		const bad = [
			{ grid: 0.3 },
			{ grid: 0 },
			{ maxGradNorm: 0 },
			{ noiseMultiplier: -1 },
			{ noiseMultiplier: Number.NaN },
			{ noiseMultiplier: 1e12 },
			{ expectedBatchSize: 0 },
			{ expectedBatchSize: Number.POSITIVE_INFINITY },
		];
		for (const change of bad) expect(() => privatize(new Int32Array(2), { ...settings, ...change }, secureNoise())).toThrow(ValueError);
	});
});
