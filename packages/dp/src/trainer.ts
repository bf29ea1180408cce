import type { DropoutKey, Tensor } from "@hushgrad/tensor";
import type { DeviceRecord, Encode, HostFor, HostRecord } from "./records.ts";

/**
 * The loss of one record, a scalar: what the records of a batch have in common is the program, nothing else. Without a
 * dropout key nothing is dropped.
 */
export type Loss<D> = (record: D, dropout?: DropoutKey) => Tensor;

/** What a step of training tells. */
export interface TrainingReport {
	readonly step: number;
	/** Mean loss of the records in the batch, before the step. */
	readonly loss: number;
}

/** Training by two functions: one gives a record on the host, the other the loss of one record on the device. */
export interface Trainer {
	step<R extends HostRecord>(encode: Encode<R>, loss: Loss<DeviceRecord<R>>): Promise<TrainingReport>;
	step<D>(encode: Encode<HostFor<D>>, loss: Loss<D>): Promise<TrainingReport>;
}
