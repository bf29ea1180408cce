import { insecureNoiseForTests, type NoiseSource, planPrivacy, type Sampling, secureNoise } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { Allocation } from "../../packages/dp/src/allocation.ts";
import { historyAfter, Sampler } from "../../packages/dp/src/sampler.ts";
import { chiSquare, chiSquareQuantile } from "./statistics.ts";

const N = 60;
const mechanism = (sampling: Sampling, sampleRate = 0.25) => ({ sampling, datasetSize: N, steps: 100, sampleRate, noiseMultiplier: 1 });

/** What tells so many records apart. */
const namesOf = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `record ${i}`);

/** Batches of step 1, 2, … */
function batches(sampling: Sampling, steps: number, source: NoiseSource, count = N): Int32Array[] {
	const sampler = new Sampler(mechanism(sampling), Allocation.draw(source));
	const names = namesOf(count);
	return Array.from({ length: steps }, (_, i) => sampler.batch(i + 1, count, source.forStep(i + 1), names));
}

const ascending = (batch: Int32Array): boolean => batch.every((v, i) => i === 0 || v > batch[i - 1]);

describe("random allocation", () => {
	it.each([() => insecureNoiseForTests(3), secureNoise])("gives every record exactly one step of each epoch, any alike", (source) => {
		const epochs = 500;
		const all = batches({ kind: "random-allocation" }, 4 * epochs, source());
		const counts = [0, 0, 0, 0];
		for (let e = 0; e < epochs; e++) {
			const epoch = all.slice(4 * e, 4 * e + 4);
			expect(epoch.every(ascending)).toBe(true);
			expect(epoch.flatMap((b) => [...b]).sort((a, b) => a - b)).toEqual(Array.from({ length: N }, (_, i) => i));
			epoch.forEach((b, i) => {
				counts[i] += Number(b.includes(7));
			});
		}
		expect(chiSquare(counts, new Array(4).fill(epochs / 4))).toBeLessThan(chiSquareQuantile(3, 5.2));
		expect(new Set(all.map((b) => b.length)).size).toBeGreaterThan(10);
	});

	it("assigns anew in each epoch, and two records on their own", () => {
		const all = batches({ kind: "random-allocation" }, 4000, insecureNoiseForTests(8));
		let [again, together] = [0, 0];
		for (let e = 1; e < 1000; e++) {
			const stepOf = (record: number, epoch: number): number => all.slice(4 * epoch, 4 * epoch + 4).findIndex((b) => b.includes(record));
			again += Number(stepOf(5, e) === stepOf(5, e - 1));
			together += Number(stepOf(5, e) === stepOf(6, e));
		}
		// One in four, 5 deviations of it.
		for (const count of [again, together]) expect(Math.abs(count - 999 / 4)).toBeLessThan(5 * Math.sqrt(999 * (3 / 16)));
	});

	it("follows from the step where the source repeats, wherever a run begins", () => {
		const source = insecureNoiseForTests(4);
		const whole = batches({ kind: "random-allocation" }, 12, source);
		const late = new Sampler(mechanism({ kind: "random-allocation" }), Allocation.draw(source));
		for (const step of [6, 7, 11]) expect(late.batch(step, N, source.forStep(step), namesOf(N))).toEqual(whole[step - 1]);
	});
});

describe("Poisson sampling with a cap", () => {
	it("keeps at most so many, all records alike", () => {
		const all = batches({ kind: "truncated-poisson", maxBatchSize: 12 }, 8000, insecureNoiseForTests(5));
		expect(Math.max(...all.map((b) => b.length))).toBe(12);
		expect(all.every(ascending)).toBe(true);
		const counts = new Array<number>(N).fill(0);
		for (const b of all) for (const i of b) counts[i]++;
		const mean = counts.reduce((a, b) => a + b) / N;
		expect(chiSquare(counts, new Array(N).fill(mean))).toBeLessThan(chiSquareQuantile(N - 1, 5.2));
		expect(all.filter((b) => b.length < 12).length).toBeGreaterThan(500);
	});

	it("is accounted for N records: more of them would meet the cap more often, and are refused", () => {
		const source = secureNoise();
		const sampler = new Sampler(mechanism({ kind: "truncated-poisson", maxBatchSize: 12 }), undefined);
		expect(sampler.batch(1, N - 5, source).every((i) => i < N - 5)).toBe(true);
		expect(sampler.batch(2, N, source).length).toBeLessThanOrEqual(12);
		expect(() => sampler.batch(3, N + 1, source)).toThrow(
			expect.objectContaining({
				...{ name: "PrivacyError", code: "privacy/too-many-records", op: "PrivacyEngine.stepOn" },
				message: expect.stringContaining("there are more records than the plan's datasetSize, for which its cap is accounted"),
				hint: "plan with a datasetSize that is no less than the number of records, or sample without a cap",
			}),
		);
	});

	it("is Poisson sampling where the cap is out of reach", () => {
		const capped = batches({ kind: "truncated-poisson", maxBatchSize: N }, 20, insecureNoiseForTests(6));
		expect(capped).toEqual(batches({ kind: "poisson" }, 20, insecureNoiseForTests(6)));
	});
});

describe("what a sampling costs", () => {
	const options = { datasetSize: 393, expectedBatchSize: 100, targetEpsilon: 8, targetDelta: 1e-5, steps: 16, maxGradNorm: 1 };

	it("is accounted as what it is: allocation needs less noise than Poisson sampling, a cap more", () => {
		const poisson = planPrivacy(options);
		const allocation = planPrivacy({ ...options, sampling: { kind: "random-allocation" } });
		const capped = planPrivacy({ ...options, sampling: { kind: "truncated-poisson", maxBatchSize: 110 } });
		expect(allocation.sampleRate).toBe(1 / 4);
		expect(allocation.noiseMultiplier).toBeLessThan(0.9 * poisson.noiseMultiplier);
		expect(capped.noiseMultiplier).toBeGreaterThan(1.02 * poisson.noiseMultiplier);
		for (const plan of [poisson, allocation, capped]) {
			expect(plan.epsilon).toBeLessThanOrEqual(8);
			expect(plan.epsilon).toBeGreaterThan(7.99);
		}
	}, 60_000);

	it("counts an epoch of random allocation that has begun as a whole", () => {
		const plan = planPrivacy({ ...options, sampling: { kind: "random-allocation" } });
		expect(plan.epsilonAfter(1)).toBe(plan.epsilonAfter(4));
		expect(plan.epsilonAfter(5)).toBeGreaterThan(plan.epsilonAfter(4));
		expect(historyAfter(plan, 5)).toEqual([
			{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: plan.noiseMultiplier, epochs: 2 },
		]);
	}, 60_000);

	it("refuses what is no way of sampling", () => {
		for (const sampling of [{ kind: "shuffle" }, {}, null, { kind: "truncated-poisson" }, { kind: "truncated-poisson", maxBatchSize: 0 }]) {
			expect(() => planPrivacy({ ...options, sampling: sampling as Sampling })).toThrow(expect.objectContaining({ name: "ValueError" }));
		}
	});
});
