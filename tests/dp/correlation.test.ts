import { bandedSquareRoot, GaussianMechanism, insecureNoiseForTests, secureNoise } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { CorrelatedNormals, largestFactor, strategyOf } from "../../packages/dp/src/correlation.ts";
import { StepNoise } from "../../packages/dp/src/stepNoise.ts";
import { dot, inverse, LAMBDA, strategy } from "./strategies.ts";

describe("bandedSquareRoot", () => {
	it("squared is the matrix of prefix sums", () => {
		expect(bandedSquareRoot(4)).toEqual([1, 1 / 2, 3 / 8, 5 / 16]);
		const c = bandedSquareRoot(64);
		for (let n = 0; n < 64; n++) {
			const square = c.slice(0, n + 1).reduce((sum, v, j) => sum + v * c[n - j], 0);
			expect(Math.abs(square - 1)).toBeLessThan(1e-14);
		}
		expect(Object.isFrozen(c)).toBe(true);
		for (const bands of [0, 65, 1.5, "2"])
			expect(() => bandedSquareRoot(bands as number)).toThrow("bandedSquareRoot: bands must be an integer in 1..64");
	});
});

describe("coefficients of a strategy", () => {
	it("begin with 1, do not rise, and are 64 at most; a copy is kept", () => {
		for (const coefs of [[1], [1, 1, 0.5, 0.5, 0], bandedSquareRoot(64)]) {
			const kept = strategyOf(coefs);
			expect(kept).toEqual(coefs);
			expect(kept).not.toBe(coefs);
			expect(Object.isFrozen(kept)).toBe(true);
		}
		for (const coefs of [[], [0.5], [1, 0.5, 0.6], [1, -0.1], [1, Number.NaN], [1, "0.5"], Array(65).fill(1)]) {
			expect(() => strategyOf(coefs as number[])).toThrow(
				expect.objectContaining({
					code: "dp/strategyCoefs",
					message: expect.stringContaining("strategyCoefs must be 1 to 64 numbers from 1 on, none above the one before and none below 0"),
				}),
			);
		}
		expect(() => strategyOf(3 as never)).toThrow("sampling: strategyCoefs is 3, expected a list");
	});

	it("make noise larger by ‖c‖·Σ|b_n| at most, over the steps of the run alone", () => {
		expect(largestFactor([1, 0.5], 1)).toBe(1);
		expect(largestFactor([1, 0.5], 2)).toBeCloseTo(Math.hypot(1, 0.5) * 1.5, 14);
		expect(largestFactor([1, 0.5, 0.5], 2)).toBeCloseTo(Math.hypot(1, 0.5) * 1.5, 14);
		expect(largestFactor([1, 0.5, 0.5], 3)).toBeCloseTo(Math.hypot(1, 0.5, 0.5) * 1.75, 14);
	});
});

describe("correlated normals", () => {
	it("have the covariance C⁻¹C⁻ᵀ: 10⁵ draws of it", () => {
		const [steps, draws] = [6, 100_000];
		for (const coefs of [bandedSquareRoot(3), LAMBDA]) {
			const correlated = new CorrelatedNormals(coefs, steps);
			const noise = Array.from({ length: steps }, (_, t) => {
				const z = new Float64Array(draws);
				insecureNoiseForTests(5, { stream: t }).fillNormals(z);
				return correlated.next(t + 1, z);
			});
			const b = inverse(strategy(coefs, steps));
			for (let t = 0; t < steps; t++) {
				for (let s = 0; s <= t; s++) {
					const expected = dot(b[t], b[s]);
					const [tt, ss] = [dot(b[t], b[t]), dot(b[s], b[s])];
					const found = noise[t].reduce((sum, v, i) => sum + v * noise[s][i], 0) / draws;
					expect(Math.abs(found - expected)).toBeLessThan(5 * Math.sqrt((tt * ss + expected ** 2) / draws));
				}
			}
		}
	});

	it("are C⁻¹z, number by number, and take the array over", () => {
		const [coefs, steps, length] = [bandedSquareRoot(4), 9, 5];
		const correlated = new CorrelatedNormals(coefs, steps);
		const fresh = (t: number): Float64Array => {
			const z = new Float64Array(length);
			insecureNoiseForTests(6, { stream: t }).fillNormals(z);
			return z;
		};
		const b = inverse(strategy(coefs, steps));
		for (let t = 0; t < steps; t++) {
			const w = correlated.next(t + 1, fresh(t));
			w.forEach((v, i) => {
				expect(
					Math.abs(
						v -
							dot(
								b[t],
								Array.from({ length: steps }, (_, s) => fresh(s)[i]),
							),
					),
				).toBeLessThan(1e-13);
			});
		}
	});

	it("begin anew where a step does not follow on the one before, and are as they came with one band", () => {
		const coefs = bandedSquareRoot(2);
		const correlated = new CorrelatedNormals(coefs, 7);
		const one = (): Float64Array => Float64Array.of(1);
		const norm = Math.hypot(...coefs);
		expect(correlated.next(3, one())[0]).toBe(norm);
		expect(correlated.next(4, one())[0]).toBeCloseTo(norm / 2, 14);
		for (const step of [6, 6, 5]) expect(correlated.next(step, one())[0]).toBe(norm);
		const plain = new CorrelatedNormals([1], 9);
		for (const step of [1, 2, 9]) {
			const z = one();
			expect(plain.goesOnAt(step)).toBe(true);
			expect(plain.next(step, z)).toBe(z);
			expect(z[0]).toBe(1);
		}
	});

	it("are never larger than the factor times the largest normal", () => {
		for (const coefs of [[1], bandedSquareRoot(2), bandedSquareRoot(16), LAMBDA, [1, 1], [1, 1, 1, 0.2]]) {
			const b = inverse(strategy(coefs, 20));
			const sums = b.map((row) => row.reduce((sum, v) => sum + Math.abs(v), 0));
			for (const sum of sums) expect(sum).toBeLessThan(largestFactor(coefs, 20) + 1e-12);
			expect(largestFactor(coefs, 20)).toBeLessThan(1.7 * Math.max(...sums));
			// Prefix sums of noise: at most what independent noise of the same size has.
			for (let t = 0; t < 20; t++) {
				for (let s = 0; s <= t; s++) {
					const u = b.slice(0, t + 1).reduce((sum, row, i) => sum + row[s] / Math.hypot(...coefs.slice(0, 20 - i)), 0);
					expect(u).toBeGreaterThan(-1e-12);
					expect(u).toBeLessThan(1 + 1e-12);
				}
			}
		}
	});
});

describe("the noise of steps", () => {
	it("is correlated where it is secure, drawn here or by workers", async () => {
		const coefs = bandedSquareRoot(2);
		for (const length of [100_000, 200_000]) {
			const source = secureNoise();
			const noise = new StepNoise({ sampling: { kind: "balls-in-bins", strategyCoefs: coefs }, steps: 3 }, source);
			const m = new GaussianMechanism({ length, maxGradNorm: 1, noiseMultiplier: 2, expectedBatchSize: 1 });
			const seen: Float32Array[] = [];
			for (const step of [1, 2, 3]) {
				const draw = await noise.begin(m, source, { step, isLast: step === 3 })();
				seen.push(m.release(new Float64Array(length + 1), draw).mean);
			}
			const b = inverse(strategy(coefs, 3));
			const unit = 2 * m.sensitivity;
			for (const t of [0, 1, 2]) {
				for (let s = 0; s <= t; s++) {
					const expected = dot(b[t], b[s]);
					const found = seen[t].reduce((sum, v, i) => sum + (v * seen[s][i]) / unit ** 2, 0) / length;
					const error = Math.sqrt((dot(b[t], b[t]) * dot(b[s], b[s]) + expected ** 2) / length);
					expect(Math.abs(found - expected)).toBeLessThan(5 * error);
				}
			}
		}
	});
});
