import { NumericError } from "@hushgrad/tensor";
import type { GaussianMechanism } from "./mechanism.ts";

/** Deviations of noise that one step's count has to exceed. */
const DEVIATIONS = 6;
/** ln of how rarely a run without a fault is stopped by a step: once in 10⁹. */
const RARE = 9 * Math.LN10;

/**
 * Stops a run that spends its budget on noise: more than half of its records have gradients that are not finite. It sees the noisy count
 * of each release only, so what it decides is covered by ε like the parameters. Counts n_t of all steps are watched together, by the
 * one-sided CUSUM s ← max(0, s + n_t − L/2), which ends the run above h = max(6 σ', ln(10⁹) σ'²/L), σ' being the deviation of the count:
 * where no record is at fault that happens less than once in 10⁹ steps. Source: Page 1954.
 */
export class DivergenceWatch {
	readonly #half: number;
	readonly #limit: number;
	#excess: number;

	/** `excess` is what an earlier watch of the same run has seen. */
	constructor({ sumNoiseMultiplier, sensitivity, maxGradNorm, expectedBatchSize }: GaussianMechanism, excess = 0) {
		this.#excess = excess;
		const deviation = (sumNoiseMultiplier * sensitivity) / maxGradNorm;
		this.#half = expectedBatchSize / 2;
		this.#limit = Math.max(DEVIATIONS * deviation, (RARE * deviation ** 2) / expectedBatchSize);
	}

	/** s, for a watch that goes on. */
	get excess(): number {
		return this.#excess;
	}

	/** Takes in the noisy count of a step. @throws NumericError (`privacy/diverged`) once they are too many. */
	see(step: number, notFinite: number): void {
		this.#excess = Math.max(0, this.#excess + notFinite - this.#half);
		if (this.#excess <= this.#limit) return;
		throw new NumericError(
			"privacy/diverged",
			`step ${step}: about ${Math.round(notFinite)} records have gradients that are not finite, with some ${2 * this.#half} in a step, so the run stops`,
			{
				op: "PrivacyEngine.step",
				hint: "the parameters are as before the step, which was counted; lower the rate, or see whether the tokenizer belongs to the model. The count is noisy: epsilon covers it",
			},
		);
	}
}
