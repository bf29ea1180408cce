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

/** The trainable state: one vector in R^P, of which the parameters are views. `ParameterVector` of `@hushgrad/nn` is one. */
export interface TrainableVector {
	/** The vector, f32 `[P]`. */
	readonly tensor: Tensor;
	/** P, the number of coordinates. */
	readonly length: number;
	/** The parameters, in the order of their coordinates. */
	readonly parameters: readonly (Slot & {
		/** Number of coordinates. */
		readonly size: number;
		/** Name in messages. */
		readonly label: string;
	})[];
	/** The name of the parameter that a coordinate belongs to, for messages. */
	nameAt(offset: number): string;
}

/**
 * What the engine needs of an optimiser: the parameters it trains, and a step with the gradient by all of them. Those of
 * `@hushgrad/nn` are such.
 */
export interface Optimizer {
	/** Rate of the next step; where it is 0 the engine does not ask whether parameters move. */
	readonly lr: number;
	/** What it trains. */
	readonly vector: TrainableVector;
	/** Applies the noisy mean gradient, f32 `[P]`, to the vector, in place. It sees nothing else of the records. */
	step(gradient: Tensor): void;
}

/**
 * Public by declaration: the tensors of a model that its forward pass may read, frozen weights and buffers. Any `Module` is one.
 */
export interface PublicState {
	/** The tensors; asked for in every physical batch. */
	stateTensors(): Iterable<Tensor>;
}

/** What `PrivacyEngine.makePrivateWithEpsilon` needs. Everything here is public, but for the state of the noise source. */
export interface PrivacyEngineOptions {
	/** What trains: its parameters are the trained ones, its step is taken with the noisy mean gradient. */
	readonly optimizer: Optimizer;
	/**
	 * Declares the frozen weights and buffers of the model public: they must not come from the private records. Without it a loss
	 * reads trained parameters only.
	 */
	readonly model?: PublicState | undefined;
	/** Number of records N, declared public: records are encode(0) … encode(N − 1). */
	readonly datasetSize: number;
	/**
	 * L = q N, in (0, N]: the mean number of records in a step, and the divisor of the noisy sum. What an exact sum holds limits
	 * it: with little noise to some 1,700 where C is a power of two, to 3,600 where it is just above one.
	 */
	readonly expectedBatchSize: number;
	/** Rows of one physical batch: a matter of memory and speed, not of privacy. 8 when left out. */
	readonly physicalBatchSize?: number | undefined;
	/** ε that all `steps` together may spend. */
	readonly targetEpsilon: number;
	/** δ of the guarantee, below 1/N; 1/(10 N) or less is usual. */
	readonly targetDelta: number;
	/** Logical steps of the whole run; `stepsForEpochs` counts them. */
	readonly steps: number;
	/** Clipping norm C of one record's gradient over all parameters, in L2. Noise is in multiples of it. */
	readonly maxGradNorm: number;
	/**
	 * Source of sampling and noise; `secureNoise()` when left out. With another one the run is not private, and its statement says
	 * so.
	 */
	readonly noise?: NoiseSource | undefined;
	/** Key of the dropout masks, one a step and record; `key(0)` when left out. Noise and sampling do not come from it. */
	readonly key?: Key | undefined;
	/**
	 * Check in every k-th step that records stay apart, beside the first step in which two records meet under a program; only there
	 * when left out. A check runs one physical batch again, up to twice.
	 */
	readonly selfCheckEvery?: number | undefined;
}

/**
 * Trains with differential privacy (DP-SGD; Abadi et al. 2016): owns sampling, batches, per-record gradients, clipping, noise,
 * accounting and stepping, so that none of them can disagree with the plan.
 *
 * Guarantee: with the noise of `secureNoise`, what the trained parameters show after the steps taken, and after each of them, is
 * (`getEpsilon()`, targetDelta)-differentially private for adding or removing one record (Poisson sampling; RDP, Mironov et al.
 * 2019). Not covered: the measures in a `StepReport`, evaluation on the records, choices made by looking at them, what encode()
 * or the loss takes from other records beforehand, and people who have several records. `statement` says so for a run.
 *
 * A loss is a program for one record, run on a batch by `vmap` in a closed world: it reads its record, public tensors and what it
 * makes itself, and nothing else. What no rule can see (arithmetic on the host, a kernel of one's own) the engine looks for: it
 * runs a batch again with one record exchanged for padding, and compares the others bit for bit.
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
	 * Plans a run that ends within `targetEpsilon` at `targetDelta` and returns the engine that carries it out; Opacus'
	 * make_private_with_epsilon, but with a fixed number of steps and a public L. It trains what the optimiser trains, whose
	 * parameters become views of its vector.
	 * @throws PrivacyError for delta ≥ 1/N, a batch too large to sum exactly, or a platform without a cryptographic generator;
	 * ValueError for numbers out of range, parameters without values, and too many of them for C.
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

	/** What was planned; frozen, public. */
	get plan(): PrivacyPlan {
		return this.#plan;
	}

	/** ε spent so far, at the δ of the plan: that of the steps counted, 0 before the first. */
	getEpsilon(): number {
		return this.#steps === 0 ? 0 : this.#accountant.getEpsilon(this.#plan.delta);
	}

	/** Steps counted: those taken, and those that threw after their records were drawn. */
	get steps(): number {
		return this.#steps;
	}

	/** One line: steps, and what of ε is spent. `statement` says all. */
	toString(): string {
		const { steps, targetEpsilon, delta } = this.#plan;
		const spent = Math.ceil(this.getEpsilon() * 1e4) / 1e4;
		const warning = this.#noise.secure ? "" : ", NOT PRIVATE: noise from a seed";
		return `PrivacyEngine(step ${this.#steps} of ${steps}, ε = ${spent} of ${targetEpsilon} at δ = ${delta.toExponential()}${warning})`;
	}

	/** What `console.log` shows: the same line. */
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		return this.toString();
	}

	/** What the run so far guarantees, for whom, and what it does not cover: `privacyStatement`, as plain text. */
	statement(): string {
		return privacyStatement(this.#plan, {
			stepsTaken: this.#steps,
			epsilonSpent: this.getEpsilon(),
			secure: this.#noise.secure,
		});
	}

	/**
	 * One logical step: draws a batch, encodes its records one at a time, sums their clipped gradients over physical batches, adds
	 * noise once, divides by the public constant L and lets the optimiser apply the result. An empty batch takes a step of noise
	 * only. A record whose gradient is not finite contributes nothing. Where two or more were drawn and the loss of none is finite,
	 * the run stops: a fact about private records, which ε does not cover. `encode` gives record i on the host, by itself; `loss` is
	 * a program for one record, a scalar.
	 * @throws PrivacyError past the planned number of steps; where records differ in form, or the loss is no scalar of one record,
	 * touches what is not its own, or lets one record move another; for a noise source not made by this library; when a parameter
	 * has not moved after the first step of a rate above 0. ValueError where encode() gives no record; NumericError naming a
	 * parameter that is no longer finite, and where no loss is; DeviceError when the device was lost. A step that throws once its records are drawn has
	 * been counted: its noise may have been seen.
	 */
	step<R extends HostRecord>(encode: Encode<R>, loss: Loss<DeviceRecord<R>>): Promise<StepReport>;
	/** The same for a loss whose record is of a type of its own, such as `TrainingRecord` of `@hushgrad/models`. */
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
			diagnostics.checkAnyFinite(step);
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
