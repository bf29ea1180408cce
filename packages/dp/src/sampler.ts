import { PrivacyError } from "@hushgrad/tensor";
import { binnedHistory } from "./accountant/bins.ts";
import { type AccountedHistory, appendEvent } from "./accountant/events.ts";
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
			/** Every record enters one step of each epoch of round(N/L) steps, any of them alike, on its own: no record is left out, none comes twice. */
			readonly kind: "random-allocation";
	  }
	| {
			/**
			 * Every record is in one of round(N/L) bins, any of them alike, on its own, for the whole run; steps take the bins in turn. The noise of
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
 * Which step of an epoch each record is in, or of every cycle. Not public: whoever has it knows the steps without the amplification by sampling. It belongs
 * where the records themselves may lie.
 */
export interface Allocation {
	/** The epoch, from 0; 0 of bins, which are those of the whole run. */
	readonly epoch: number;
	/** The step of the epoch that record 0, 1, … is in, from 0. */
	readonly steps: readonly number[];
}

/** Whether it is what random allocation can have drawn in an epoch of so many steps. */
export const isAllocation = ({ epoch, steps }: Partial<Allocation>, length: number): boolean =>
	Number.isSafeInteger(epoch) &&
	(epoch as number) >= 0 &&
	Array.isArray(steps) &&
	steps.every((s) => Number.isInteger(s) && s >= 0 && s < length);

/** Streams of sources with a seed that assign epochs; those below are of the steps. */
const EPOCHS = 2 ** 31;

/** Chooses the records of each step. */
export class Sampler {
	readonly #mechanism: SampledMechanism;
	/** The step that each record is in, of the epoch that runs; which records they are is not known yet of one that was drawn ahead. */
	#assigned: { readonly epoch: number; readonly records: number | readonly unknown[] | undefined; readonly steps: Int32Array } | undefined;

	/** `allocation` is that of an epoch which goes on. */
	constructor(mechanism: SampledMechanism, allocation?: Allocation) {
		this.#mechanism = mechanism;
		if (allocation === undefined) return;
		const { epoch, steps } = allocation;
		this.#assigned = { epoch, records: undefined, steps: Int32Array.from(steps) };
	}

	/** The allocation of the epoch that a step is in, or of all, of so many records: drawn now where it was not. Undefined of other sampling. */
	allocationFor(step: number, count: number, source: NoiseSource): Allocation | undefined {
		if (!isAllocated(this.#mechanism.sampling)) return undefined;
		const epoch = this.#epochOf(step);
		if (this.#assigned?.epoch !== epoch) this.#assigned = { epoch, records: undefined, steps: this.#allocate(epoch, count, source) };
		return { epoch, steps: [...this.#assigned.steps] };
	}

	#epochOf(step: number): number {
		if (this.#mechanism.sampling.kind === "balls-in-bins") return 0;
		return Math.floor((step - 1) / stepsPerEpoch(this.#mechanism));
	}

	#allocate(epoch: number, count: number, source: NoiseSource): Int32Array {
		const own = source.forStep(EPOCHS + epoch);
		const length = stepsPerEpoch(this.#mechanism);
		return Int32Array.from({ length: count }, () => Math.floor(own.uniform53() * length));
	}

	/**
	 * The records of step 1, 2, …, ascending, of as many as there are, or of those in a list. `ofStep` is the source of the step; from
	 * `source` random allocation has one for each epoch.
	 * @throws PrivacyError when the records change within an epoch of random allocation, or a run of bins, and for more of them than N with a cap.
	 */
	batch(step: number, records: number | readonly unknown[], ofStep: NoiseSource, source: NoiseSource): Int32Array {
		const { sampling, sampleRate } = this.#mechanism;
		const count = typeof records === "number" ? records : records.length;
		if (count === 0) return new Int32Array();
		if (sampling.kind === "poisson") return poissonBatch({ datasetSize: count, sampleRate }, ofStep);
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
			return subset(poissonBatch({ datasetSize: count, sampleRate }, ofStep), sampling.maxBatchSize, ofStep);
		}
		const epoch = this.#epochOf(step);
		const steps = this.#assignedIn(epoch, records, count, source);
		const own = (step - 1) % stepsPerEpoch(this.#mechanism);
		return Int32Array.from({ length: count }, (_, i) => i).filter((i) => steps[i] === own);
	}

	#assignedIn(epoch: number, records: number | readonly unknown[], count: number, source: NoiseSource): Int32Array {
		if (this.#assigned?.epoch !== epoch) this.#assigned = { epoch, records, steps: this.#allocate(epoch, count, source) };
		const { steps, records: before } = this.#assigned;
		if (before === undefined && steps.length === count) this.#assigned = { epoch, records, steps };
		const isSame =
			before === undefined
				? steps.length === count
				: typeof records === "number" || typeof before === "number"
					? records === before
					: records.length === before.length && records.every((r, i) => r === before[i]);
		if (isSame) return steps;
		throw new PrivacyError("privacy/records-changed", "the records are not those of the step before, nor in their order", {
			op: "PrivacyEngine.step",
			hint:
				this.#mechanism.sampling.kind === "balls-in-bins"
					? "each record stays in its bin: hand over the same records in all steps of the run"
					: "random allocation gives each record one step of an epoch: hand over the same records in all of them",
		});
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
