import { blaming, expects } from "@hushgrad/tensor/author";
import { checkInteger, checkNonNegative, checkSampleRate, refuse } from "../check.ts";

/** `steps` equal steps of the Poisson-sampled Gaussian: noise of deviation `noiseMultiplier`·C on a sum clipped to C. */
export interface PrivacyEvent {
	/** Left out, or "poisson". */
	readonly sampling?: "poisson";
	/** Probability q in [0, 1] with which each record enters a step. */
	readonly sampleRate: number;
	/** σ, the deviation of the noise in multiples of the clipping norm C; 0 or more. */
	readonly noiseMultiplier: number;
	/** Number of steps, 0 or more. */
	readonly steps: number;
}

/** What was done to the data so far, in order; neighbouring equal segments are joined. */
export type PrivacyHistory = readonly PrivacyEvent[];

/** Poisson sampling with a cap: of a larger batch a uniformly random subset of `maxBatchSize` records is kept. */
export interface TruncatedPoissonEvent {
	/** Tells it from the other events. */
	readonly sampling: "truncated-poisson";
	/** N, the number of records, public. */
	readonly datasetSize: number;
	/** Probability q in [0, 1] with which each record enters a batch, before the cap. */
	readonly sampleRate: number;
	/** The cap, 1 or more. */
	readonly maxBatchSize: number;
	/** σ, the deviation of the noise in multiples of the clipping norm C; 0 or more. */
	readonly noiseMultiplier: number;
	/** Number of steps, 0 or more. */
	readonly steps: number;
}

/**
 * Random allocation, "balls in bins": in each epoch each record enters exactly one of the epoch's steps, drawn uniformly, on its own,
 * anew each epoch. Batch sizes vary. "k of t steps" is covered as one step in each of k blocks of t/k steps, which is k epochs.
 */
export interface RandomAllocationEvent {
	/** Tells it from the other events. */
	readonly sampling: "random-allocation";
	/** Steps of one epoch, 1 or more. */
	readonly stepsPerEpoch: number;
	/** σ, the deviation of the noise of each step in multiples of the clipping norm C; 0 or more. */
	readonly noiseMultiplier: number;
	/** Number of whole epochs, 0 or more. */
	readonly epochs: number;
}

/** An event that the PLD accountant accounts. */
export type AccountedEvent = PrivacyEvent | TruncatedPoissonEvent | RandomAllocationEvent;

/** What was done to the data so far, by whichever sampling. */
export type AccountedHistory = readonly AccountedEvent[];

/** Whether an event is one of Poisson sampling without a cap. */
export const isPoisson = (event: AccountedEvent): event is PrivacyEvent => event.sampling === undefined || event.sampling === "poisson";

/** @throws ValueError for a rate outside [0, 1], a negative or non-finite noise multiplier, or steps that are no count. */
export function checkEvent(event: AccountedEvent): void {
	if (typeof event !== "object" || event === null) refuse("event", "an event of a privacy history", event);
	checkNonNegative("noiseMultiplier", event.noiseMultiplier);
	if (event.sampling === "random-allocation") {
		checkInteger("stepsPerEpoch", event.stepsPerEpoch);
		checkInteger("epochs", event.epochs, { min: 0 });
		return;
	}
	if (event.sampling === "truncated-poisson") {
		checkInteger("datasetSize", event.datasetSize);
		checkInteger("maxBatchSize", event.maxBatchSize);
	} else if (event.sampling !== undefined && event.sampling !== "poisson") {
		refuse("sampling", '"poisson", "truncated-poisson" or "random-allocation"', event.sampling);
	}
	checkSampleRate(event.sampleRate);
	checkInteger("steps", event.steps, { min: 0 });
}

/**
 * The history with `event` after it, joined to the last segment where all but the number of steps is equal. The history given is not
 * changed.
 * @throws ValueError for a rate outside [0, 1], a negative or non-finite noise multiplier, or steps that are no count.
 */
export function appendEvent(history: PrivacyHistory, event: PrivacyEvent): PrivacyHistory;
export function appendEvent(history: AccountedHistory, event: AccountedEvent): AccountedHistory;
export function appendEvent(history: AccountedHistory, event: AccountedEvent): AccountedHistory {
	expects("appendEvent", { history, event }, { history: "list", event: "options" });
	const last = history.at(-1);
	blaming("appendEvent", () => {
		checkEvent(event);
		if (last !== undefined) checkEvent(last);
	});
	const copy = copyOf(event);
	if (last === undefined || kindOf(last) !== kindOf(copy)) return [...history, copy];
	const joined =
		copy.sampling === "random-allocation"
			? { ...copy, epochs: copy.epochs + (last as RandomAllocationEvent).epochs }
			: { ...copy, steps: copy.steps + (last as PrivacyEvent).steps };
	return [...history.slice(0, -1), joined];
}

/** The event's own fields alone. */
function copyOf(event: AccountedEvent): AccountedEvent {
	const { noiseMultiplier } = event;
	if (event.sampling === "random-allocation") {
		return { sampling: event.sampling, stepsPerEpoch: event.stepsPerEpoch, noiseMultiplier, epochs: event.epochs };
	}
	const { sampleRate, steps } = event;
	if (event.sampling !== "truncated-poisson") return { sampleRate, noiseMultiplier, steps };
	return {
		sampling: "truncated-poisson",
		datasetSize: event.datasetSize,
		sampleRate,
		maxBatchSize: event.maxBatchSize,
		noiseMultiplier,
		steps,
	};
}

/** What two events share that can be joined. */
const kindOf = (event: AccountedEvent) => JSON.stringify({ ...event, steps: 0, epochs: 0 });
