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

/**
 * Half a cosine from 1 at k = 0 down to `min` at k = `total`, and `min` beyond; torch's CosineAnnealingLR up to there, with `min` = eta_min /
 * lr. Source: Loshchilov and Hutter 2017.
 */
export const cosineDecay =
	(total: number, { min = 0 } = {}): Schedule =>
	(k) =>
		min + ((1 - min) * (1 + Math.cos((Math.PI * Math.min(k, total)) / total))) / 2;

/**
 * Cosines that start again at 1: the first lasts `period` steps, each further one `factor` times the last (1 when left out), all end at
 * `min`. torch's CosineAnnealingWarmRestarts. Source: Loshchilov and Hutter 2017.
 */
export const cosineRestarts =
	(period: number, { factor = 1, min = 0 } = {}): Schedule =>
	(k) => {
		let [at, length] = [k, period];
		for (; at >= length; length *= factor) at -= length;
		return cosineDecay(length, { min })(at);
	};

/** A straight line from `start` at k = 0 to `end` at k = `total`, and `end` beyond: torch's LinearLR, from 1 to 0 when left out. */
export const linearDecay =
	(total: number, { start = 1, end = 0 } = {}): Schedule =>
	(k) =>
		start + (end - start) * Math.min(1, k / total);

/** (1 − k / total)^power down to 0 at k = `total`, and 0 beyond: torch's PolynomialLR; `power` is 1 when left out. */
export const polynomialDecay =
	(total: number, { power = 1 } = {}): Schedule =>
	(k) =>
		(1 - Math.min(1, k / total)) ** power;

/** factorᵏ: torch's ExponentialLR. With `every`, once in so many steps: torch's StepLR. */
export const exponentialDecay =
	(factor: number, { every = 1 } = {}): Schedule =>
	(k) =>
		factor ** Math.floor(k / every);

/** A straight line from `start` (0 when left out) at k = 0 to 1 at k = `steps`, then another schedule, which counts from there. */
export const withWarmup =
	(steps: number, then: Schedule = constant, { start = 0 } = {}): Schedule =>
	(k) =>
		k < steps ? start + ((1 - start) * k) / steps : then(k - steps);

/** Factor 1 in every step. */
export const constant: Schedule = () => 1;
