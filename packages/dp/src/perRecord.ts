import { DropoutKey, type Key, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { privateProgram, tensorsIn, unblamed } from "@hushgrad/tensor/author";
import type { PublicState, TrainableVector } from "./optimizer.ts";
import { Batcher, type Encode, type HostRecord } from "./records.ts";
import { splitVirtual } from "./sampling.ts";
import { checkTrainedLoss, type Loss } from "./trainer.ts";

/** What one logical batch is run with. */
export interface Program<D> {
	/** Rows of a physical batch. */
	readonly rows: number;
	/** Key of the step. */
	readonly key: Key;
	readonly encode: Encode<HostRecord>;
	readonly loss: Loss<D>;
}

/** Gradients of the records of a physical batch. */
export interface Gradients {
	/** One a parameter, `[rows, …]`. */
	readonly grads: readonly Tensor[];
	/** 1 for a record, 0 for padding: f32 `[rows]`. */
	readonly weights: Tensor;
}

/** A physical batch that was run. */
export interface Part extends Gradients {
	/** Its number in the logical batch. */
	readonly part: number;
	/** The record of each row, −1 for padding. */
	readonly indices: Int32Array;
	/** f32 `[rows]`. */
	readonly losses: Tensor;
	/** Whether encode() gave one and the same record for several. */
	readonly isOneRecord: boolean;
	/** Encodes and runs other records in the same way. */
	readonly again: (others: Int32Array) => Gradients;
}

/** Runs the program of one record on batches of them, each in a closed world. */
export class PerRecord {
	readonly #vector: TrainableVector;
	readonly #model: PublicState | undefined;
	readonly #batcher: Batcher;

	constructor(vector: TrainableVector, model: PublicState | undefined) {
		this.#vector = vector;
		this.#model = model;
		this.#batcher = new Batcher(vector.tensor.device);
	}

	/** Calls `use` with each physical batch of the records, whose tensors are released when it returns. */
	run<D>(records: Int32Array, { rows, key, encode, loss }: Program<D>, use: (part: Part) => void): void {
		const runOnce = (indices: Int32Array) => {
			const { record, keys, weights, isOneRecord } = this.#batcher.upload(indices, encode, key);
			return { ...this.#gradients(record as D, keys, loss), weights, isOneRecord };
		};
		for (const [part, { indices }] of splitVirtual(records, rows).entries()) {
			this.#vector.tensor.device.scope<void>(() => use({ part, indices, ...runOnce(indices), again: runOnce }));
		}
	}

	/** Losses [rows] and gradients [rows, ...], one a parameter. */
	#gradients<D>(record: D, keys: Tensor, loss: Loss<D>): { losses: Tensor; grads: readonly Tensor[] } {
		const vector = this.#vector;
		const open = [...tensorsIn(record), keys, vector.tensor, ...(this.#model?.stateTensors() ?? [])];
		return privateProgram(keys.device, open, () =>
			vmap((own: D, words: Tensor) => {
				const { value, grads } = valueAndGrad(() => checkTrainedLoss(unblamed(() => loss(own, new DropoutKey(words)))), vector.parameters);
				return { losses: value, grads };
			})(record, keys),
		);
	}
}
