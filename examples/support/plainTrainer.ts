import type { PhysicalBatch } from "@hushgrad/dp";
import type { AdamW, Parameter } from "@hushgrad/nn";
import {
	add,
	checkFinite,
	type Device,
	data,
	foldIn,
	type Key,
	mulScalar,
	permutation,
	sum,
	type Tensor,
	valueAndGrad,
} from "@hushgrad/tensor";

export interface PlainTrainerOptions {
	readonly device: Device;
	readonly parameters: readonly Parameter[];
	readonly optimizer: AdamW;
	readonly datasetSize: number;
	readonly batchSize: number;
	readonly physicalBatchSize: number;
	readonly key: Key;
}

/** Training without privacy, step for step like the engine's: the comparison of `--no-dp`. */
export class PlainTrainer {
	readonly #options: PlainTrainerOptions;
	#steps = 0;

	constructor(options: PlainTrainerOptions) {
		this.#options = options;
	}

	/** One step on the mean loss of a shuffled batch, its gradient accumulated over physical batches. */
	async step(lossOf: (batch: PhysicalBatch) => Tensor): Promise<{ readonly loss: number }> {
		const { device, parameters, optimizer, datasetSize, batchSize, physicalBatchSize, key } = this.#options;
		const records = permutation(datasetSize, foldIn(key, this.#steps++)).slice(0, batchSize);
		const loss = device.scope<Tensor>(() => {
			let total: Tensor | undefined;
			let grads: readonly Tensor[] | undefined;
			for (let at = 0; at < records.length; at += physicalBatchSize) {
				const batch = physicalBatch(records.subarray(at, at + physicalBatchSize), physicalBatchSize);
				const part = valueAndGrad(() => mulScalar(sum(lossOf(batch)), 1 / records.length), parameters);
				total = total === undefined ? part.value : add(total, part.value);
				grads = grads === undefined ? part.grads : grads.map((g, i) => add(g, part.grads[i]));
			}
			optimizer.step(grads as readonly Tensor[]);
			checkFinite(total as Tensor, "the loss");
			return total as Tensor;
		});
		await device.flush();
		const [value] = await data(loss);
		loss.dispose();
		return { loss: value };
	}
}

function physicalBatch(records: Int32Array, rows: number): PhysicalBatch {
	const indices = new Int32Array(rows).fill(-1);
	indices.set(records);
	return { indices, weights: Float32Array.from(indices, (i) => (i < 0 ? 0 : 1)) };
}
