import { DropoutKey, type Key, Tensor, vmap } from "@hushgrad/tensor";
import { privateProgram, streamedValueAndGrad, tensorsIn, unblamed } from "@hushgrad/tensor/author";
import type { RecordGradient } from "./clip/blocks.ts";
import { GradientColumns } from "./clip/gradientColumns.ts";
import type { PublicState, TrainableVector } from "./optimizer.ts";
import { Batcher, type Encode, type HostRecord } from "./records.ts";
import { splitVirtual } from "./sampling.ts";
import { checkGradientMode, choiceOf, type GradientMode } from "./streaming.ts";
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
	/** One a parameter: `[rows, …]`, or its columns on demand. */
	readonly grads: readonly RecordGradient[];
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
	readonly #mode: GradientMode;

	constructor(vector: TrainableVector, model: PublicState | undefined, mode: GradientMode) {
		checkGradientMode(mode);
		this.#vector = vector;
		this.#model = model;
		this.#batcher = new Batcher(vector.tensor.device);
		this.#mode = mode;
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

	/** Losses [rows] and gradients, one a parameter. */
	#gradients<D>(record: D, keys: Tensor, loss: Loss<D>): { losses: Tensor; grads: readonly RecordGradient[] } {
		const vector = this.#vector;
		const open = [...tensorsIn(record), keys, vector.tensor, ...(this.#model?.stateTensors() ?? [])];
		const choose = choiceOf(this.#mode, keys.device);
		const lossOf = (own: D, words: Tensor) => () => checkTrainedLoss(unblamed(() => loss(own, new DropoutKey(words))));
		const { value, grads } = privateProgram(keys.device, open, () =>
			vmap((own: D, words: Tensor) => streamedValueAndGrad(lossOf(own, words), vector.parameters, choose))(record, keys),
		);
		return { losses: value, grads: grads.map((g) => (g instanceof Tensor ? g : new GradientColumns(keys.device, g))) };
	}
}
