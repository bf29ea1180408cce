import { PrivacyError } from "@hushgrad/tensor";
import { getNoiseMultiplier } from "./accountant/calibrate.ts";
import { epsilon } from "./accountant/rdp.ts";
import { checkDelta, checkInteger, checkPositive, refuse } from "./check.ts";

/** What is asked of a private run. All of it is public. */
export interface PlanOptions {
	/** ε that all steps together may spend, finite and above 0. */
	readonly targetEpsilon: number;
	/** δ of the guarantee, below 1/N. */
	readonly delta: number;
	/** Number of records N; declared public, and never counted from the data afterwards. */
	readonly datasetSize: number;
	/** L = q·N, the mean size of a logical batch, in (0, N]. */
	readonly expectedBatchSize: number;
	/** Logical steps T of the whole run, 1 or more. */
	readonly steps: number;
	/** Clipping norm C of one record's gradient, in L2. */
	readonly maxGradNorm: number;
}

/** The frozen public parameters of a private run. */
export interface PrivacyPlan extends PlanOptions {
	/** q = L/N, the probability with which each record enters a step. */
	readonly sampleRate: number;
	/** σ, the deviation of the noise on the sum, in multiples of maxGradNorm: the smallest that meets the target, to 1e-6. */
	readonly noiseMultiplier: number;
	/** ε spent once all steps are done; at most targetEpsilon. */
	readonly epsilon: number;
}

/**
 * Calibrates the noise of a run of Poisson-sampled, clipped, noisy steps, by RDP.
 *
 * Guarantee: after `steps` steps with the plan's sampleRate, noiseMultiplier and maxGradNorm the run is (plan.epsilon,
 * delta)-differentially private for adding or removing one record, and plan.epsilon ≤ targetEpsilon.
 * @throws PrivacyError when delta ≥ 1/N: it would allow to publish a whole record.
 * @throws ValueError for any number outside its domain, and when no noise reaches the target.
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
