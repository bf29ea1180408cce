import {
	epsilon,
	insecureNoiseForTests,
	type NoiseSource,
	type PlanSettings,
	planPrivacy,
	privacyStatement,
	type SampledMechanism,
	type Sampling,
	secureNoise,
} from "@hushgrad/dp";
import { describe, expect, test } from "vitest";
import { Allocation } from "../../packages/dp/src/allocation.ts";
import { historyAfter, Sampler, stepsPerEpoch } from "../../packages/dp/src/sampler.ts";
import { chiSquare, chiSquareQuantile } from "./statistics.ts";

const ALLOCATION: Sampling = { kind: "random-allocation" };
const capped = (maxBatchSize: number): Sampling => ({ kind: "truncated-poisson", maxBatchSize });

const mechanism = (sampling: Sampling, datasetSize: number, sampleRate: number): SampledMechanism => ({
	sampling,
	datasetSize,
	steps: 100,
	sampleRate,
	noiseMultiplier: 1.5,
});

const namesOf = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `record ${i}`);

/** The batches of steps 1, 2, …, as an engine asks for them. */
function batches(m: SampledMechanism, steps: number, noise: NoiseSource, count = m.datasetSize): number[][] {
	const sampler = new Sampler(m, Allocation.draw(noise));
	const names = namesOf(count);
	return Array.from({ length: steps }, (_, i) => [...sampler.batch(i + 1, count, noise.forStep(i + 1), names)]);
}

const ascending = (batch: readonly number[]): boolean => batch.every((r, k) => k === 0 || r > batch[k - 1]);

// All limits have a false-alarm probability below 1e-6 under the exact law; seeds are fixed but where a source is secure.
describe("Poisson sampling of a list", () => {
	test.each([
		["poisson", { kind: "poisson" } as const, [50, 100, 200]],
		["truncated-poisson", capped(1000), [50, 100]], // more than N are refused
	])("keeps the rate of the plan, whatever the number of records: %s", (_, sampling, counts) => {
		for (const count of counts) {
			const sizes = batches(mechanism(sampling, 100, 0.3), 4000, insecureNoiseForTests(1), count).map((b) => b.length);
			const average = sizes.reduce((a, b) => a + b) / 4000;
			expect(Math.abs(average - 0.3 * count)).toBeLessThan(5 * Math.sqrt((count * 0.3 * 0.7) / 4000));
		}
	});

	test("of no records is an empty batch", () => {
		for (const sampling of [{ kind: "poisson" } as const, capped(3), ALLOCATION]) {
			expect(batches(mechanism(sampling, 10, 0.5), 3, secureNoise(), 0)).toEqual([[], [], []]);
		}
	});
});

describe("Poisson sampling with a cap", () => {
	test("keeps a uniformly random subset of a larger batch, of just so many", () => {
		const [records, cap, draws] = [8, 3, 24_000];
		const single = new Array<number>(records).fill(0);
		const triples = new Map<string, number>();
		for (const batch of batches(mechanism(capped(cap), records, 1), draws, insecureNoiseForTests(2))) {
			expect(batch.length).toBe(cap);
			expect(ascending(batch)).toBe(true);
			for (const r of batch) single[r]++;
			triples.set(batch.join(), (triples.get(batch.join()) ?? 0) + 1);
		}
		const share = (draws * cap) / records;
		expect(chiSquare(single, new Array(records).fill(share))).toBeLessThan(chiSquareQuantile(records - 1, 5.2));
		// Each of the 56 subsets of three is as likely as any other.
		expect(triples.size).toBe(56);
		expect(chiSquare([...triples.values()], new Array(56).fill(draws / 56))).toBeLessThan(chiSquareQuantile(55, 5.2));
	});

	test("leaves smaller batches as they were drawn, and sorts by number", () => {
		const source = (): NoiseSource => insecureNoiseForTests(3);
		const plain = batches(mechanism({ kind: "poisson" }, 200, 0.1), 300, source());
		const cut = batches(mechanism(capped(20), 200, 0.1), 300, source());
		expect(plain.some((b) => b.length > 20)).toBe(true);
		expect(plain.some((b) => b.length === 20)).toBe(true);
		for (const [i, batch] of plain.entries()) {
			if (batch.length <= 20) expect(cut[i]).toEqual(batch);
			else expect(cut[i].length).toBe(20);
			expect(cut[i].every((r) => batch.includes(r))).toBe(true);
			expect(ascending(cut[i])).toBe(true);
		}
	});
});

describe("random allocation", () => {
	test.each([
		["secure", secureNoise],
		["seeded", () => insecureNoiseForTests(4)],
	])("gives each record one step of each epoch, and another one in the next: %s noise", (_, source) => {
		const [records, epoch, epochs] = [400, 5, 4];
		const all = batches(mechanism(ALLOCATION, records, 1 / epoch), epoch * epochs, source());
		expect(all.every(ascending)).toBe(true);
		const stepOf = Array.from({ length: epochs }, (_, e) => {
			const steps = new Array<number>(records).fill(-1);
			for (const [s, batch] of all.slice(e * epoch, (e + 1) * epoch).entries()) {
				for (const r of batch) {
					expect(steps[r]).toBe(-1);
					steps[r] = s;
				}
			}
			return steps;
		});
		for (const steps of stepOf) expect(steps).not.toContain(-1);
		// A record keeps its step in the next epoch with probability 1/5: 80 of 400, deviation 8.
		for (let e = 1; e < epochs; e++) {
			const same = stepOf[e].filter((s, r) => s === stepOf[e - 1][r]).length;
			expect(Math.abs(same - 80)).toBeLessThan(48);
		}
	});

	test("draws any step of an epoch alike, each record on its own", () => {
		const [records, epoch, epochs] = [50, 4, 2000];
		const all = batches(mechanism(ALLOCATION, records, 1 / epoch), epoch * epochs, insecureNoiseForTests(5));
		const sizes = new Array<number>(epoch).fill(0);
		let together = 0;
		for (const [i, batch] of all.entries()) {
			sizes[i % epoch] += batch.length;
			together += Number(batch.includes(0) && batch.includes(1));
		}
		expect(chiSquare(sizes, new Array(epoch).fill((records * epochs) / epoch))).toBeLessThan(chiSquareQuantile(3, 5.2));
		expect(Math.abs(together - epochs / 4)).toBeLessThan(5 * Math.sqrt(epochs * (1 / 4) * (3 / 4)));
	});

	test("repeats with a seed from any epoch on, and does not hang on what the steps draw", () => {
		const m = mechanism(ALLOCATION, 30, 1 / 3);
		const noise = insecureNoiseForTests(6);
		const whole = batches(m, 9, noise);
		const late = new Sampler(m, Allocation.draw(noise));
		for (const step of [7, 8, 9]) expect([...late.batch(step, 30, noise.forStep(99), namesOf(30))]).toEqual(whole[step - 1]);
		expect(batches(m, 9, insecureNoiseForTests(7))).not.toEqual(whole);
	});
});

describe("a sampling is accounted as what it is", () => {
	test("the history of the first steps; an epoch that has begun counts as a whole", () => {
		const of = (sampling: Sampling, steps: number) => historyAfter(mechanism(sampling, 100, 0.25), steps);
		const [sampleRate, noiseMultiplier] = [0.25, 1.5];
		expect(of({ kind: "poisson" }, 7)).toEqual([{ sampleRate, noiseMultiplier, steps: 7 }]);
		expect(of(capped(40), 7)).toEqual([
			{ sampling: "truncated-poisson", datasetSize: 100, sampleRate, maxBatchSize: 40, noiseMultiplier, steps: 7 },
		]);
		for (const [steps, epochs] of [
			[1, 1],
			[4, 1],
			[5, 2],
			[8, 2],
			[9, 3],
		]) {
			expect(of(ALLOCATION, steps)).toEqual([{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier, epochs }]);
		}
		for (const sampling of [{ kind: "poisson" } as const, capped(40), ALLOCATION]) expect(of(sampling, 0)).toEqual([]);
		expect(stepsPerEpoch({ sampleRate: 1 / 3 })).toBe(3);
	});

	const settings: PlanSettings = { datasetSize: 100, expectedBatchSize: 26, targetDelta: 1e-3, maxGradNorm: 1 };
	const delta = 1e-3;

	test("in a plan for given noise and in one for a target, and in what each says is spent", () => {
		const events = (steps: number, noiseMultiplier: number) =>
			[
				[capped(30), [{ sampling: "truncated-poisson", datasetSize: 100, sampleRate: 0.26, maxBatchSize: 30, noiseMultiplier, steps }]],
				[ALLOCATION, [{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier, epochs: Math.ceil(steps / 4) }]],
			] as const;
		const plain = planPrivacy({ ...settings, steps: 6, noiseMultiplier: 2 });
		for (const [sampling, history] of events(6, 2)) {
			const plan = planPrivacy({ ...settings, sampling, steps: 6, noiseMultiplier: 2 });
			expect(plan.epsilon).toBe(epsilon(history, { delta }));
			expect(plan.epsilon).not.toBe(plain.epsilon);
			expect(plan.sampling).toEqual(sampling);
			expect(Object.isFrozen(plan.sampling)).toBe(true);
			expect(plan.sampleRate).toBe(sampling.kind === "random-allocation" ? 0.25 : 0.26);
		}
		for (const [i, [sampling]] of events(1, 1).entries()) {
			const plan = planPrivacy({ ...settings, sampling, steps: 6, targetEpsilon: 3 });
			const [, history] = events(6, plan.noiseMultiplier)[i];
			expect(epsilon(history, { delta })).toBeLessThanOrEqual(3);
			expect(3 - epsilon(history, { delta })).toBeLessThan(1e-4);
			expect(plan.epsilonAfter(1)).toBe(epsilon(events(1, plan.noiseMultiplier)[i][1], { delta }));
		}
	});

	test("in a statement, which names it and gives no figure that does not cover it", () => {
		const say = (sampling: Sampling | undefined, stepsTaken = 5): string =>
			privacyStatement(planPrivacy({ ...settings, sampling, steps: 8, noiseMultiplier: 2 }), { stepsTaken, secure: true });
		const bare = (steps: number): number =>
			Math.ceil(epsilon([{ sampleRate: 1, noiseMultiplier: 2, steps }], { delta, accountant: "gdp" }) * 1e4) / 1e4;
		expect(say(undefined)).toContain("sampling     Poisson: each record enters a step with q = 0.26, on its own (N = 100");
		expect(say(undefined)).toContain("RDP");
		expect(say(capped(30))).toContain("on its own; of more than 30 a random subset of so many is kept (N = 100");
		expect(say(capped(30))).toContain(`ε = ${bare(5)} without amplification by sampling, as if the record were in every step`);
		expect(say(capped(30))).not.toContain("RDP");
		expect(say(ALLOCATION)).toContain("random allocation: each record enters one of the 4 steps of an epoch");
		expect(say(ALLOCATION)).toContain(`ε = ${bare(2)} without amplification by sampling, as if the step of the record were known`);
		expect(say(ALLOCATION)).not.toContain("RDP");
	});

	test("refuses what is no sampling, by name", () => {
		const plan = (sampling: unknown) => () => planPrivacy({ ...settings, steps: 6, noiseMultiplier: 2, sampling: sampling as Sampling });
		for (const none of [null, {}, { kind: "shuffle" }, "poisson"]) expect(plan(none)).toThrow("sampling must be of a kind among poisson");
		for (const maxBatchSize of [0, 1.5, undefined, Number.NaN]) {
			expect(plan({ kind: "truncated-poisson", maxBatchSize })).toThrow("maxBatchSize must be");
		}
	});
});
