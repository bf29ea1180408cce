import { ValueError } from "@hushgrad/tensor";
import { expects, optionsOf } from "@hushgrad/tensor/author";

/** Learning-rate factor of step k, to be multiplied with the base rate. Optimisers count their steps 1, 2, … */
export type Schedule = (k: number) => number;

/** A schedule that refuses a step that is no number. */
const scheduled =
	(op: string, factor: Schedule): Schedule =>
	(k) => {
		expects(op, { k }, { k: "number" });
		return factor(k);
	};

/** @throws ValueError unless it is a number of steps above 0. */
function checkSteps<A extends string>(op: string, given: Readonly<Record<A, number>>): void {
	for (const [name, steps] of Object.entries<number>(given)) {
		expects(op, { [name]: steps }, { [name]: "number" });
		if (!(steps > 0)) throw new ValueError("schedule/steps", `${op}: ${name} is ${steps}, expected a number above 0`, { op });
	}
}

/**
 * Linear warm-up over `warmupSteps` steps, then half a cosine down to 0 at k = `totalSteps`, beyond which it rises again; the
 * formula of transformers' get_cosine_schedule_with_warmup, with factor 0 at k = 0 when there is a warm-up. transformers counts
 * from k = 0, the optimisers here from 1: a run of n steps has `totalSteps` n + 1, or its last step has the rate 0.
 */
export function cosineWithWarmup(warmupSteps: number, totalSteps: number): Schedule {
	expects("cosineWithWarmup", { warmupSteps, totalSteps }, { warmupSteps: "number", totalSteps: "number" });
	return scheduled("cosineWithWarmup", (k) => {
		if (k < warmupSteps) return k / Math.max(1, warmupSteps);
		const progress = (k - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
		return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
	});
}

/**
 * Half a cosine from 1 at k = 0 down to `min` at k = `total`, and `min` beyond; torch's CosineAnnealingLR up to there, with `min` = eta_min /
 * lr. Source: Loshchilov and Hutter 2017.
 * @throws ValueError unless `total` is above 0.
 */
export function cosineDecay(total: number, options: { readonly min?: number | undefined } = {}): Schedule {
	checkSteps("cosineDecay", { total });
	const { min = 0 } = optionsOf("cosineDecay", options, { min: "number?" });
	return scheduled("cosineDecay", (k) => halfCosine(k, total, min));
}

const halfCosine = (k: number, total: number, min: number): number =>
	min + ((1 - min) * (1 + Math.cos((Math.PI * Math.min(k, total)) / total))) / 2;

/**
 * Cosines that start again at 1: the first lasts `period` steps, each further one `factor` times the last (1 when left out), all end
 * at `min`. torch's CosineAnnealingWarmRestarts. Source: Loshchilov and Hutter 2017.
 * @throws ValueError unless `period` is above 0 and `factor` 1 or more.
 */
export function cosineRestarts(
	period: number,
	options: { readonly factor?: number | undefined; readonly min?: number | undefined } = {},
): Schedule {
	checkSteps("cosineRestarts", { period });
	const { factor = 1, min = 0 } = optionsOf("cosineRestarts", options, { factor: "number?", min: "number?" });
	if (!(factor >= 1))
		throw new ValueError("schedule/factor", `cosineRestarts: factor is ${factor}, expected 1 or more`, { op: "cosineRestarts" });
	// Where cosine n begins: the sum of the lengths before it.
	const begin = (n: number): number => period * (factor === 1 ? n : (factor ** n - 1) / (factor - 1));
	return scheduled("cosineRestarts", (k) => {
		const turns = k / period;
		const least = Math.max(0, Math.floor(factor === 1 ? turns : Math.log1p(turns * (factor - 1)) / Math.log(factor)));
		const n = begin(least + 1) <= k ? least + 1 : least; // the logarithm may be rounded down
		return halfCosine(k - begin(n), period * factor ** n, min);
	});
}

/**
 * A straight line from `start` at k = 0 to `end` at k = `total`, and `end` beyond: torch's LinearLR, from 1 to 0 when left out.
 * @throws ValueError unless `total` is above 0.
 */
export function linearDecay(
	total: number,
	options: { readonly start?: number | undefined; readonly end?: number | undefined } = {},
): Schedule {
	checkSteps("linearDecay", { total });
	const { start = 1, end = 0 } = optionsOf("linearDecay", options, { start: "number?", end: "number?" });
	return scheduled("linearDecay", (k) => start + (end - start) * Math.min(1, k / total));
}

/**
 * (1 − k / total)^power down to 0 at k = `total`, and 0 beyond: torch's PolynomialLR; `power` is 1 when left out.
 * @throws ValueError unless `total` is above 0.
 */
export function polynomialDecay(total: number, options: { readonly power?: number | undefined } = {}): Schedule {
	checkSteps("polynomialDecay", { total });
	const { power = 1 } = optionsOf("polynomialDecay", options, { power: "number?" });
	return scheduled("polynomialDecay", (k) => (1 - Math.min(1, k / total)) ** power);
}

/**
 * factorᵏ: torch's ExponentialLR. With `every`, once in so many steps: torch's StepLR.
 * @throws ValueError unless `every` is above 0.
 */
export function exponentialDecay(factor: number, options: { readonly every?: number | undefined } = {}): Schedule {
	expects("exponentialDecay", { factor }, { factor: "number" });
	const { every = 1 } = optionsOf("exponentialDecay", options, { every: "number?" });
	checkSteps("exponentialDecay", { every });
	return scheduled("exponentialDecay", (k) => factor ** Math.floor(k / every));
}

/** A straight line from `start` (0 when left out) at k = 0 to 1 at k = `steps`, then another schedule, which counts from there. */
export function withWarmup(steps: number, schedule: Schedule = constant, options: { readonly start?: number | undefined } = {}): Schedule {
	expects("withWarmup", { steps, schedule }, { steps: "number", schedule: "function" });
	const { start = 0 } = optionsOf("withWarmup", options, { start: "number?" });
	return scheduled("withWarmup", (k) => (k < steps ? start + ((1 - start) * k) / steps : schedule(k - steps)));
}

/** Factor 1 in every step. */
export const constant: Schedule = () => 1;
