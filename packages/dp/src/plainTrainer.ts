import {
	add,
	checkFinite,
	DropoutKey,
	data,
	foldIn,
	type Key,
	key as keyOf,
	mul,
	NumericError,
	permutation,
	sum,
	type Tensor,
	ValueError,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { blaming, expects, unblamed } from "@hushgrad/tensor/author";
import { checkInteger } from "./check.ts";
import { checkOptimizer, type Optimizer } from "./optimizer.ts";
import { Batcher, type DeviceRecord, type Encode, type HostFor, type HostRecord } from "./records.ts";
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
	#steps = 0;

	/**
	 * @throws ValueError for a batchSize that is not 1 … datasetSize, a physicalBatchSize below 1, and parameters without values.
	 */
	constructor(options: PlainTrainerOptions) {
		expects("PlainTrainer", { options }, { options: "options" });
		const { datasetSize, batchSize, physicalBatchSize = 8, optimizer, stepsTaken = 0 } = options;
		checkOptimizer("PlainTrainer", optimizer);
		blaming("PlainTrainer", () => {
			checkInteger("physicalBatchSize", physicalBatchSize);
			checkInteger("datasetSize", datasetSize);
			checkInteger("stepsTaken", stepsTaken, { min: 0 });
		});
		if (!(Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= datasetSize)) {
			throw new ValueError("trainer/batch", `PlainTrainer: batchSize is ${batchSize}, expected 1 to ${datasetSize}`);
		}
		this.#options = options;
		this.#steps = stepsTaken;
		this.#batcher = new Batcher(optimizer.vector.tensor.device);
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
		return blaming("PlainTrainer.step", () => this.#step(this.#options.datasetSize, encode, loss));
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
		return blaming("PlainTrainer.stepOn", () => this.#step(records.length, (i) => encode(records[i]), loss));
	}

	async #step<D>(count: number, encode: Encode<HostRecord>, loss: Loss<D>): Promise<PlainReport> {
		const { optimizer, batchSize, physicalBatchSize = 8, key = keyOf(0) } = this.#options;
		const { vector } = optimizer;
		const { device } = vector.tensor;
		const step = ++this.#steps;
		const stepKey = foldIn(key, step);
		const records = permutation(count, foldIn(stepKey, 0)).slice(0, batchSize);
		const { total, gradient } = device.scope(() => {
			const parts = splitVirtual(records, physicalBatchSize).map(({ indices }) =>
				device.scope(() => {
					const { record, keys } = this.#batcher.upload(
						indices.filter((i) => i >= 0),
						encode,
						stepKey,
					);
					const each = vmap((own: D, words: Tensor) => checkTrainedLoss(unblamed(() => loss(own, new DropoutKey(words)))));
					const meanLoss = (): Tensor => mul(sum(each(record as D, keys)), 1 / records.length);
					const { value, grads } = valueAndGrad(meanLoss, vector.parameters);
					return { value, gradient: vector.join(grads) };
				}),
			);
			const gradient = parts.map((p) => p.gradient).reduce(add);
			checkFinite(gradient, "the gradient");
			return { total: parts.map((p) => p.value).reduce(add), gradient };
		});
		try {
			const fault = await device.flush().catch((error) => error);
			const [value] = fault === undefined || fault instanceof NumericError ? await data(total) : [0];
			if (!Number.isFinite(value)) {
				throw new NumericError("trainer/not-finite", `PlainTrainer: the loss of step ${step} is ${value}, so the run stops`, {
					op: "PlainTrainer.step",
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
}
