import { GaussianMechanism, insecureNoiseForTests, type MechanismOptions, secureNoise, splitVirtual } from "@hushgrad/dp";
import { PrivacyError, ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { copyOfNoise } from "../../packages/dp/src/noiseDraw.ts";

const norm = (values: Iterable<number>) => Math.hypot(...values);

const mechanism = (options: Partial<MechanismOptions> = {}): GaussianMechanism =>
	new GaussianMechanism({ length: 100, maxGradNorm: 1, noiseMultiplier: 0.5, expectedBatchSize: 225, ...options });

/** What the GPU does to one record: scales it in f32 to C, and rounds to the grid. */
function quantise(gradient: Float32Array, { grid, maxGradNorm }: GaussianMechanism): Int32Array {
	const factor = Math.fround(Math.min(1, maxGradNorm / norm(gradient)) / grid);
	return Int32Array.from(gradient, (x) => Math.round(Math.fround(x * factor)));
}

const norms = fc.double({ min: 1e-30, max: 1e30, noNaN: true });

describe("the grid and the sensitivity", () => {
	test("a power of two that puts 2²¹ to 2²² steps into C; what it costs goes into the noise", () => {
		fc.assert(
			fc.property(norms, (maxGradNorm) => {
				const { grid } = mechanism({ maxGradNorm });
				expect(Number.isInteger(Math.log2(grid))).toBe(true);
				expect(maxGradNorm / grid).toBeLessThanOrEqual(2 ** 22);
				expect(maxGradNorm / grid).toBeGreaterThan(2 ** 21);
			}),
			{ seed: 6 },
		);
		// √P g/2 at g = 2⁻²² for the 6,842,368 coordinates of the adapter, and 2⁻¹⁸: 0.032 % of noise.
		const { sensitivity } = mechanism({ length: 6_842_368 });
		expect(sensitivity).toBeCloseTo(1 + 2 ** -18 + (Math.sqrt(6_842_368) * 2 ** -22) / 2, 12);
		expect(sensitivity).toBeLessThan(1.00032);
	});

	test("no rounded record exceeds the sensitivity, also where each coordinate rounds up", () => {
		const gradient = fc.array(fc.float({ min: -1000, max: 1000, noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 300 });
		fc.assert(
			fc.property(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), gradient, (maxGradNorm, values) => {
				const m = mechanism({ maxGradNorm, length: values.length });
				const steps = quantise(Float32Array.from(values), m);
				expect(norm(steps) * m.grid).toBeLessThanOrEqual(m.sensitivity);
				for (const s of steps) expect(Math.abs(s)).toBeLessThanOrEqual(m.mostSteps);
			}),
			{ numRuns: 300, seed: 7 },
		);
		for (const length of [1, 7, 1000, 100_000]) {
			for (const maxGradNorm of [1, 0.7, 1e-3]) {
				const m = mechanism({ maxGradNorm, length });
				// half a step off the grid, and on the clipping norm
				const each = (Math.floor(maxGradNorm / Math.sqrt(length) / m.grid - 0.5) + 0.5) * m.grid;
				expect(Math.sqrt(length) * Math.round(each / m.grid) * m.grid).toBeLessThanOrEqual(m.sensitivity);
			}
		}
	});

	test("a record whose gradient is not finite moves the sum by C at most, too", () => {
		fc.assert(
			fc.property(norms, (maxGradNorm) => {
				const { countSteps, grid } = mechanism({ maxGradNorm });
				expect(countSteps * grid).toBeLessThanOrEqual(maxGradNorm);
				expect((countSteps + 1) * grid).toBeGreaterThan(maxGradNorm);
			}),
			{ seed: 8 },
		);
	});

	test("a physical batch adds no more to a coordinate than what an i32 holds, all records one way", () => {
		fc.assert(
			fc.property(norms, (maxGradNorm) => {
				const { mostRows, mostSteps, countSteps, grid } = mechanism({ maxGradNorm });
				expect(mostRows * mostSteps).toBeLessThan(2 ** 31);
				expect((mostRows + 1) * mostSteps).toBeGreaterThanOrEqual(2 ** 31);
				expect(mostSteps * grid).toBeGreaterThan(maxGradNorm * (1 + 2 ** -18));
				expect(countSteps).toBeLessThan(mostSteps);
			}),
			{ seed: 9 },
		);
	});

	test("refuses norms that f32 does not hold, and numbers that mean nothing", () => {
		for (const maxGradNorm of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-35, 1e39]) {
			expect(() => mechanism({ maxGradNorm })).toThrow(ValueError);
		}
		const bad: readonly Partial<MechanismOptions>[] = [
			{ length: 0 },
			{ length: 1.5 },
			{ noiseMultiplier: -1 },
			{ noiseMultiplier: Number.NaN },
			{ noiseMultiplier: 1e12 },
			{ expectedBatchSize: 0 },
			{ expectedBatchSize: Number.POSITIVE_INFINITY },
		];
		for (const change of bad) expect(() => mechanism(change)).toThrow(ValueError);
		for (const maxGradNorm of [2 ** -104, 2 ** 126]) expect(mechanism({ maxGradNorm }).countSteps).toBe(2 ** 22);
		for (const maxGradNorm of [2 ** -104 * 0.999, 2 ** 126 * 1.001]) expect(() => mechanism({ maxGradNorm })).toThrow("2⁻¹⁰⁴ and 2¹²⁶");
	});

	test("refuses noise whose largest number, 8.58 deviations, makes a sum of 2⁵⁰ steps", () => {
		// The largest normal from 53 bits is √(2 · 53 ln 2); at C = 1 a deviation is σ 2²² steps.
		expect(Math.sqrt(2 * 53 * Math.LN2)).toBeLessThan(8.58);
		const most = 2 ** 28 / 8.58;
		expect(mechanism({ length: 1, noiseMultiplier: most * 0.9999 }).noiseMultiplier).toBe(most * 0.9999);
		expect(() => mechanism({ length: 1, noiseMultiplier: most })).toThrow("noiseMultiplier must be small enough");
	});

	test("is frozen", () => {
		const m = mechanism();
		expect(Object.isFrozen(m)).toBe(true);
		expect(() => Object.assign(m, { noiseMultiplier: 0 })).toThrow(TypeError);
		expect(() => Object.assign(GaussianMechanism.prototype, { draw: () => undefined })).toThrow(TypeError);
	});
});

describe("the release", () => {
	const release = (m: GaussianMechanism, sum: Float64Array, seed: number) => m.release(sum, m.draw(insecureNoiseForTests(seed)));

	test("adds round(σ·sensitivity·N/g) whole steps and divides by the public constant", () => {
		// The mean is in f32, where noise does not show beside the largest two: the last coordinate is a small one.
		const sum = Float64Array.of(0, 5, -7, 2 ** 30, -(2 ** 40), 2 ** 50 - 1, 11, 3);
		const m = mechanism({ length: 7 });
		const z = new Float64Array(8);
		insecureNoiseForTests(9).fillNormals(z);
		const noisy = sum.map((k, i) => k + Math.round((z[i] * 0.5 * m.sensitivity) / m.grid));
		const { mean, notFinite } = release(m, sum, 9);
		expect(mean).toEqual(Float32Array.from(noisy.subarray(0, 7), (k) => (k * m.grid) / 225));
		expect(notFinite).toBe(noisy[7] / m.countSteps);
	});

	test("gives the same bits for every virtual split and order of addition", () => {
		const random = insecureNoiseForTests(10);
		const [records, length] = [23, 40];
		const m = mechanism({ maxGradNorm: 0.7, length });
		const gradients = Array.from({ length: records }, () => {
			const values = new Float64Array(length);
			random.fillNormals(values);
			return quantise(Float32Array.from(values), m);
		});
		const noisy = (order: Int32Array, physicalSize: number) => {
			const sum = new Float64Array(length + 1);
			for (const { indices, weights } of splitVirtual(order, physicalSize)) {
				const rows = [...indices].filter((_, row) => weights[row] === 1).map((record) => gradients[record]);
				const part = Int32Array.from({ length }, (_, j) => rows.reduce((total, row) => total + row[j], 0));
				for (let j = 0; j < length; j++) sum[j] += part[j];
			}
			return release(m, sum, 1).mean;
		};
		const order = Int32Array.from({ length: records }, (_, i) => i);
		const whole = noisy(order, records);
		for (let size = 1; size <= records; size++) expect(noisy(order, size)).toEqual(whole);
		expect(noisy(order.toReversed(), 4)).toEqual(whole);
	});

	test("leaves every result on the grid before it is divided", () => {
		const random = insecureNoiseForTests(17);
		// |sum + noise| < 2²⁴ steps, so that f32 holds it; L = 1
		const sum = Float64Array.from({ length: 10_001 }, () => Math.floor((random.uniform53() - 0.5) * 2 ** 20));
		const m = mechanism({ length: 10_000, expectedBatchSize: 1 });
		for (const x of m.release(sum, m.draw(secureNoise())).mean) expect(Number.isInteger(x * 2 ** 22)).toBe(true);
	});

	test("adds noise of deviation σ·sensitivity/L, to an empty batch as well", () => {
		const length = 200_000;
		const m = mechanism({ length, maxGradNorm: 0.5, noiseMultiplier: 2 });
		const { mean } = release(m, new Float64Array(length + 1), 18);
		const deviation = (2 * m.sensitivity) / 225;
		// 5 standard errors: variance 2/n of the relative second moment
		expect(Math.abs(mean.reduce((s, x) => s + (x / deviation) ** 2, 0) / length - 1)).toBeLessThan(5 * Math.sqrt(2 / length));
		expect(Math.abs(mean.reduce((s, x) => s + x / deviation, 0)) / Math.sqrt(length)).toBeLessThan(5);
	});

	test("adds nothing at σ = 0", () => {
		const m = mechanism({ length: 2, noiseMultiplier: 0, expectedBatchSize: 2 });
		const { mean, notFinite } = m.release(Float64Array.of(2 ** 22, -(2 ** 21), 3 * m.countSteps), m.draw(secureNoise()));
		expect(mean).toEqual(Float32Array.of(0.5, -0.25));
		expect(notFinite).toBe(3);
	});

	test("uses a draw once, for the mechanism it was made for", () => {
		const m = mechanism({ length: 3 });
		const draw = m.draw(secureNoise());
		for (const sum of [new Float64Array(3), new Float64Array(5), [0, 0, 0, 0], undefined]) {
			expect(() => m.release(sum as Float64Array, draw)).toThrow(expect.objectContaining({ name: "ValueError", code: "dp/sum" }));
		}
		expect(() => mechanism({ length: 3 }).release(new Float64Array(4), draw)).toThrow(PrivacyError);
		expect(m.release(new Float64Array(4), draw).mean).toHaveLength(3);
		expect(() => m.release(new Float64Array(4), draw)).toThrow(expect.objectContaining({ code: "privacy/noise-reused" }));
		// @ts-expect-error only draw() makes one
		expect(() => m.release(new Float64Array(4), { mechanism: m, take: () => new Float64Array(4) })).toThrow(PrivacyError);
	});

	test("draws different noise for every step", () => {
		const m = mechanism();
		const source = secureNoise();
		const step = () => m.release(new Float64Array(101), m.draw(source)).mean;
		expect(step()).not.toEqual(step());
	});

	test("takes given noise to the grid, and none for the count", () => {
		const m = mechanism({ length: 2, expectedBatchSize: 1 });
		expect(m.release(Float64Array.of(2 ** 22, 0, 0), m.given([0.25, 1e-9]))).toEqual({ mean: Float32Array.of(1.25, 0), notFinite: 0 });
		const untyped = (noise: unknown) => () => m.given(noise as number[]);
		for (const none of [undefined, null, 3, {}]) expect(untyped(none)).toThrow("noise must be a list of numbers");
		for (const bad of [[1], [1, 2, 3], [1, Number.NaN], [1, Number.POSITIVE_INFINITY]]) {
			expect(() => m.given(bad)).toThrow(expect.objectContaining({ code: "dp/given-noise" }));
		}
	});

	test("refuses noise of unknown origin", () => {
		const forged = { secure: true, uniform53: () => 0.5, fillNormals: (out: Float64Array) => void out.fill(0) };
		// @ts-expect-error a noise source is an opaque type
		expect(() => mechanism().draw(forged)).toThrow(PrivacyError);
	});

	test("says what it refuses, and what to do", () => {
		const m = mechanism({ length: 3 });
		const draw = m.draw(secureNoise());
		const refused = (code: string, message: string, hint: string) =>
			expect.objectContaining({
				name: "PrivacyError",
				code,
				message: expect.stringContaining(message),
				hint: expect.stringContaining(hint),
			});
		expect(() => mechanism({ length: 3 }).release(new Float64Array(4), draw)).toThrow(
			refused("privacy/noise-draw", "this noise was drawn for another mechanism", "use the draw() of the same mechanism"),
		);
		expect(() => m.release([0, 0, 0, 0] as never, draw)).toThrow("a sum of 4 numbers, expected 3 coordinates and a count");
		expect(() => m.release(undefined as never, draw)).toThrow("a sum of undefined numbers, expected 3 coordinates and a count");
		m.release(new Float64Array(4), draw);
		expect(() => m.release(new Float64Array(4), draw)).toThrow(
			refused("privacy/noise-reused", "this noise was already added to a sum", "draw fresh noise for every step"),
		);
		expect(() => m.given([1, 2])).toThrow("GaussianMechanism.given: 2 numbers, expected 3 finite ones");
		expect(() => m.given(["a", 1, 2] as never)).toThrow(expect.objectContaining({ code: "dp/noise" }));
	});

	test("is of options of their kinds, and keeps its own clipping", () => {
		expect(() => new GaussianMechanism(3 as never)).toThrow("GaussianMechanism: options is 3, expected options in an object");
		for (const [name, bad] of [
			["length", 0],
			["maxGradNorm", 0],
			["noiseMultiplier", -1],
			["expectedBatchSize", 0],
			["clipping", { kind: "none" }],
		]) {
			expect(() => mechanism({ [name as string]: bad })).toThrow(expect.objectContaining({ code: `dp/${name}` }));
		}
		expect(() => mechanism({ noiseMultiplier: 1e12 })).toThrow("noiseMultiplier must be small enough for exact whole numbers in float64");
		const clipping = { kind: "automatic", gamma: 0.5 } as const;
		const m = mechanism({ clipping });
		expect([m.clipping, mechanism().clipping]).toEqual([clipping, { kind: "flat" }]);
		expect(Object.isFrozen(m.clipping) && !Object.isFrozen(clipping)).toBe(true);
		expect([m.length, m.maxGradNorm, m.noiseMultiplier, m.expectedBatchSize]).toEqual([100, 1, 0.5, 225]);
		expect(m.mostSteps).toBe(2 ** 22 + 2 ** 4 + 1);
		expect(m.mostRows).toBe(511);
	});

	test("names the function that was called in all that it refuses", () => {
		const m = mechanism({ length: 3 });
		const draw = m.draw(secureNoise());
		for (const [call, message] of [
			[() => mechanism({ length: 0 }), "GaussianMechanism: length must be"],
			[() => mechanism({ clipping: { kind: "none" } as never }), "GaussianMechanism: clipping must be"],
			[() => m.newSum(3 as never), "GaussianMechanism.newSum: device is 3"],
			[() => m.draw(3 as never), "GaussianMechanism.draw: "],
			[() => m.release(new Float64Array(3), draw), "GaussianMechanism.release: a sum of 3 numbers"],
			[() => m.given("12" as never), "noise must be a list of numbers"],
			[() => mechanism({ maxGradNorm: 2 ** 127 }), "maxGradNorm must be between"],
		] as const) {
			expect(call, message).toThrow(message);
		}
	});
});

describe("adaptive clipping", () => {
	const adaptive = (unclippedNumStd: number, options: Partial<MechanismOptions> = {}) =>
		mechanism({ length: 3, noiseMultiplier: 1, clipping: { kind: "adaptive", unclippedNumStd }, ...options });

	test("adds noise of σ_Δ to the sum and of σ_b records, two of whose halves are countSteps each, to the count", () => {
		const m = adaptive(0.9);
		expect(m.counts).toBe(2);
		// σ_Δ⁻² = σ⁻² − (2 σ_b)⁻²
		expect(m.sumNoiseMultiplier ** -2).toBeCloseTo(1 - 1.8 ** -2, 12);
		const normals = new Float64Array(5);
		insecureNoiseForTests(8).fillNormals(normals);
		const steps = copyOfNoise(m.draw(insecureNoiseForTests(8))) as Float64Array;
		const deviation = (m.sumNoiseMultiplier * m.sensitivity) / m.grid;
		expect([...steps]).toEqual(
			[...normals.subarray(0, 4)].map((z) => Math.round(z * deviation)).concat(Math.round(normals[4] * 0.9 * 2 ** 23)),
		);
		const plain = mechanism({ length: 3, noiseMultiplier: 1 });
		expect([plain.counts, plain.sumNoiseMultiplier]).toEqual([1, 1]);
		expect(copyOfNoise(plain.draw(insecureNoiseForTests(8)))).toHaveLength(4);
	});

	test("shows a copy of its noise, and none once it was taken", () => {
		const m = mechanism({ length: 3 });
		const draw = m.draw(insecureNoiseForTests(8));
		const copy = copyOfNoise(draw);
		expect(copy).toEqual(copyOfNoise(m.draw(insecureNoiseForTests(8))));
		copy?.fill(0);
		expect(m.release(new Float64Array(4), draw)).toEqual(m.release(new Float64Array(4), m.draw(insecureNoiseForTests(8))));
		expect(copyOfNoise(draw)).toBeUndefined();
	});

	test("reads both counts, each with its own noise", () => {
		const m = adaptive(0.9);
		const steps = copyOfNoise(m.draw(insecureNoiseForTests(8))) as Float64Array;
		const sum = Float64Array.of(1, 2, 3, 5 * m.countSteps, 7 * m.countSteps);
		const { notFinite, unclipped } = m.release(sum, m.draw(insecureNoiseForTests(8)));
		expect(notFinite).toBeCloseTo(5 + steps[3] / m.countSteps, 12);
		expect(unclipped).toBeCloseTo((7 + steps[4] / m.countSteps) / 2, 12);
		expect(() => m.release(new Float64Array(4), m.draw(secureNoise()))).toThrow(
			"a sum of 4 numbers, expected 3 coordinates and two counts",
		);
	});

	test("refuses noise on the count that makes 2⁵⁰ steps", () => {
		// A deviation is σ_b 2²³ steps at C = 1.
		const most = 2 ** 50 / 8.58 / 2 ** 23;
		expect(() => adaptive(most * (1 - 1e-9))).not.toThrow();
		expect(() => adaptive(most * (1 + 1e-9))).toThrow(
			expect.objectContaining({
				code: "dp/unclippedNumStd",
				message: expect.stringContaining("unclippedNumStd must be small enough for exact whole numbers in float64"),
			}),
		);
	});
});
