import { DropoutKey, type Key, Tensor, vmap } from "@hushgrad/tensor";
import { privateProgram, type StreamedGradient, streamedValueAndGrad, unblamed } from "@hushgrad/tensor/author";
import type { RecordGradient } from "./clip/blocks.ts";
import { GradientColumns } from "./clip/gradientColumns.ts";
import type { PublicState, TrainableVector } from "./optimizer.ts";
import { Batcher, type Encode, type HostRecord, tensorsOf } from "./records.ts";
import { type BatchProgram, checkReplayMode, type ReplayMode, Replays } from "./replays.ts";
import { splitVirtual } from "./sampling.ts";
import { checkGradientMode, choiceOf, type GradientMode } from "./streaming.ts";
import { checkTrainedLoss, type Loss } from "./trainer.ts";

/** What one logical batch is run with. */
export interface Program<D> {
	/** What tells it from others: its text. */
	readonly name: string;
	/** Number of the step. */
	readonly step: number;
	/** Records are checked to stay apart in this step. */
	readonly isDue: boolean;
	/** Rows of a physical batch. */
	readonly rows: number;
	/** Key of the step. */
	readonly key: Key;
	readonly encode: Encode<HostRecord>;
	/** What the records were, where they have to be the same. */
	readonly identities: readonly string[] | undefined;
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

/** How records are run. */
export interface PerRecordOptions {
	/** Whose tensors are public. */
	readonly model: PublicState | undefined;
	/** Whether gradients are held. */
	readonly gradients: GradientMode;
	/** Whether kernels are replayed. */
	readonly replay: ReplayMode;
}

/** Runs the program of one record on batches of them, each in a closed world. */
export class PerRecord {
	readonly #vector: TrainableVector;
	readonly #model: PublicState | undefined;
	readonly #batcher: Batcher;
	readonly #mode: GradientMode;

	readonly #replays: Replays<RecordGradients>;

	constructor(vector: TrainableVector, { model, gradients, replay }: PerRecordOptions) {
		checkGradientMode(gradients);
		checkReplayMode("PrivacyEngine", replay);
		const { device } = vector.tensor;
		this.#vector = vector;
		this.#model = model;
		this.#batcher = new Batcher(device);
		this.#mode = gradients;
		this.#replays = new Replays(device, replay);
	}

	/** What each of so many records holds, as `Batcher.identities` says it. */
	identities(count: number, encode: Encode<HostRecord>): readonly string[] {
		return this.#batcher.identities(count, encode);
	}

	/** Calls `use` with each physical batch of the records, whose tensors are valid until it returns. */
	run<D>(records: Int32Array, { rows, key, encode, identities, loss, ...occasion }: Program<D>, use: (part: Part) => void): void {
		const { device } = this.#vector.tensor;
		const program = this.#programOf(loss);
		const stage = (indices: Int32Array) => this.#batcher.stage(indices, encode, key, identities);
		const again = (others: Int32Array): Gradients => {
			const batch = stage(others).upload(device);
			return { grads: columnsOf(program.run(batch, program.open())), weights: batch.weights };
		};
		for (const [part, { indices }] of splitVirtual(records, rows).entries()) {
			device.scope<void>(() => {
				const staged = stage(indices);
				const { isOneRecord } = staged;
				this.#replays.run({ ...occasion, staged }, program, (of) =>
					use({ part, indices, isOneRecord, losses: of.losses, grads: columnsOf(of), weights: of.weights, again }),
				);
			});
		}
	}

	/** Gives up what was captured. */
	release(): void {
		this.#replays.release();
	}

	/** The program of a physical batch: one in a closed world, open to the batch and to what is public. */
	#programOf<D>(loss: Loss<D>): Required<BatchProgram<RecordGradients>> {
		const vector = this.#vector;
		const model = this.#model;
		const mode = this.#mode;
		const lossOf = (own: D, words: Tensor) => () => checkTrainedLoss(unblamed(() => loss(own, new DropoutKey(words))));
		return {
			open: () => [vector.tensor, ...(model?.stateTensors() ?? [])],
			run(batch, open) {
				const { record, keys, weights } = batch;
				const choose = choiceOf(mode, keys.device);
				const { value, grads } = privateProgram(keys.device, [...tensorsOf(batch), ...open], () =>
					vmap((own: D, words: Tensor) => streamedValueAndGrad(lossOf(own, words), vector.parameters, choose))(record as D, keys),
				);
				return { losses: value, grads, weights };
			},
		};
	}
}

/** What a physical batch gives: losses f32 `[rows]`, gradients of each record, one a parameter, and the weights of the batch. */
interface RecordGradients {
	readonly losses: Tensor;
	readonly grads: readonly (Tensor | StreamedGradient)[];
	readonly weights: Tensor;
}

const columnsOf = ({ grads, losses: { device } }: RecordGradients): readonly RecordGradient[] =>
	grads.map((g) => (g instanceof Tensor ? g : new GradientColumns(device, g)));
