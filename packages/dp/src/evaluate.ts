import { cat, type Device, data, key, vmap } from "@hushgrad/tensor";
import { Batcher, type DeviceRecord, type Encode, type HostFor, type HostRecord } from "./records.ts";
import { splitVirtual } from "./sampling.ts";
import { checkLoss, type Loss } from "./trainer.ts";

export interface EvaluationOptions {
	readonly device: Device;
	/** Number of records: 0 … count - 1 are encoded. */
	readonly count: number;
	/** Rows of one physical batch; 8 when left out. */
	readonly physicalBatchSize?: number | undefined;
}

/** The loss of every record, without gradient and without dropout: for held-out records, which no privacy statement covers. */
export async function recordLosses<R extends HostRecord>(
	options: EvaluationOptions,
	encode: Encode<R>,
	loss: Loss<DeviceRecord<R>>,
): Promise<Float32Array>;
export async function recordLosses<D>(options: EvaluationOptions, encode: Encode<HostFor<D>>, loss: Loss<D>): Promise<Float32Array>;
export async function recordLosses<D>(
	{ device, count, physicalBatchSize = 8 }: EvaluationOptions,
	encode: Encode<HostRecord>,
	loss: Loss<D>,
): Promise<Float32Array> {
	if (count === 0) return new Float32Array();
	const batcher = new Batcher(device);
	const batches = splitVirtual(
		Int32Array.from({ length: count }, (_, i) => i),
		physicalBatchSize,
	);
	const losses = device.scope(() =>
		cat(
			batches.map(({ indices }) =>
				device.scope(() => vmap((record: D) => checkLoss(loss(record)))(batcher.upload(indices, encode, key(0)).record as D)),
			),
		),
	);
	const values = await data(losses);
	losses.dispose();
	return Float32Array.from(values).subarray(0, count);
}
