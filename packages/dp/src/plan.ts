import { PrivacyError } from "@hushgrad/tensor";
import { blaming, expects, named } from "@hushgrad/tensor/author";
import { calibrateNoise } from "./accountant/calibration.ts";
import { epsilon } from "./accountant/spent.ts";
import { checkClipNorm, checkDelta, checkInteger, checkNonNegative, checkPositive, refuse } from "./check.ts";
import { sumMultiplier } from "./clip/adaptive.ts";
import { type Clipping, clippingOf, type PlannedClipping } from "./clip/clip.ts";
import { historyAfter, isAllocated, type Sampling, samplingOf } from "./sampler.ts";
import { stepsForEpochs } from "./sampling.ts";
import { factorsOf, type PlannedSchedule, plannedSchedule, rangeOf, type Schedule } from "./schedule.ts";
import { type PrivacyUnit, unitOf } from "./units.ts";

/** Noise multipliers of a run, at most: each of them is a composition of its own for the accountant. */
const MOST_MULTIPLIERS = 64;
/** An ε above which a guarantee says next to nothing: e⁵⁰ is 5·10²¹. */
const MEANINGLESS = 50;

/** A run of so many steps. */
export interface StepCount {
	/** Logical steps T of the whole run, 1 or more. */
	readonly steps: number;
	/** Not with `steps`. */
	readonly epochs?: undefined;
}

/** A run of so many passes over the records. */
export interface EpochCount {
	/** Passes over the records, above 0: `stepsForEpochs` of them. */
	readonly epochs: number;
	/** Not with `epochs`. */
	readonly steps?: undefined;
}

/** How long a run is: logical steps, or passes over the records. */
export type Duration = StepCount | EpochCount;

/** Noise that meets a target. */
export interface TargetEpsilon {
	/** ε that all steps together may spend, finite and above 0. */
	readonly targetEpsilon: number;
	/** Not with `targetEpsilon`. */
	readonly noiseMultiplier?: undefined;
}

/** Noise that is given. */
export interface GivenNoise {
	/** σ, 0 or more: the deviation of the noise on the sum, in multiples of what one record moves it by. */
	readonly noiseMultiplier: number;
	/** Not with `noiseMultiplier`. */
	readonly targetEpsilon?: undefined;
}

/** How much noise: what ε may be spent, or the noise itself. */
export type NoiseLevel = TargetEpsilon | GivenNoise;

/** What does not depend on how a plan is asked for. All of it is public. */
export interface PlanSettings {
	/** δ of the guarantee, below 1/N; 1/(10 N) or less is usual. */
	readonly targetDelta: number;
	/** Number of records N; declared public, and never counted from the data afterwards. */
	readonly datasetSize: number;
	/** L = q·N, the mean size of a logical batch, in (0, N]. The noisy sum is divided by it. */
	readonly expectedBatchSize: number;
	/** Clipping norm C of one record's gradient over all parameters, in L2; where it changes, that of the first step. */
	readonly maxGradNorm: number;
	/** What C is multiplied by in later steps; the same C in all of them when left out. Not with adaptive clipping. */
	readonly maxGradNormSchedule?: Schedule | undefined;
	/**
	 * What σ is multiplied by in later steps, where noiseMultiplier is that of the first step, and calibration scales all of them; the same
	 * σ in all of them when left out. At most 64 different ones; accounting takes 20 ms for each, calibration 20 times as long.
	 */
	readonly noiseSchedule?: Schedule | undefined;
	/** How records are brought to C; flat clipping when left out. */
	readonly clipping?: Clipping | undefined;
	/** How records are chosen; Poisson sampling when left out. */
	readonly sampling?: Sampling | undefined;
	/**
	 * Who is protected as a whole, where it is not a single record: N, L, δ and what is sampled, clipped and counted are then of such units,
	 * and `PrivacyEngine.stepOnUnits` takes the steps.
	 */
	readonly unit?: PrivacyUnit | undefined;
	/** Plan with an ε above 50, too, which protects nobody; false when left out. */
	readonly allowMeaninglessEpsilon?: boolean | undefined;
}

/** What is asked of a private run. */
export type PlanOptions = PlanSettings & NoiseLevel & Duration;

class Plan {
	readonly #made = true;
	/** ε that all steps together may spend; undefined where the noise was given. */
	readonly targetEpsilon: number | undefined;
	/** δ of the guarantee. */
	readonly targetDelta: number;
	/** Number of records N, declared public. */
	readonly datasetSize: number;
	/** L, the mean size of a logical batch, and the divisor of the noisy sum. */
	readonly expectedBatchSize: number;
	/** Clipping norm C, of the first step. */
	readonly maxGradNorm: number;
	/** What C is multiplied by in later steps. */
	readonly maxGradNormSchedule: PlannedSchedule | undefined;
	/** What σ is multiplied by in later steps. */
	readonly noiseSchedule: PlannedSchedule | undefined;
	/** Logical steps T of the whole run. */
	readonly steps: number;
	/** How records are brought to C. */
	readonly clipping: PlannedClipping;
	/** How records are chosen. */
	readonly sampling: Sampling;
	/** Who is protected as a whole; a single record where undefined. */
	readonly unit: PrivacyUnit | undefined;
	/** q, the probability with which each record enters a step: L/N; of random allocation and of bins 1 over the steps of an epoch. */
	readonly sampleRate: number;
	/** σ of the first step: that which was given, or the smallest that meets the target, to 1e-6. */
	readonly noiseMultiplier: number;
	/** ε spent once all steps are done; at most targetEpsilon. */
	readonly epsilon: number;

	static {
		Object.freeze(Plan.prototype);
	}

	constructor(options: PlanOptions) {
		const { targetEpsilon, targetDelta, datasetSize, expectedBatchSize, maxGradNorm } = options;
		if (options.noiseMultiplier === undefined) checkPositive("targetEpsilon", options.targetEpsilon);
		else checkNonNegative("noiseMultiplier", options.noiseMultiplier);
		checkDelta(targetDelta);
		checkInteger("datasetSize", datasetSize);
		if (!(typeof expectedBatchSize === "number" && expectedBatchSize > 0 && expectedBatchSize <= datasetSize)) {
			refuse("expectedBatchSize", `above 0 and at most the ${datasetSize} records`, expectedBatchSize, "lower the batch size");
		}
		if (targetDelta * datasetSize >= 1) {
			throw new PrivacyError("privacy/delta", `delta must be below 1/N = 1/${datasetSize}, got ${targetDelta}`, {
				hint: `a usual choice is 1/(10·N) or less, here ${(1 / (10 * datasetSize)).toPrecision(2)}`,
			});
		}
		const steps = options.steps ?? stepsForEpochs(options.epochs, { datasetSize, expectedBatchSize });
		checkInteger("steps", steps);
		checkClipNorm("maxGradNorm", maxGradNorm);
		this.clipping = clippingOf(options.clipping, options);
		const { clipping } = this;
		const noiseSchedule = plannedSchedule("noiseSchedule", options.noiseSchedule, steps);
		if (new Set(factorsOf(noiseSchedule)).size > MOST_MULTIPLIERS) {
			refuse("noiseSchedule", `one of at most ${MOST_MULTIPLIERS} noise multipliers`, options.noiseSchedule, "raise its `every`");
		}
		this.noiseSchedule = noiseSchedule;
		this.maxGradNormSchedule = plannedSchedule("maxGradNormSchedule", options.maxGradNormSchedule, steps);
		if (clipping.kind === "adaptive" && this.maxGradNormSchedule !== undefined) {
			refuse("maxGradNormSchedule", "left out where clipping is adaptive, which moves C itself", options.maxGradNormSchedule);
		}
		for (const factor of factorsOf(this.maxGradNormSchedule)) checkClipNorm("maxGradNorm", maxGradNorm * factor);
		const rate = expectedBatchSize / datasetSize;
		const { sampling: asked = { kind: "poisson" } } = options;
		const sampling = samplingOf(asked);
		const sampleRate = isAllocated(sampling) ? 1 / Math.round(1 / rate) : rate;
		this.sampling = sampling;
		this.unit = unitOf(options.unit);
		this.targetEpsilon = targetEpsilon;
		this.targetDelta = targetDelta;
		this.datasetSize = datasetSize;
		this.expectedBatchSize = expectedBatchSize;
		this.maxGradNorm = maxGradNorm;
		this.steps = steps;
		this.sampleRate = sampleRate;
		this.noiseMultiplier =
			options.noiseMultiplier ??
			calibrateNoise({ targetEpsilon: options.targetEpsilon, targetDelta }, (noiseMultiplier) =>
				historyAfter({ sampling, datasetSize, steps, sampleRate, noiseMultiplier, noiseSchedule }, steps),
			);
		if (clipping.kind === "adaptive") sumMultiplier(this.noiseMultiplier * rangeOf(noiseSchedule).largest, clipping.unclippedNumStd);
		this.epsilon = this.epsilonAfter(steps);
		Object.freeze(this);
	}

	/** Whether a value is a plan that this file has made. */
	static made(value: unknown): value is Plan {
		return typeof value === "object" && value !== null && #made in value;
	}

	/**
	 * ε spent by the first `steps` steps, at `delta`, targetDelta when left out; 0 for none. By privacy loss distributions, an upper bound.
	 * @throws ValueError for a number of steps that is none, or δ outside (0, 1).
	 */
	epsilonAfter(steps: number, delta = this.targetDelta): number {
		return blaming("PrivacyPlan.epsilonAfter", () => {
			checkInteger("steps", steps, { min: 0 });
			return epsilon(historyAfter(this, steps), { delta });
		});
	}
}

/** The frozen public parameters of a private run. Only `planPrivacy` makes one. */
export type PrivacyPlan = Plan;

/**
 * Plans a run of sampled, clipped, noisy steps: calibrates the noise to a target ε, or says what given noise costs, by
 * privacy loss distributions. A plan
 * is frozen, and no other object passes for one.
 *
 * Guarantee: after `steps` steps with the plan's sampleRate, noise multipliers and clipping norms the run is (plan.epsilon,
 * targetDelta)-differentially private for adding or removing one record, or one unit of a plan that names one, and plan.epsilon ≤ targetEpsilon.
 * @throws PrivacyError when δ ≥ 1/N, which would allow to publish a whole record, and for an ε above 50 (`privacy/meaningless`).
 * @throws ValueError for any number outside its domain, and when no noise reaches the target.
 */
export const planPrivacy = named("planPrivacy", (options: PlanOptions): PrivacyPlan => {
	expects("planPrivacy", { options }, { options: "options" });
	const plan = new Plan(options);
	if (plan.epsilon > MEANINGLESS && options.allowMeaninglessEpsilon !== true) {
		throw new PrivacyError(
			"privacy/meaningless",
			`this run would spend an epsilon of ${plan.epsilon.toPrecision(4)}, which protects nobody`,
			{
				hint: `plan for ${MEANINGLESS} or less, better below 10: more noise, fewer steps or a smaller share of the records in each; or set allowMeaninglessEpsilon`,
			},
		);
	}
	return plan;
});

/** @throws PrivacyError for anything that `planPrivacy` did not make. */
export function checkPlan(plan: PrivacyPlan): void {
	if (Plan.made(plan)) return;
	throw new PrivacyError("privacy/plan", "expected a plan made by planPrivacy(), got something else", {
		hint: "a plan is calibrated and frozen by planPrivacy(); no object stands in for one",
	});
}
