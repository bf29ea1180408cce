/**
 * What the accountant of record takes, warm, in processor time: ε(δ) of a plan, and its calibration. The tutorial's plan by three ways of
 * sampling, and two plans of 900 records. `node --import tsx -C @hushgrad/source bench/accountant.ts`
 */
import { type PlanOptions, planPrivacy } from "@hushgrad/dp";

const CARDS = { datasetSize: 393, expectedBatchSize: 100, targetEpsilon: 8, targetDelta: 1e-5, steps: 16, maxGradNorm: 1 };
const LARGE = { ...CARDS, datasetSize: 900 };

const PLANS: Readonly<Record<string, PlanOptions>> = {
	"cards, random allocation": { ...CARDS, sampling: { kind: "random-allocation" } },
	"cards, random allocation, ε = 3": { ...CARDS, targetEpsilon: 3, sampling: { kind: "random-allocation" } },
	"cards, Poisson": CARDS,
	"cards, at most 130": { ...CARDS, sampling: { kind: "truncated-poisson", maxBatchSize: 130 } },
	"900 records, 141 steps of 64": { ...LARGE, expectedBatchSize: 64, steps: 141 },
	"900 records, 225 steps of 8": { ...LARGE, expectedBatchSize: 8, steps: 225, targetEpsilon: 15 },
};

/** Median of so many calls, after one, in ms of the processor. */
function median(calls: number, call: () => unknown): number {
	call();
	const times = Array.from({ length: calls }, () => {
		const before = process.cpuUsage();
		call();
		const { user, system } = process.cpuUsage(before);
		return (user + system) / 1000;
	});
	return times.sort((a, b) => a - b)[Math.floor(calls / 2)];
}

for (const [name, options] of Object.entries(PLANS)) {
	const plan = planPrivacy(options);
	// Another δ each time, so that nothing is remembered.
	let delta = 1e-5;
	const one = median(7, () => {
		delta *= 1.001;
		return plan.epsilonAfter(plan.steps, delta);
	});
	const calibration = median(3, () => planPrivacy(options));
	console.log(`${name}: ε ${one.toFixed(0)} ms, calibration ${calibration.toFixed(0)} ms (σ = ${plan.noiseMultiplier})`);
}
