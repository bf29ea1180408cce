import { type DropoutKey, PrivacyError, Tensor } from "@hushgrad/tensor";
import { tapeOf } from "@hushgrad/tensor/author";
import type { DeviceRecord, Encode, HostFor, HostRecord } from "./records.ts";

/**
 * The loss of one record, f32 `[]`: what the records of a batch have in common is the program, nothing else. Without a dropout
 * key nothing is dropped. It computes and returns; an async one is refused.
 */
export type Loss<D> = (record: D, dropout?: DropoutKey) => Tensor;

/** What any step of training tells. */
export interface TrainingReport {
	/** Number of this step, from 1. */
	readonly step: number;
}

/**
 * Training by two functions: one gives a record on the host, the other the loss of one record on the device. `PrivacyEngine` and
 * `PlainTrainer` are such.
 */
export interface Trainer<Report extends TrainingReport = TrainingReport> {
	/** Takes one step. */
	step<R extends HostRecord>(encode: Encode<R>, loss: Loss<DeviceRecord<R>>): Promise<Report>;
	/** The same for a loss whose record is of a type of its own. */
	step<D>(encode: Encode<HostFor<D>>, loss: Loss<D>): Promise<Report>;
	/** Takes one step on records that are handed over: `encode` gives what the loss reads of one of them. */
	stepOn<T, R extends HostRecord>(records: readonly T[], encode: (record: T) => R, loss: Loss<DeviceRecord<R>>): Promise<Report>;
	/** The same for a loss whose record is of a type of its own. */
	stepOn<T, D>(records: readonly T[], encode: (record: T) => HostFor<D>, loss: Loss<D>): Promise<Report>;
}

function fail(what: string, hint: string): never {
	throw new PrivacyError("privacy/loss", `the loss of a record is ${what}`, { hint });
}

/** @throws PrivacyError unless a loss function gave one number for its record. */
export function checkLoss(value: Tensor): Tensor {
	if (typeof (value as { then?: unknown } | undefined)?.then === "function") {
		Promise.resolve(value).catch(() => {}); // refused: nobody needs to hear how it ends
		fail("a promise", "a loss computes and returns; encode() is where records are prepared");
	}
	if (!(value instanceof Tensor))
		fail(value === undefined || value === null ? String(value) : `of type ${typeof value}`, "return the loss");
	if (value.rank !== 0 || value.dtype !== "f32") fail(String(value), "reduce it to one f32 number a record, with sum() or mean()");
	return value;
}

/** @throws PrivacyError unless it was computed from trained parameters, too. */
export function checkTrainedLoss(value: Tensor): Tensor {
	if (tapeOf(checkLoss(value)) === undefined) {
		fail("a constant", "it depends on no parameter that the optimiser trains: does the model hold other ones?");
	}
	return value;
}
