import { checkInteger, checkNonNegative, checkSampleRate } from "../check.ts";

/** `steps` equal steps of the Poisson-sampled Gaussian: noise of deviation `noiseMultiplier`·C on a sum clipped to C. */
export interface PrivacyEvent {
	/** Probability q in [0, 1] with which each record enters a step. */
	readonly sampleRate: number;
	/** σ, the deviation of the noise in multiples of the clipping norm C; 0 or more. */
	readonly noiseMultiplier: number;
	/** Number of steps, 0 or more. */
	readonly steps: number;
}

/** What was done to the data so far, in order; neighbouring equal segments are joined. */
export type PrivacyHistory = readonly PrivacyEvent[];

/** @throws ValueError for a rate outside [0, 1], a negative or non-finite noise multiplier, or steps that are no count. */
export function checkEvent({ sampleRate, noiseMultiplier, steps }: PrivacyEvent): void {
	checkSampleRate(sampleRate);
	checkNonNegative("noiseMultiplier", noiseMultiplier);
	checkInteger("steps", steps, { min: 0 });
}

/**
 * The history with `event` after it, joined to the last segment where rate and noise are equal. The history given is not changed.
 * @throws ValueError for a rate outside [0, 1], a negative or non-finite noise multiplier, or steps that are no count.
 */
export function appendEvent(history: PrivacyHistory, event: PrivacyEvent): PrivacyHistory {
	checkEvent(event);
	const { sampleRate, noiseMultiplier, steps } = event;
	const last = history.at(-1);
	if (last?.sampleRate !== sampleRate || last.noiseMultiplier !== noiseMultiplier) {
		return [...history, { sampleRate, noiseMultiplier, steps }];
	}
	return [...history.slice(0, -1), { sampleRate, noiseMultiplier, steps: last.steps + steps }];
}
