/** Learning-rate factor for step k = 0, 1, …, to be multiplied with the base rate. */
export type Schedule = (k: number) => number;

/**
 * Linear warm-up over `warmupSteps`, then half a cosine down to 0 at `totalSteps`; as in transformers'
 * get_cosine_schedule_with_warmup. Step 0 has factor 0 when there is a warm-up.
 */
export function cosineWithWarmup(warmupSteps: number, totalSteps: number): Schedule {
	return (k) => {
		if (k < warmupSteps) return k / Math.max(1, warmupSteps);
		const progress = (k - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
		return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
	};
}

export const constant: Schedule = () => 1;
