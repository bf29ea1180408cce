import { cat, type Device, data, key, vmap } from "@hushgrad/tensor";
import { blaming, expects, unblamed } from "@hushgrad/tensor/author";
import { checkInteger } from "./check.ts";
import { Batcher, type DeviceRecord, type Encode, type HostFor, type HostRecord } from "./records.ts";
import { splitVirtual } from "./sampling.ts";
import { checkLoss, type Loss } from "./trainer.ts";

/** What `recordLosses` runs on. */
export interface EvaluationOptions {
	/** The device that the model is on. */
	readonly device: Device;
	/** Number of records: encode(0) … encode(count − 1) are evaluated, each once. */
	readonly count: number;
	/** Rows of one physical batch: a matter of memory and speed. 8 when left out. */
	readonly physicalBatchSize?: number | undefined;
}

/**
 * The loss of every record, in order, f32 `[count]`, without gradient and without dropout key. For held-out records: evaluating
 * on private training records is covered by no privacy statement. The loss may read any tensor; encode() runs as in the engine.
 * @throws PrivacyError where records differ in form or the loss is no f32 scalar; ValueError where encode() gives no record.
 */
export function recordLosses<R extends HostRecord>(
	options: EvaluationOptions,
	encode: Encode<R>,
	loss: Loss<DeviceRecord<R>>,
): Promise<Float32Array>;
/** The same for a loss whose record is of a type of its own, such as `TrainingRecord` of `@hushgrad/models`. */
export function recordLosses<D>(options: EvaluationOptions, encode: Encode<HostFor<D>>, loss: Loss<D>): Promise<Float32Array>;
export function recordLosses<D>(options: EvaluationOptions, encode: Encode<HostRecord>, loss: Loss<D>): Promise<Float32Array> {
	return blaming("recordLosses", () => lossesOf(options, encode, loss));
}

async function lossesOf<D>(options: EvaluationOptions, encode: Encode<HostRecord>, loss: Loss<D>): Promise<Float32Array> {
	expects("recordLosses", { options, encode, loss }, { options: "options", encode: "function", loss: "function" });
	const { device, count, physicalBatchSize = 8 } = options;
	expects("recordLosses", { device, count }, { device: "device", count: "count" });
	checkInteger("physicalBatchSize", physicalBatchSize);
	if (count === 0) return new Float32Array();
	const batcher = new Batcher(device);
	const batches = splitVirtual(
		Int32Array.from({ length: count }, (_, i) => i),
		physicalBatchSize,
	);
	const losses = device.scope(() =>
		cat(
			batches.map(({ indices }) =>
				device.scope(() =>
					vmap((record: D) => checkLoss(unblamed(() => loss(record))))(batcher.upload(indices, encode, key(0)).record as D),
				),
			),
		),
	);
	const values = await data(losses);
	losses.dispose();
	return Float32Array.from(values).subarray(0, count);
}
