import {
	add,
	cat,
	checkFinite,
	DropoutKey,
	data,
	detach,
	foldIn,
	type Key,
	key as keyOf,
	mul,
	NumericError,
	permutation,
	reshape,
	sum,
	type Tensor,
	ValueError,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { blaming, expects, unblamed } from "@hushgrad/tensor/author";
import { checkInteger } from "./check.ts";
import { checkOptimizer, type Optimizer } from "./optimizer.ts";
import { Batcher, type DeviceRecord, type Encode, type HostFor, type HostRecord, type StagedBatch } from "./records.ts";
import { type BatchProgram, checkReplayMode, type ReplayMode, Replays } from "./replays.ts";
import { splitVirtual } from "./sampling.ts";
import { checkTrainedLoss, type Loss, type Trainer, type TrainingReport } from "./trainer.ts";

/** An optimiser as plain training sees it: it joins the gradients of its parameters itself. Those of `@hushgrad/nn` are such. */
export interface PlainOptimizer extends Omit<Optimizer, "step"> {
	/** What it trains. */
	readonly vector: Optimizer["vector"] & {
		/** One gradient a parameter, in order, as one vector `[P]`. */
		join(grads: readonly Tensor[]): Tensor;
	};
	/** Applies the mean gradient, f32 `[P]`, to the vector, in place. */
	step(gradient: Tensor): void;
}

/** What a step without privacy tells. */
export interface PlainReport extends TrainingReport {
	/** Mean loss of the records in the batch, before the step. */
	readonly loss: number;
}

/** What a `PlainTrainer` needs. */
export interface PlainTrainerOptions {
	/** What trains: its parameters are the trained ones. */
	readonly optimizer: PlainOptimizer;
	/** Number of records: encode(0) … encode(datasetSize − 1). */
	readonly datasetSize: number;
	/** Records of each step, exactly: 1 … datasetSize. */
	readonly batchSize: number;
	/** Rows of one physical batch: a matter of memory and speed. 8 when left out. */
	readonly physicalBatchSize?: number | undefined;
	/** Whether physical batches are replayed: a matter of speed. "checked" when left out. */
	readonly replay?: ReplayMode | undefined;
	/** Key of the choice of records and of the dropout masks; `key(0)` when left out. */
	readonly key?: Key | undefined;
	/** Of a run that goes on: steps that were taken before, 0 when left out. The next step is what it would have been then. */
	readonly stepsTaken?: number | undefined;
}

/**
 * Training without privacy, step for step like the engine's and with the same two functions: what privacy is compared with. No
 * clipping and no noise; the loss may read any tensor, and nothing is checked for mixing records.
 */
export class PlainTrainer implements Trainer<PlainReport> {
	readonly #options: PlainTrainerOptions;
	readonly #batcher: Batcher;
	readonly #replays: Replays<Part>;
	#steps = 0;
	/** Steps that have not ended. */
	#running = 0;

	/**
	 * @throws ValueError for a batchSize that is not 1 … datasetSize, a physicalBatchSize below 1, and parameters without values.
	 */
	constructor(options: PlainTrainerOptions) {
		expects("PlainTrainer", { options }, { options: "options" });
		const { datasetSize, batchSize, physicalBatchSize = 8, optimizer, replay = "checked", stepsTaken = 0 } = options;
		checkOptimizer("PlainTrainer", optimizer);
		blaming("PlainTrainer", () => {
			checkInteger("physicalBatchSize", physicalBatchSize);
			checkInteger("datasetSize", datasetSize);
			checkInteger("stepsTaken", stepsTaken, { min: 0 });
			checkReplayMode("PlainTrainer", replay);
		});
		if (!(Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= datasetSize)) {
			throw new ValueError("trainer/batch", `PlainTrainer: batchSize is ${batchSize}, expected 1 to ${datasetSize}`);
		}
		this.#options = options;
		this.#steps = stepsTaken;
		const { device } = optimizer.vector.tensor;
		this.#batcher = new Batcher(device);
		this.#replays = new Replays(device, replay);
	}

	/**
	 * One step on the mean loss of a batch, its gradient accumulated over physical batches. Each step draws its batch anew, without
	 * replacement within the step; there are no epochs.
	 * @throws PrivacyError where records differ in form or the loss is no f32 scalar of trained parameters; ValueError where
	 * encode() gives no record; NumericError, before anything has moved, when the loss or a gradient is not finite, and after it, when
	 * a parameter is not.
	 */
	step<R extends HostRecord>(encode: Encode<R>, loss: Loss<DeviceRecord<R>>): Promise<PlainReport>;
	/** The same for a loss whose record is of a type of its own, such as `TrainingRecord` of `@hushgrad/models`. */
	step<D>(encode: Encode<HostFor<D>>, loss: Loss<D>): Promise<PlainReport>;
	async step<D>(encode: Encode<HostRecord>, loss: Loss<D>): Promise<PlainReport> {
		expects("PlainTrainer.step", { encode, loss }, { encode: "function", loss: "function" });
		return blaming("PlainTrainer.step", () => this.#alone(this.#options.datasetSize, encode, loss));
	}

	/** The same with the records handed over, as many as `datasetSize` says or not; at least `batchSize`. */
	stepOn<T, R extends HostRecord>(records: readonly T[], encode: (record: T) => R, loss: Loss<DeviceRecord<R>>): Promise<PlainReport>;
	/** The same for a loss whose record is of a type of its own. */
	stepOn<T, D>(records: readonly T[], encode: (record: T) => HostFor<D>, loss: Loss<D>): Promise<PlainReport>;
	async stepOn<T, D>(records: readonly T[], encode: (record: T) => HostRecord, loss: Loss<D>): Promise<PlainReport> {
		expects("PlainTrainer.stepOn", { records, encode, loss }, { records: "list", encode: "function", loss: "function" });
		const { batchSize } = this.#options;
		if (records.length < batchSize) {
			throw new ValueError("trainer/batch", `PlainTrainer.stepOn: ${records.length} records for a batchSize of ${batchSize}`);
		}
		return blaming("PlainTrainer.stepOn", () => this.#alone(records.length, (i) => encode(records[i]), loss));
	}

	async #alone<D>(count: number, encode: Encode<HostRecord>, loss: Loss<D>): Promise<PlainReport> {
		this.#running++;
		try {
			return await this.#step(count, encode, loss);
		} catch (error) {
			this.#replays.release();
			throw error;
		} finally {
			this.#running--;
		}
	}

	async #step<D>(count: number, encode: Encode<HostRecord>, loss: Loss<D>): Promise<PlainReport> {
		const { optimizer, batchSize, key = keyOf(0) } = this.#options;
		const { vector } = optimizer;
		const { device } = vector.tensor;
		const step = ++this.#steps;
		const stepKey = foldIn(key, step);
		const records = permutation(count, foldIn(stepKey, 0)).slice(0, batchSize);
		const { value: total, gradient } = device.scope(() => {
			const sum = this.#sumOf(records, this.#programOf(records.length, loss), {
				step,
				name: Function.prototype.toString.call(loss),
				stage: (indices) => this.#batcher.stage(indices, encode, stepKey),
			});
			checkFinite(sum.gradient, "the gradient");
			return sum;
		});
		try {
			const fault = await device.flush().catch((error) => error);
			const [value] = fault === undefined || fault instanceof NumericError ? await data(total) : [0];
			if (!Number.isFinite(value)) {
				throw new NumericError("trainer/not-finite", `the loss of step ${step} is ${value}, so the run stops`, {
					hint: "the parameters are as before the step; lower the rate, or see whether the tokenizer belongs to the model",
				});
			}
			if (fault !== undefined) throw fault;
			device.scope(() => {
				optimizer.step(gradient);
				checkFinite(vector.tensor, "the parameters");
			});
			await device.flush();
			return { step, loss: value };
		} finally {
			total.dispose();
			gradient.dispose();
		}
	}

	/** The program of a physical batch: its share of the mean loss over so many records, and the gradient of that. */
	#programOf<D>(count: number, loss: Loss<D>): BatchProgram<Part> {
		const { vector } = this.#options.optimizer;
		const each = vmap((own: D, words: Tensor) => checkTrainedLoss(unblamed(() => loss(own, new DropoutKey(words)))));
		return {
			run({ record, keys }) {
				const { value, grads } = valueAndGrad(() => mul(sum(each(record as D, keys)), 1 / count), vector.parameters);
				return { value, gradient: vector.join(grads) };
			},
		};
	}

	/** What a program gives for all records, in physical batches. */
	#sumOf(records: Int32Array, program: BatchProgram<Part>, { step, name, stage }: Staging): Part {
		const { optimizer, physicalBatchSize = 8 } = this.#options;
		const { device } = optimizer.vector.tensor;
		const batches = splitVirtual(records, physicalBatchSize);
		const occasion = { step, name, isDue: false, mayReplay: this.#running === 1 };
		let total: Part | undefined;
		for (const { indices } of batches) {
			const before = total;
			total = device.scope<Part>(() =>
				this.#replays.run({ ...occasion, staged: stage(indices.filter((i) => i >= 0)) }, program, ({ value, gradient }) => {
					if (before !== undefined) return { value: add(before.value, value), gradient: add(before.gradient, gradient) };
					// The next batch may be computed in the same memory.
					return batches.length === 1
						? { value: detach(value), gradient: detach(gradient) }
						: { value: reshape(cat([reshape(value, [1])]), []), gradient: cat([gradient]) };
				}),
			);
			before?.value.dispose();
			before?.gradient.dispose();
		}
		return total as Part;
	}
}

/** A part of a step: of the mean loss, and of its gradient `[P]`. */
interface Part {
	readonly value: Tensor;
	readonly gradient: Tensor;
}

/** How the batches of a step are made. */
interface Staging {
	readonly step: number;
	readonly name: string;
	readonly stage: (indices: Int32Array) => StagedBatch;
}
