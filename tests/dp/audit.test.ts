import {
	type AccountedHistory,
	attackCounts,
	epsilon,
	epsilonFromGaussianRates,
	epsilonFromScores,
	gaussianEpsilon,
	gaussianMu,
	insecureNoiseForTests,
	noiseFromRates,
	refutes,
	research,
	secureNoise,
} from "@hushgrad/dp";
import { describe, expect, test } from "vitest";
import { useDevice } from "../support/device.ts";
import { setting } from "../support/environment.ts";
import { allocationRatio, auditedRun, planFor, poissonRatio, scoresOf, spread, type Traces, total } from "./auditedRun.ts";

const device = useDevice();

const CANARIES = 1000;
/** Runs for each ε: two of them, or as many as are asked for. */
const RUNS = Number(setting("HUSHGRAD_AUDIT_RUNS") ?? 2);
const confidence = { significance: 0.01 };
const options = { ...confidence, delta: 1e-5 };

describe("the engine, audited in one run with every canary in every step", () => {
	const plan = planFor(CANARIES, { noiseMultiplier: 1, steps: 4 });

	test("leaks no more than it claims, and the audit sees more than half of it", async () => {
		const scores = scoresOf(await auditedRun(device(), plan, 1), total);
		expect(plan.epsilon).toBeCloseTo(gaussianEpsilon(2, 1e-5), 6);
		for (const found of [epsilonFromGaussianRates(attackCounts(scores), options), epsilonFromScores(scores, options)]) {
			expect(found).toBeLessThanOrEqual(plan.epsilon);
			expect(found).toBeGreaterThanOrEqual(0.5 * plan.epsilon);
		}
	});

	test("leaks no more than it claims with the platform's noise", async () => {
		const scores = scoresOf(await auditedRun(device(), plan, 1, secureNoise()), total);
		const rarelyWrong = { ...options, significance: 1e-6 };
		expect(epsilonFromScores(scores, rarelyWrong)).toBeLessThanOrEqual(plan.epsilon);
		expect(epsilonFromScores(scores, rarelyWrong)).toBeGreaterThanOrEqual(0.5 * plan.epsilon);
	});

	test.each([0.5, 0.7])("is found out with %f of the noise", async (part) => {
		const noise = research({
			noise: (step, length) => {
				const normals = new Float64Array(length);
				insecureNoiseForTests(7, { stream: step }).fillNormals(normals);
				return normals.map((v) => v * part * plan.noiseMultiplier * plan.maxGradNorm);
			},
		});
		const scores = scoresOf(await auditedRun(device(), plan, 1, noise), total);
		expect(epsilonFromGaussianRates(attackCounts(scores), options)).toBeGreaterThan(plan.epsilon);
		expect(epsilonFromScores(scores, options)).toBeGreaterThan(plan.epsilon);
	});
});

test("the engine with a schedule of noise leaks no more than it claims, and more than half of it", async () => {
	const factors = [1, 0.5, 2, 1];
	const plan = planFor(CANARIES, { targetEpsilon: 8, steps: 4, noiseSchedule: { kind: "listed", factors } });
	// The best test weighs each step by its noise.
	const worth = (trace: Float64Array): number => trace.reduce((sum, v, i) => sum + v / factors[i] ** 2, 0);
	const scores = scoresOf(await auditedRun(device(), plan, 3), worth);
	for (const found of [epsilonFromGaussianRates(attackCounts(scores), options), epsilonFromScores(scores, options)]) {
		expect(found).toBeLessThanOrEqual(8);
		expect(found).toBeGreaterThanOrEqual(4);
	}
});

describe.each([1, 3, 8])("the engine with a target ε of %d", (targetEpsilon) => {
	test(`leaks no more than it claims in ${RUNS} runs, and the audit sees half of it where it can`, async () => {
		const plan = planFor(CANARIES, { targetEpsilon, steps: 4 });
		const runs: Traces[] = [];
		for (let run = 0; run < RUNS; run++) {
			const traces = await auditedRun(device(), plan, 100 * targetEpsilon + run);
			expect(epsilonFromScores(scoresOf(traces, total), { ...options, significance: 1e-3 })).toBeLessThanOrEqual(targetEpsilon);
			runs.push(traces);
		}
		const all = { included: runs.flatMap((r) => r.included), excluded: runs.flatMap((r) => r.excluded) };
		const found = epsilonFromScores(scoresOf(all, total), options);
		expect(found).toBeLessThanOrEqual(targetEpsilon);
		const deviation = 2 / Math.sqrt(RUNS * CANARIES);
		const attainable = gaussianEpsilon(Math.max(gaussianMu(targetEpsilon, 1e-5) - 5 * deviation, 0.01), 1e-5);
		if (attainable >= 0.5 * targetEpsilon) expect(found).toBeGreaterThanOrEqual(0.5 * targetEpsilon);
	});
});

describe("the engine with sampled steps", () => {
	const level = { noiseMultiplier: 0.8, steps: 16, sampleRate: 0.25 };
	const poisson = planFor(CANARIES, level);
	const allocation = planFor(CANARIES, { ...level, sampling: { kind: "random-allocation" } });
	const capped = planFor(CANARIES, { ...level, sampling: { kind: "truncated-poisson", maxBatchSize: 320 } });
	const cases = [
		{
			name: "Poisson sampling",
			plan: poisson,
			worth: poissonRatio(poisson),
			historyOf: (noiseMultiplier: number): AccountedHistory => [{ sampleRate: 0.25, noiseMultiplier, steps: 16 }],
		},
		{
			name: "random allocation",
			plan: allocation,
			worth: allocationRatio(allocation),
			historyOf: (noiseMultiplier: number): AccountedHistory => [
				{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier, epochs: 4 },
			],
		},
		{
			name: "Poisson sampling below a cap",
			plan: capped,
			worth: poissonRatio(capped),
			historyOf: (noiseMultiplier: number): AccountedHistory => [
				{ sampling: "truncated-poisson", datasetSize: CANARIES, sampleRate: 0.25, maxBatchSize: 320, noiseMultiplier, steps: 16 },
			],
		},
	];

	test.each(cases)("by $name leaks no more than it claims, and the audit sees half of it", async ({ plan, worth, historyOf }) => {
		const traces = await auditedRun(device(), plan, 2);
		const counts = attackCounts(scoresOf(traces, worth));
		const claimed = historyOf(plan.noiseMultiplier);
		expect(refutes(claimed, counts, confidence)).toBe(false);
		expect(refutes(claimed, attackCounts(scoresOf(traces, spread)), confidence)).toBe(false);
		const found = epsilon(historyOf(noiseFromRates(historyOf, counts, confidence)), { delta: 1e-5 });
		expect(found).toBeLessThanOrEqual(plan.epsilon);
		expect(found).toBeGreaterThanOrEqual(0.5 * plan.epsilon);
	});
});
