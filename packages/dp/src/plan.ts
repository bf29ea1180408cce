import { PrivacyError } from "@hushgrad/tensor";
import { getNoiseMultiplier } from "./accountant/calibrate.ts";
import { epsilon } from "./accountant/rdp.ts";
import { checkDelta, checkInteger, checkPositive, refuse } from "./check.ts";

/** What is asked of a private run. All of it is public. */
export interface PlanOptions {
	readonly targetEpsilon: number;
	readonly delta: number;
	/** Number of records N; declared public, and never counted from the data afterwards. */
	readonly datasetSize: number;
	/** L = q·N, the mean size of a logical batch. */
	readonly expectedBatchSize: number;
	/** Logical steps of the whole run. */
	readonly steps: number;
	/** Clipping norm C of one record's gradient. */
	readonly maxGradNorm: number;
}

/** The frozen public parameters of a private run. */
export interface PrivacyPlan extends PlanOptions {
	readonly sampleRate: number;
	readonly noiseMultiplier: number;
	/** ε spent once all steps are done; at most targetEpsilon. */
	readonly epsilon: number;
}

/**
 * Calibrates the noise of a run of Poisson-sampled, clipped, noisy steps.
 *
 * Guarantee: after `steps` steps with the plan's sampleRate, noiseMultiplier and maxGradNorm the run is
 * (plan.epsilon, delta)-differentially private for adding or removing one record, and plan.epsilon ≤ targetEpsilon.
 * @throws PrivacyError when delta ≥ 1/N: it would allow to publish a whole record.
 * @throws ValueError for any number outside its domain.
 */
export function planPrivacy(options: PlanOptions): PrivacyPlan {
	const { targetEpsilon, delta, datasetSize, expectedBatchSize, steps, maxGradNorm } = options;
	checkPositive("targetEpsilon", targetEpsilon);
	checkDelta(delta);
	checkInteger("datasetSize", datasetSize);
	checkInteger("steps", steps);
	checkPositive("maxGradNorm", maxGradNorm);
	if (!(expectedBatchSize > 0 && expectedBatchSize <= datasetSize)) {
		refuse("expectedBatchSize", `above 0 and at most the ${datasetSize} records`, expectedBatchSize, "lower the batch size");
	}
	if (delta * datasetSize >= 1) {
		throw new PrivacyError("privacy/delta", `delta must be below 1/N = 1/${datasetSize}, got ${delta}`, {
			hint: `a usual choice is 1/(10·N) or less, here ${(1 / (10 * datasetSize)).toPrecision(2)}`,
		});
	}
	const sampleRate = expectedBatchSize / datasetSize;
	const noiseMultiplier = getNoiseMultiplier({ targetEpsilon, targetDelta: delta, sampleRate, steps });
	return Object.freeze({
		targetEpsilon,
		delta,
		datasetSize,
		expectedBatchSize,
		steps,
		maxGradNorm,
		sampleRate,
		noiseMultiplier,
		epsilon: epsilon([{ sampleRate, noiseMultiplier, steps }], { delta }),
	});
}
