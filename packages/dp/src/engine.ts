import {
	checkFinite,
	type Device,
	DropoutKey,
	data,
	foldIn,
	type Key,
	key as keyOf,
	NumericError,
	PrivacyError,
	type Slot,
	type Tensor,
	ValueError,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { privateProgram, tensorsIn } from "@hushgrad/tensor/author";
import { RdpAccountant } from "./accountant/rdp.ts";
import { checkInteger } from "./check.ts";
import { BoundedSum, clip } from "./clip.ts";
import { Diagnostics, type StepReport } from "./diagnostics.ts";
import { addNoise, drawNoise, type FixedPointGrid, fixedPointGrid } from "./noise.ts";
import { type PrivacyPlan, planPrivacy } from "./plan.ts";
import { type Batch, Batcher, type DeviceRecord, type Encode, type HostFor, type HostRecord } from "./records.ts";
import { privacyStatement } from "./report.ts";
import { poissonBatch, splitVirtual } from "./sampling.ts";
import { type NoiseSource, secureNoise } from "./secureRandom.ts";
import { checkRecordsApart, type Difference } from "./selfCheck.ts";
import { checkTrainedLoss, type Loss, type Trainer } from "./trainer.ts";

/** The trainable state: one vector in R^P, of which the parameters are views. */
export interface TrainableVector {
	readonly tensor: Tensor;
	readonly length: number;
	readonly parameters: readonly (Slot & { readonly size: number; readonly label: string })[];
	/** The parameter that a coordinate belongs to. */
	nameAt(offset: number): string;
}

/** What the engine needs of an optimiser: the parameters it trains, and a step with the gradient by all of them, [P]. */
export interface Optimizer {
	/** Rate of the next step. */
	readonly lr: number;
	readonly vector: TrainableVector;
	step(gradient: Tensor): void;
}

/** The tensors of a model that its forward pass may read, public by declaration: frozen weights and buffers. */
export interface PublicState {
	stateTensors(): Iterable<Tensor>;
}

export interface PrivacyEngineOptions {
	readonly optimizer: Optimizer;
	/** Declares the frozen weights and buffers of the model public. Without it a loss reads trained parameters only. */
	readonly model?: PublicState | undefined;
	/** Number of records N, declared public. */
	readonly datasetSize: number;
	/** L = q N: the mean number of records in a step, and the divisor of the noisy sum. */
	readonly expectedBatchSize: number;
	/** Rows of one physical batch: a matter of memory and speed, not of privacy. 8 when left out. */
	readonly physicalBatchSize?: number | undefined;
	readonly targetEpsilon: number;
	readonly targetDelta: number;
	readonly steps: number;
	/** Clipping norm C of one record's gradient. */
	readonly maxGradNorm: number;
	/** Source of sampling and noise; the platform's cryptographic generator when left out. */
	readonly noise?: NoiseSource | undefined;
	/** Key of the dropout masks. */
	readonly key?: Key | undefined;
	/** Check in every k-th step that records stay apart, beside the first step in which two records meet. */
	readonly selfCheckEvery?: number | undefined;
}

/**
 * Trains with differential privacy (DP-SGD; Abadi et al. 2016): owns sampling, batches, per-record gradients, clipping,
 * noise, accounting and stepping, so that none of them can disagree with the plan.
 *
 * A loss is a program for one record, run on a batch by `vmap` in a closed world: it reads its record, public tensors and
 * what it makes itself, and nothing else. What no rule can see (arithmetic on the host, a kernel of one's own) the engine
 * looks for: it runs a batch again with one record exchanged for padding, and compares the others bit for bit.
 */
export class PrivacyEngine implements Trainer {
	readonly #plan: PrivacyPlan;
	readonly #options: PrivacyEngineOptions;
	readonly #noise: NoiseSource;
	readonly #grid: FixedPointGrid;
	readonly #accountant = new RdpAccountant();
	readonly #vector: TrainableVector;
	readonly #device: Device;
	readonly #rows: number;
	readonly #batcher: Batcher;
	/** Programs that were found to keep records apart, by their text. */
	readonly #apart = new Set<string>();
	#steps = 0;
	#checked = 0;
	#moved = false;

	static {
		Object.freeze(PrivacyEngine.prototype);
	}

	private constructor(plan: PrivacyPlan, options: PrivacyEngineOptions, rows: number) {
		const { vector } = options.optimizer;
		this.#plan = plan;
		this.#options = options;
		this.#rows = rows;
		this.#noise = options.noise ?? secureNoise();
		this.#vector = vector;
		this.#grid = fixedPointGrid(plan.maxGradNorm, vector.length);
		this.#device = vector.tensor.device;
		this.#batcher = new Batcher(this.#device);
		Object.freeze(this);
	}

	/**
	 * Plans a run that ends within `targetEpsilon` at `targetDelta` and returns the engine that carries it out. It trains
	 * what the optimiser trains.
	 * @throws PrivacyError for delta >= 1/N or a batch too large to sum exactly; ValueError for numbers out of range.
	 */
	static makePrivateWithEpsilon(options: PrivacyEngineOptions): PrivacyEngine {
		const { physicalBatchSize = 8, expectedBatchSize, targetDelta: delta } = options;
		if (!Number.isInteger(physicalBatchSize) || physicalBatchSize < 1) {
			throw new ValueError("dp/physical", `PrivacyEngine: physicalBatchSize is ${physicalBatchSize}, expected 1 or more`);
		}
		if (options.selfCheckEvery !== undefined) checkInteger("selfCheckEvery", options.selfCheckEvery);
		const plan = planPrivacy({ ...options, delta });
		const engine = new PrivacyEngine(plan, { ...options }, physicalBatchSize);
		const largest = Math.min(options.datasetSize, Math.ceil(expectedBatchSize + 8 * Math.sqrt(expectedBatchSize) + 8));
		const room = engine.#grid.maxSamples(plan.noiseMultiplier);
		if (largest > room) {
			throw new PrivacyError("dp/batch-too-large", `a batch of up to ${largest} records does not fit an exact sum of ${room}`, {
				hint: "lower expectedBatchSize",
			});
		}
		return engine;
	}

	/** What was planned; frozen. */
	get plan(): PrivacyPlan {
		return this.#plan;
	}

	/** Epsilon spent so far, at the plan's delta. */
	getEpsilon(): number {
		return this.#steps === 0 ? 0 : this.#accountant.getEpsilon(this.#plan.delta);
	}

	get steps(): number {
		return this.#steps;
	}

	/** What the run guarantees, for whom, and what it does not cover. */
	statement(): string {
		return privacyStatement(this.#plan, {
			stepsTaken: this.#steps,
			epsilonSpent: this.getEpsilon(),
			secure: this.#noise.secure,
		});
	}

	/**
	 * One logical step: draws a batch, encodes its records one at a time, sums their clipped gradients over physical
	 * batches, adds noise once, divides by the public constant L and lets the optimiser apply the result. An empty batch
	 * takes a step of noise only.
	 * @throws PrivacyError past the planned number of steps; where the loss is no scalar of one record, touches what is not
	 * its own, or lets one record move another; when a parameter has not moved after the first step. NumericError naming a
	 * parameter that is no longer finite; DeviceError when the device was lost. A step that throws has been counted: its
	 * noise may have been seen.
	 */
	step<R extends HostRecord>(encode: Encode<R>, loss: Loss<DeviceRecord<R>>): Promise<StepReport>;
	step<D>(encode: Encode<HostFor<D>>, loss: Loss<D>): Promise<StepReport>;
	async step<D>(encode: Encode<HostRecord>, loss: Loss<D>): Promise<StepReport> {
		const plan = this.#plan;
		if (this.#steps >= plan.steps) {
			throw new PrivacyError("privacy/plan-spent", `all ${plan.steps} planned steps were taken (epsilon ${this.getEpsilon().toFixed(4)})`, {
				hint: "plan more steps from the start; a longer run needs more noise in every step",
			});
		}
		const { expectedBatchSize, maxGradNorm, noiseMultiplier } = plan;
		const { grid } = this.#grid;
		const draw = drawNoise(this.#vector.length, { grid, maxGradNorm, noiseMultiplier }, this.#noise);
		const records = poissonBatch(plan, this.#noise);
		this.#accountant.step({ sampleRate: plan.sampleRate, noiseMultiplier, steps: 1 });
		const step = ++this.#steps;
		const { sum, diagnostics } = await this.#sum(records, step, encode, loss);
		await this.#update(addNoise(sum, draw, { grid, expectedBatchSize }));
		return { step, epsilon: this.getEpsilon(), ...diagnostics };
	}

	async #sum<D>(records: Int32Array, step: number, encode: Encode<HostRecord>, loss: Loss<D>) {
		const device = this.#device;
		const sum = new BoundedSum(device, this.#vector.length, this.#grid);
		const diagnostics = new Diagnostics(this.#grid.clipNorm);
		const batcher = this.#batcher;
		const stepKey = foldIn(this.#options.key ?? keyOf(0), step);
		const differences: Difference[] = [];
		const program = `${encode}\n${loss}`;
		try {
			for (const [part, { indices }] of splitVirtual(records, this.#rows).entries()) {
				device.scope(() => {
					const batch = batcher.upload(indices, encode, stepKey);
					const { losses, grads } = this.#gradients(batch, loss);
					const clipped = sum.add(grads, batch.weights);
					diagnostics.add(losses, clipped.norms, indices);
					if (differences.length > 0 || !this.#isCheckDue(step, program, part, indices)) return;
					if (batch.isOneRecord) raiseOneRecord(indices);
					differences.push(
						...checkRecordsApart(indices, clipped, (others) => {
							const again = batcher.upload(others, encode, stepKey);
							return clip(this.#gradients(again, loss).grads, again.weights, this.#grid);
						}),
					);
				});
			}
			const [all, report] = await Promise.all([sum.read(), diagnostics.read()]);
			for (const difference of differences) await this.#raiseDifference(difference);
			if (differences.length > 0) {
				this.#checked = step;
				this.#apart.add(program);
			}
			return { sum: all, diagnostics: report };
		} finally {
			sum.dispose();
			diagnostics.dispose();
			for (const { tensor } of differences) tensor.dispose();
		}
	}

	/**
	 * Whether this batch is to be run again: the first of a program in which two records meet (in one batch, or where a
	 * batch is one record, one after the other), and one in every k-th step.
	 */
	#isCheckDue(step: number, program: string, part: number, indices: Int32Array): boolean {
		const { selfCheckEvery = Number.POSITIVE_INFINITY } = this.#options;
		const meets = indices.length === 1 ? part > 0 : indices.filter((i) => i >= 0).length >= 2;
		return meets && (!this.#apart.has(program) || step - this.#checked >= selfCheckEvery);
	}

	async #raiseDifference({ tensor, record, isAlone }: Difference): Promise<void> {
		const at = ((await data(tensor)) as Uint32Array).indexOf(1);
		if (at < 0) return;
		const name = this.#vector.nameAt(at);
		throw new PrivacyError(
			"privacy/records-mix",
			isAlone
				? `record number ${record} has another gradient by ${name} when it is run once more`
				: `without one record of the batch (number ${record}) another one's gradient by ${name} changes`,
			{
				path: name,
				hint: "encode() or the loss carries something from record to record: a number computed from the batch, or state on the host; what it draws at random must follow from the record and the step",
			},
		);
	}

	/** Losses [rows] and gradients [rows, ...], one a parameter, of the records of a physical batch. */
	#gradients<D>({ record, keys }: Batch, loss: Loss<D>): { losses: Tensor; grads: readonly Tensor[] } {
		const { model } = this.#options;
		const vector = this.#vector;
		const open = [...tensorsIn(record), keys, vector.tensor, ...(model?.stateTensors() ?? [])];
		return privateProgram(this.#device, open, () =>
			vmap((own: D, words: Tensor) => {
				const { value, grads } = valueAndGrad(() => checkTrainedLoss(loss(own, new DropoutKey(words))), vector.parameters);
				return { losses: value, grads };
			})(record as D, keys),
		);
	}

	async #update(mean: Float32Array): Promise<void> {
		const { optimizer } = this.#options;
		const vector = this.#vector;
		const isFirst = !this.#moved && optimizer.lr > 0;
		const before = isFirst ? await data(vector.tensor) : undefined;
		this.#device.scope(() => {
			optimizer.step(this.#device.fromHost(mean, [vector.length]));
			checkFinite(vector.tensor, "the parameters");
		});
		try {
			await this.#device.flush();
		} catch (error) {
			throw error instanceof NumericError ? await this.#nameNotFinite(error) : error;
		}
		if (before === undefined) return;
		const after = await data(vector.tensor);
		let start = 0;
		for (const { size, label } of vector.parameters) {
			const end = start + size;
			if (before.subarray(start, end).every((v, i) => v === after[start + i])) {
				throw new PrivacyError("privacy/not-training", `${label} did not move in the first step`, {
					hint: "the optimiser's step must change the vector that it shows the engine",
				});
			}
			start = end;
		}
		this.#moved = true;
	}

	async #nameNotFinite(cause: NumericError): Promise<NumericError> {
		const vector = this.#vector;
		const at = (await data(vector.tensor)).findIndex((v) => !Number.isFinite(v));
		if (at < 0) return cause;
		const name = vector.nameAt(at);
		return new NumericError("numeric/not-finite", `${name} holds NaN or infinity`, { path: name, hint: cause.hint, cause });
	}
}

function raiseOneRecord(indices: Int32Array): never {
	const numbers = indices.filter((i) => i >= 0).join(", ");
	throw new PrivacyError("privacy/records-mix", `encode() gives one and the same record for the numbers ${numbers}`, {
		op: "encode",
		hint: "does it keep the first one? every number stands for a record of its own",
	});
}
