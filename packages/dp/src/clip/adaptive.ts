import { checkClipNorm, checkPositive, refuse } from "../check.ts";

/**
 * Clipping at a norm that follows a quantile of the norms (Andrew et al. 2021; Opacus' adaptive): a record is clipped to C_t as by flat
 * clipping, and C_{t+1} = C_t · exp(−η (b̃_t − γ)), with b̃_t a noisy fraction of the records that were not clipped.
 *
 * A record counts ½ where it was not clipped and −½ where it was, so that adding or removing one moves the count by ½, and b̃ = ½ + (count +
 * noise)/L: neither the size of the batch nor N is in it.
 */
export interface AdaptiveClipping {
	/** Tells it from the other ways of clipping. */
	readonly kind: "adaptive";
	/** γ, the fraction of the records to be left unclipped, between 0 and 1; 0.5 when left out. */
	readonly targetUnclippedQuantile?: number | undefined;
	/** η, above 0; 0.2 when left out. */
	readonly clipboundLearningRate?: number | undefined;
	/** σ_b, the deviation of the noise on the count, in records, above σ/2; L/20 when left out. */
	readonly unclippedNumStd?: number | undefined;
	/** What C is never below; C/1024 of the first step when left out. */
	readonly minClipbound?: number | undefined;
	/** What C is never above; 1024 C of the first step when left out. */
	readonly maxClipbound?: number | undefined;
}

/** Adaptive clipping with all of its numbers. */
export type PlannedAdaptiveClipping = { readonly [K in keyof AdaptiveClipping]-?: NonNullable<AdaptiveClipping[K]> };

/** What it depends on beside itself. */
interface Sizes {
	readonly maxGradNorm: number;
	readonly expectedBatchSize: number;
}

/** All numbers of it, frozen. @throws ValueError for those outside their domain. */
export function adaptiveOf(clipping: AdaptiveClipping, { maxGradNorm, expectedBatchSize }: Sizes): PlannedAdaptiveClipping {
	const {
		targetUnclippedQuantile = 0.5,
		clipboundLearningRate = 0.2,
		unclippedNumStd = expectedBatchSize / 20,
		minClipbound = maxGradNorm / 1024,
		maxClipbound = maxGradNorm * 1024,
	} = clipping;
	if (!(Number.isFinite(targetUnclippedQuantile) && targetUnclippedQuantile > 0 && targetUnclippedQuantile < 1)) {
		refuse("targetUnclippedQuantile", "a fraction between 0 and 1", targetUnclippedQuantile);
	}
	checkPositive("clipboundLearningRate", clipboundLearningRate);
	checkPositive("unclippedNumStd", unclippedNumStd);
	checkClipNorm("minClipbound", minClipbound);
	checkClipNorm("maxClipbound", maxClipbound);
	if (minClipbound > maxGradNorm || maxClipbound < maxGradNorm) {
		refuse("maxGradNorm", `between minClipbound ${minClipbound} and maxClipbound ${maxClipbound}`, maxGradNorm);
	}
	return Object.freeze({ kind: "adaptive", targetUnclippedQuantile, clipboundLearningRate, unclippedNumStd, minClipbound, maxClipbound });
}

/**
 * σ_Δ, the noise multiplier of the sum, with which sum and count together are the Gaussian mechanism of noise multiplier σ:
 * (σ⁻² − (2 σ_b)⁻²)^(−1/2). For with sensitivities S and ½, (S/(σ_Δ S))² + (½/σ_b)² = σ⁻². Source: Andrew et al. 2021, theorem 1.
 * @throws ValueError where the count alone would cost more, σ_b ≤ σ/2.
 */
export function sumMultiplier(noiseMultiplier: number, unclippedNumStd: number): number {
	if (unclippedNumStd <= noiseMultiplier / 2) {
		refuse(
			"unclippedNumStd",
			`above half of the noise multiplier, ${noiseMultiplier / 2}`,
			unclippedNumStd,
			"raise it, or the batch that it follows from: L/20 when left out",
		);
	}
	const ratio = noiseMultiplier / (2 * unclippedNumStd);
	return noiseMultiplier / Math.sqrt((1 - ratio) * (1 + ratio));
}

/** C of the next step, of the noisy count of this one: a function of what was released. */
export function nextNorm(norm: number, unclipped: number, clipping: PlannedAdaptiveClipping, expectedBatchSize: number): number {
	const { targetUnclippedQuantile, clipboundLearningRate, minClipbound, maxClipbound } = clipping;
	const fraction = 0.5 + unclipped / expectedBatchSize;
	const next = norm * Math.exp(-clipboundLearningRate * (fraction - targetUnclippedQuantile));
	return Math.min(maxClipbound, Math.max(minClipbound, next));
}
