/** Learning-rate factor of step k, to be multiplied with the base rate. Optimisers count their steps 1, 2, … */
export type Schedule = (k: number) => number;

/**
 * Linear warm-up over `warmupSteps` steps, then half a cosine down to 0 at k = `totalSteps`, beyond which it rises again; the
 * formula of transformers' get_cosine_schedule_with_warmup, with factor 0 at k = 0 when there is a warm-up. transformers counts
 * from k = 0, the optimisers here from 1: a run of n steps has `totalSteps` n + 1, or its last step has the rate 0.
 */
export function cosineWithWarmup(warmupSteps: number, totalSteps: number): Schedule {
	return (k) => {
		if (k < warmupSteps) return k / Math.max(1, warmupSteps);
		const progress = (k - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
		return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
	};
}

/** Factor 1 in every step. */
export const constant: Schedule = () => 1;
