import { planPrivacy, type Sampling } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";

/* What bench/accountant.ts measures, for the tutorial's plan; the limits are ten times what it takes. */

/** Milliseconds of the processor, the best of three. */
function cost(call: () => unknown): number {
	const times = [1, 2, 3].map(() => {
		const before = process.cpuUsage();
		call();
		const { user, system } = process.cpuUsage(before);
		return (user + system) / 1000;
	});
	return Math.min(...times);
}

const SAMPLINGS: readonly Sampling[] = [
	{ kind: "random-allocation" },
	{ kind: "poisson" },
	{ kind: "truncated-poisson", maxBatchSize: 130 },
];

describe("the accountant of record, warm", () => {
	it.each(SAMPLINGS)("gives an ε in 150 ms of the processor, and calibrates in 2 s: $kind", (sampling) => {
		const options = { datasetSize: 393, expectedBatchSize: 100, targetEpsilon: 8, targetDelta: 1e-5, steps: 16, maxGradNorm: 1, sampling };
		const plan = planPrivacy(options);
		let delta = 1e-5;
		const one = cost(() => {
			delta *= 1.01;
			plan.epsilonAfter(16, delta);
		});
		expect(one).toBeLessThan(150);
		expect(cost(() => planPrivacy(options))).toBeLessThan(2000);
	});
});
