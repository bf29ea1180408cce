import { insecureNoiseForTests, poissonBatch, secureNoise, splitVirtual, stepsForEpochs } from "@hushgrad/dp";
import { PrivacyError, ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chiSquare, chiSquareQuantile } from "./statistics.ts";

/** Batches of one seeded source. */
function batches(count: number, options: { datasetSize: number; sampleRate: number }, seed: number): Int32Array[] {
	const source = insecureNoiseForTests(seed);
	return Array.from({ length: count }, () => poissonBatch(options, source));
}

describe("poissonBatch", () => {
	// All seeds fixed; every limit has a false-alarm probability below 1e-6 under the exact law.
	test.each([0.03, 0.25, 0.9])("includes every record with the same probability %d", (q) => {
		const records = 100;
		const draws = 20_000;
		const counts = new Array<number>(records).fill(0);
		for (const batch of batches(draws, { datasetSize: records, sampleRate: q }, 11)) for (const i of batch) counts[i]++;
		// counts are binomial: Σ(c − Dq)²/(Dq(1−q)) is χ² with one degree a record; 5.2 deviations ↔ 1e-7
		const statistic = chiSquare(counts, new Array(records).fill(draws * q)) / (1 - q);
		expect(statistic).toBeLessThan(chiSquareQuantile(records, 5.2));
		expect(statistic).toBeGreaterThan(chiSquareQuantile(records, -5.2));
	});

	test("draws sizes from the binomial law", () => {
		const [n, q, draws] = [20, 0.25, 40_000];
		const sizes = new Array<number>(n + 1).fill(0);
		for (const batch of batches(draws, { datasetSize: n, sampleRate: q }, 12)) sizes[batch.length]++;
		const law = [draws * (1 - q) ** n];
		for (let k = 1; k <= n; k++) law.push(((law[k - 1] * (n - k + 1)) / k) * (q / (1 - q)));
		// cells of at least 5 expected draws: 0 … 12, and the rest as one
		const fold = (cells: number[]) => [...cells.slice(0, 12), cells.slice(12).reduce((a, b) => a + b, 0)];
		expect(chiSquare(fold(sizes), fold(law))).toBeLessThan(chiSquareQuantile(12, 5.2));
	});

	test("draws records, and steps, independently of one another", () => {
		const [n, q, draws] = [12, 0.3, 40_000];
		const steps = batches(draws, { datasetSize: n, sampleRate: q }, 13).map((batch) => new Set(batch));
		const pairs: [number, number, number][] = [];
		for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i < j) pairs.push([i, j, 0]);
		for (let i = 0; i < n; i++) pairs.push([i, i, 1]);
		for (const [i, j, lag] of pairs) {
			let both = 0;
			for (let t = 0; t + lag < draws; t++) both += Number(steps[t].has(i) && steps[t + lag].has(j));
			// 78 comparisons at 5.8 deviations: 78 · 7e-9 = 5e-7. Across steps the counts are 1-dependent: variance + 2·q³(1−q).
			const variance = draws * (q ** 2 * (1 - q ** 2) + (lag === 0 ? 0 : 2 * q ** 3 * (1 - q)));
			expect(Math.abs(both - draws * q * q)).toBeLessThan(5.8 * Math.sqrt(variance));
		}
	});

	test("gives empty batches as often as it should", () => {
		// N·q = .05: P(empty) = .95^1 ≈ e^−.05; binomial with 5000 draws, 5 deviations
		const empty = batches(5000, { datasetSize: 900, sampleRate: 0.05 / 900 }, 14).filter((batch) => batch.length === 0).length;
		const p = (1 - 0.05 / 900) ** 900;
		expect(Math.abs(empty - 5000 * p)).toBeLessThan(5 * Math.sqrt(5000 * p * (1 - p)));
	});

	test("keeps tiny rates exact over a thousand million records", () => {
		// comparing 24-bit uniforms with q would include 59.6 on average; the mean of 20 has a standard error of 1.2, 5.2e-5 to miss by 5
		const sizes = batches(20, { datasetSize: 1e9, sampleRate: 3e-8 }, 15).map((batch) => batch.length);
		expect(Math.abs(sizes.reduce((a, b) => a + b, 0) / 20 - 30)).toBeLessThan(5);
	});

	test("never repeats or invents a record", () => {
		const options = fc.record({ datasetSize: fc.integer({ min: 1, max: 2000 }), sampleRate: fc.double({ min: 0, max: 1, noNaN: true }) });
		fc.assert(
			fc.property(options, fc.nat(), (options, seed) => {
				const batch = [...poissonBatch(options, insecureNoiseForTests(seed))];
				expect(batch.every((record, k) => record >= 0 && record < options.datasetSize && (k === 0 || record > batch[k - 1]))).toBe(true);
			}),
			{ numRuns: 200, seed: 4 },
		);
	});

	test("takes all records at q = 1 and none at q = 0", () => {
		expect([...poissonBatch({ datasetSize: 5, sampleRate: 1 }, secureNoise())]).toEqual([0, 1, 2, 3, 4]);
		expect(poissonBatch({ datasetSize: 5, sampleRate: 0 }, secureNoise())).toHaveLength(0);
	});

	test("refuses impossible options and home-made randomness", () => {
		const source = insecureNoiseForTests(1);
		for (const datasetSize of [0, -1, 1.5, 2 ** 31])
			expect(() => poissonBatch({ datasetSize, sampleRate: 0.1 }, source)).toThrow(ValueError);
		for (const sampleRate of [-0.1, 1.1, Number.NaN])
			expect(() => poissonBatch({ datasetSize: 9, sampleRate }, source)).toThrow(ValueError);
		const forged = { secure: true, uniform53: () => 0.5, fillNormals: () => {} };
		// @ts-expect-error a noise source is an opaque type
		expect(() => poissonBatch({ datasetSize: 9, sampleRate: 0.1 }, forged)).toThrow(PrivacyError);
		expect(() => poissonBatch(3 as never, source)).toThrow("poissonBatch: options is 3, expected options in an object");
		expect(() => poissonBatch({ datasetSize: 2 ** 31, sampleRate: 0 }, source)).toThrow("datasetSize must be an integer in 1..2147483647");
		expect(poissonBatch({ datasetSize: 2 ** 31 - 1, sampleRate: 0 }, source)).toHaveLength(0);
	});
});

describe("splitVirtual", () => {
	test("pads the last part with rows that weigh nothing", () => {
		expect(splitVirtual(Int32Array.of(3, 5, 8, 13, 21), 2)).toEqual([
			{ indices: Int32Array.of(3, 5), weights: Float32Array.of(1, 1) },
			{ indices: Int32Array.of(8, 13), weights: Float32Array.of(1, 1) },
			{ indices: Int32Array.of(21, -1), weights: Float32Array.of(1, 0) },
		]);
	});

	test("makes no part of an empty batch", () => {
		expect(splitVirtual(new Int32Array(), 8)).toEqual([]);
	});

	test("keeps every record once, in order, whatever the size", () => {
		fc.assert(
			fc.property(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 1, max: 64 }), (n, size) => {
				const parts = splitVirtual(
					Int32Array.from({ length: n }, (_, i) => 2 * i),
					size,
				);
				expect(parts.every(({ indices, weights }) => indices.length === size && weights.length === size)).toBe(true);
				const kept = parts.flatMap(({ indices, weights }) => [...indices].filter((_, row) => weights[row] === 1));
				expect(kept).toEqual(Array.from({ length: n }, (_, i) => 2 * i));
				const padding = parts.flatMap(({ indices, weights }) => [...indices].filter((_, row) => weights[row] === 0));
				expect(padding.every((record) => record === -1)).toBe(true);
			}),
			{ seed: 5 },
		);
	});

	test("needs a physical size of at least 1", () => {
		for (const size of [0, -1, 1.5]) {
			expect(() => splitVirtual(new Int32Array(3), size)).toThrow(ValueError);
			expect(() => splitVirtual(new Int32Array(3), size)).toThrow("physicalSize must be an integer");
		}
		expect(() => splitVirtual([1] as never, 1)).toThrow("indices must be an Int32Array of record numbers, got [1]");
	});
});

describe("stepsForEpochs", () => {
	test("loses no step to the float floor", () => {
		for (let n = 1; n <= 20_000; n++) expect(stepsForEpochs(1, { datasetSize: n, expectedBatchSize: 1 })).toBe(n);
	});

	test("rounds to the nearest step, at least one", () => {
		expect(stepsForEpochs(2, { datasetSize: 900, expectedBatchSize: 64 })).toBe(28);
		expect(stepsForEpochs(10, { datasetSize: 900, expectedBatchSize: 225 })).toBe(40);
		expect(stepsForEpochs(0.001, { datasetSize: 10, expectedBatchSize: 10 })).toBe(1);
	});

	test("refuses what is above 0 nowhere, by name", () => {
		const sizes = { datasetSize: 10, expectedBatchSize: 10 };
		expect(() => stepsForEpochs(0, sizes)).toThrow("epochs must be a finite number above 0, got 0");
		for (const name of ["datasetSize", "expectedBatchSize"]) {
			expect(() => stepsForEpochs(1, { ...sizes, [name]: 0 })).toThrow(`${name} must be a finite number above 0, got 0`);
		}
		expect(() => stepsForEpochs(1, 3 as never)).toThrow("stepsForEpochs: sizes is 3, expected options in an object");
	});
});
