import { PrivacyError } from "@hushgrad/tensor";
import { binnedHistory } from "./accountant/bins.ts";
import { type AccountedHistory, appendEvent } from "./accountant/events.ts";
import type { Allocation } from "./allocation.ts";
import { checkInteger, refuse } from "./check.ts";
import { strategyOf } from "./correlation.ts";
import { poissonBatch } from "./sampling.ts";
import { factorAt, type PlannedSchedule } from "./schedule.ts";
import type { NoiseSource } from "./secureRandom.ts";

/** How the records of a step are chosen. Each way is accounted as what it is. */
export type Sampling =
	| {
			/** Every record enters every step with probability q = L/N, on its own. */
			readonly kind: "poisson";
	  }
	| {
			/** Poisson sampling, of whose larger batches a random subset is kept: memory is bounded, ε grows a little. */
			readonly kind: "truncated-poisson";
			/** Records of a step, at most. */
			readonly maxBatchSize: number;
	  }
	| {
			/** Every record enters one step of each epoch of round(N/L) steps, any of them alike, on its own: no record is left out, none comes twice. All steps of a run are handed the same records, in any order. */
			readonly kind: "random-allocation";
	  }
	| {
			/**
			 * Every record is in one of round(N/L) bins, any of them alike, on its own, for the whole run; steps take the bins in turn, and all are handed the same records, in any order. The noise of
			 * a step takes back part of that of the steps before, so that less of it adds up: better at a larger ε, and over few epochs.
			 */
			readonly kind: "balls-in-bins";
			/**
			 * Coefficients of the Toeplitz matrix C whose inverse correlates the noise of the steps, before its columns are scaled to norm 1: from 1
			 * on, none above the one before, none below 0. `bandedSquareRoot` gives them, or powers of a λ below 1; [1] is independent noise.
			 */
			readonly strategyCoefs: readonly number[];
	  };

/** The public numbers that the accounting of a run hangs on. */
export interface SampledMechanism {
	/** How records are chosen. */
	readonly sampling: Sampling;
	/** N, declared public. */
	readonly datasetSize: number;
	/** Steps of the whole run. */
	readonly steps: number;
	/** Probability with which a record enters a step: L/N; of random allocation and of bins 1 over the steps of an epoch. */
	readonly sampleRate: number;
	/** σ; with a schedule that of the first step. */
	readonly noiseMultiplier: number;
	/** What σ is multiplied by in the steps that follow; the same σ in all of them when left out. */
	readonly noiseSchedule?: PlannedSchedule | undefined;
}

/** σ of step 1, 2, … */
export const noiseMultiplierAt = (
	{ noiseMultiplier, noiseSchedule }: Pick<SampledMechanism, "noiseMultiplier" | "noiseSchedule">,
	step: number,
): number => noiseMultiplier * factorAt(noiseSchedule, step);

/** Steps of an epoch of random allocation, and of a cycle of bins. */
export const stepsPerEpoch = ({ sampleRate }: Pick<SampledMechanism, "sampleRate">): number => Math.round(1 / sampleRate);

/** A copy, frozen. @throws ValueError for what is no way of sampling. */
export function samplingOf(sampling: Sampling): Sampling {
	const kinds = ["poisson", "truncated-poisson", "random-allocation", "balls-in-bins"];
	if (!kinds.includes(sampling?.kind)) refuse("sampling", `of a kind among ${kinds.join(", ")}`, sampling?.kind);
	if (sampling.kind === "truncated-poisson") checkInteger("maxBatchSize", sampling.maxBatchSize);
	if (sampling.kind !== "balls-in-bins") return Object.freeze({ ...sampling });
	return Object.freeze({ kind: sampling.kind, strategyCoefs: strategyOf(sampling.strategyCoefs) });
}

/** Whether each record has a step, or a bin, that was drawn for it. */
export const isAllocated = ({ kind }: Sampling): boolean => kind === "random-allocation" || kind === "balls-in-bins";

/**
 * What the first `steps` steps did to the records, for an accountant. An epoch of random allocation that has begun counts as a whole: until
 * it ends, a record may have been in any of its steps. All of its steps count with the least noise among them: the rest of the noise is
 * added to what that mechanism would release.
 */
export function historyAfter(mechanism: SampledMechanism, steps: number): AccountedHistory {
	const { sampling, datasetSize, sampleRate, noiseSchedule } = mechanism;
	let history: AccountedHistory = [];
	if (sampling.kind === "balls-in-bins") {
		const ofStep = (step: number): number => factorAt(noiseSchedule, step);
		return binnedHistory({ ...mechanism, ...sampling, stepsPerCycle: stepsPerEpoch(mechanism), taken: steps, factorAt: ofStep });
	}
	if (sampling.kind === "random-allocation") {
		const length = stepsPerEpoch(mechanism);
		const epochs = Math.ceil(steps / length);
		const alike = noiseSchedule === undefined ? epochs : 1;
		for (let epoch = 0; epoch < epochs; epoch += alike) {
			const noiseMultiplier = leastNoise(mechanism, epoch * length + 1, length);
			history = appendEvent(history, { sampling: sampling.kind, stepsPerEpoch: length, noiseMultiplier, epochs: alike });
		}
		return history;
	}
	const stage = noiseSchedule?.every ?? Math.max(1, steps);
	for (let first = 1, next = 1; first <= steps; first = next) {
		const noiseMultiplier = noiseMultiplierAt(mechanism, first);
		while (next <= steps && noiseMultiplierAt(mechanism, next) === noiseMultiplier) next += stage;
		const own = { sampleRate, noiseMultiplier, steps: Math.min(next - 1, steps) - first + 1 };
		history = appendEvent(
			history,
			sampling.kind === "poisson" ? own : { sampling: sampling.kind, datasetSize, maxBatchSize: sampling.maxBatchSize, ...own },
		);
	}
	return history;
}

/** The least σ of so many steps from one on. */
function leastNoise(mechanism: SampledMechanism, first: number, count: number): number {
	if (mechanism.noiseSchedule === undefined) return mechanism.noiseMultiplier;
	let least = Number.POSITIVE_INFINITY;
	for (let step = first; step < first + count; step++) least = Math.min(least, noiseMultiplierAt(mechanism, step));
	return least;
}

/**
 * Chooses the records of each step. Poisson sampling, with a cap or without, flips fresh coins for every record in every step and remembers
 * nothing: any list may be handed over in any order, for a record's chances in a step hang on none of the steps before. Random allocation and
 * bins do remember: an `Allocation` gives each record its step by what it holds, wherever in a list it stands.
 */
export class Sampler {
	readonly #mechanism: SampledMechanism;
	readonly #allocation: Allocation | undefined;
	/** The step of each record in one epoch, kept until another one or other records are asked for. */
	#assigned: { readonly epoch: number; readonly identities: readonly string[]; readonly steps: Int32Array } | undefined;

	/** `allocation` is there where the sampling `isAllocated`. */
	constructor(mechanism: SampledMechanism, allocation: Allocation | undefined) {
		this.#mechanism = mechanism;
		this.#allocation = allocation;
	}

	/**
	 * The records of step 1, 2, …, ascending, of so many. `source` is that of the step; `identities` tell the records of an allocation apart.
	 * @throws PrivacyError for more records than N with a cap.
	 */
	batch(step: number, count: number, source: NoiseSource, identities: readonly string[] = []): Int32Array {
		const { sampling, sampleRate } = this.#mechanism;
		if (count === 0) return new Int32Array();
		if (sampling.kind === "poisson") return poissonBatch({ datasetSize: count, sampleRate }, source);
		if (sampling.kind === "truncated-poisson") {
			if (count > this.#mechanism.datasetSize) {
				throw new PrivacyError(
					"privacy/too-many-records",
					"there are more records than the plan's datasetSize, for which its cap is accounted",
					{
						op: "PrivacyEngine.stepOn",
						hint: "plan with a datasetSize that is no less than the number of records, or sample without a cap",
					},
				);
			}
			return subset(poissonBatch({ datasetSize: count, sampleRate }, source), sampling.maxBatchSize, source);
		}
		const length = stepsPerEpoch(this.#mechanism);
		const epoch = sampling.kind === "balls-in-bins" ? 0 : Math.floor((step - 1) / length);
		const steps = this.#stepsIn(epoch, identities, length);
		const own = (step - 1) % length;
		return Int32Array.from(steps.keys()).filter((i) => steps[i] === own);
	}

	#stepsIn(epoch: number, identities: readonly string[], length: number): Int32Array {
		const last = this.#assigned;
		if (last?.epoch === epoch && last.identities === identities) return last.steps;
		const steps = this.#allocation?.stepsOf(identities, epoch, length) ?? new Int32Array();
		this.#assigned = { epoch, identities, steps };
		return steps;
	}
}

/** A uniformly random subset of so many, ascending; all of them where there are no more. */
function subset(records: Int32Array, most: number, source: NoiseSource): Int32Array {
	for (let kept = 0; records.length > most && kept < most; kept++) {
		const other = kept + Math.floor(source.uniform53() * (records.length - kept));
		[records[kept], records[other]] = [records[other], records[kept]];
	}
	return records.slice(0, most).sort();
}
