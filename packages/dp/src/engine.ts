import { checkFinite, type Device, data, PrivacyError, perSampleValueAndGrad, type Slot, type Tensor, ValueError } from "@hushgrad/tensor";
import { RdpAccountant } from "./accountant/rdp.ts";
import { BoundedSum } from "./clip.ts";
import { addNoise, drawNoise, type FixedPointGrid, fixedPointGrid } from "./noise.ts";
import { type PrivacyPlan, planPrivacy } from "./plan.ts";
import { privacyStatement } from "./report.ts";
import { type PhysicalBatch, poissonBatch, splitVirtual } from "./sampling.ts";
import { type NoiseSource, secureNoise } from "./secureRandom.ts";

/** What the engine needs of an optimiser: it applies one gradient a trainable tensor, in the order of `parameters`. */
export interface Optimizer {
	readonly lr: number;
	step(grads: readonly Tensor[]): void;
}

/** A trainable tensor with its name. */
export type NamedSlots = ReadonlyMap<string, Slot>;

/** Losses of one physical batch: one for each row, marked per sample, 0 for padding rows (index -1). */
export type LossFunction = (batch: PhysicalBatch) => Tensor;

export interface PrivacyEngineOptions {
	readonly parameters: NamedSlots;
	readonly optimizer: Optimizer;
	/** Number of records N, declared public. */
	readonly datasetSize: number;
	/** L = q N: the mean number of records in a step, and the divisor of the noisy sum. */
	readonly expectedBatchSize: number;
	/** Rows of one physical batch: a matter of memory and speed, not of privacy. */
	readonly physicalBatchSize: number;
	readonly targetEpsilon: number;
	readonly targetDelta: number;
	readonly steps: number;
	/** Clipping norm C of one record's gradient. */
	readonly maxGradNorm: number;
	/** Source of sampling and noise; the platform's cryptographic generator when left out. */
	readonly noise?: NoiseSource;
}

/** What one step did. `loss`, `records`, `meanNorm` and `clipped` are private diagnostics: epsilon does not cover them. */
export interface StepReport {
	readonly step: number;
	readonly epsilon: number;
	/** Mean loss of the records in the batch; NaN for an empty batch. */
	readonly loss: number;
	readonly records: number;
	/** Mean norm of the per-sample gradients before clipping. */
	readonly meanNorm: number;
	/** Fraction of the records whose gradient was clipped. */
	readonly clipped: number;
}

/**
 * Trains with differential privacy (DP-SGD; Abadi et al. 2016): owns sampling, per-sample gradients, clipping, noise,
 * accounting and stepping, so that none of them can disagree with the plan.
 */
export class PrivacyEngine {
	readonly plan: PrivacyPlan;
	readonly #options: PrivacyEngineOptions;
	readonly #noise: NoiseSource;
	readonly #grid: FixedPointGrid;
	readonly #accountant = new RdpAccountant();
	readonly #device: Device;
	#steps = 0;
	#moved = false;

	private constructor(plan: PrivacyPlan, options: PrivacyEngineOptions) {
		const slots = [...options.parameters.values()];
		const size = slots.reduce((n, s) => n + s.value.size, 0);
		this.plan = plan;
		this.#options = options;
		this.#noise = options.noise ?? secureNoise();
		this.#grid = fixedPointGrid(plan.maxGradNorm, size);
		this.#device = slots[0].value.device;
	}

	/**
	 * Plans a run that ends within `targetEpsilon` at `targetDelta` and returns the engine that carries it out.
	 * @throws PrivacyError for delta >= 1/N or a batch too large to sum exactly; ValueError for numbers out of range.
	 */
	static makePrivateWithEpsilon(options: PrivacyEngineOptions): PrivacyEngine {
		const { parameters, physicalBatchSize, expectedBatchSize, targetDelta: delta } = options;
		if (parameters.size === 0) throw new ValueError("dp/parameters", "PrivacyEngine: there is no parameter to train");
		if (!Number.isInteger(physicalBatchSize) || physicalBatchSize < 1) {
			throw new ValueError("dp/physical", `PrivacyEngine: physicalBatchSize is ${physicalBatchSize}, expected 1 or more`);
		}
		const plan = planPrivacy({ ...options, delta });
		const engine = new PrivacyEngine(plan, options);
		const largest = Math.min(options.datasetSize, Math.ceil(expectedBatchSize + 8 * Math.sqrt(expectedBatchSize) + 8));
		const room = engine.#grid.maxSamples(plan.noiseMultiplier);
		if (largest > room) {
			throw new PrivacyError("dp/batch-too-large", `a batch of up to ${largest} records does not fit an exact sum of ${room}`, {
				hint: "lower expectedBatchSize",
			});
		}
		return engine;
	}

	/** Epsilon spent so far, at the plan's delta. */
	getEpsilon(): number {
		return this.#steps === 0 ? 0 : this.#accountant.getEpsilon(this.plan.delta);
	}

	get steps(): number {
		return this.#steps;
	}

	/** What the run guarantees, for whom, and what it does not cover. */
	statement(): string {
		return privacyStatement(this.plan, {
			stepsTaken: this.#steps,
			epsilonSpent: this.getEpsilon(),
			secure: this.#noise.secure,
		});
	}

	/**
	 * One logical step: samples a batch, sums its clipped gradients over physical batches, adds noise once, divides by
	 * the public constant L and lets the optimiser apply the result. An empty batch takes a step of noise only.
	 * @throws PrivacyError past the planned number of steps, or when a parameter has not moved after the first step;
	 * NumericError naming a parameter that is no longer finite; DeviceError when the device was lost. A step that throws
	 * has been counted: its noise may have been seen.
	 */
	async step(lossOf: LossFunction): Promise<StepReport> {
		const { plan } = this;
		if (this.#steps >= plan.steps) {
			throw new PrivacyError("privacy/plan-spent", `all ${plan.steps} planned steps were taken (epsilon ${this.getEpsilon().toFixed(4)})`, {
				hint: "plan more steps from the start; a longer run needs more noise in every step",
			});
		}
		const { expectedBatchSize, maxGradNorm, noiseMultiplier } = plan;
		const slots = [...this.#options.parameters.values()];
		const sizes = slots.map((s) => s.value.size);
		const draw = drawNoise(
			sizes.reduce((a, b) => a + b, 0),
			{ grid: this.#grid.grid, maxGradNorm, noiseMultiplier },
			this.#noise,
		);
		const records = poissonBatch(plan, this.#noise);
		this.#accountant.step({ sampleRate: plan.sampleRate, noiseMultiplier, steps: 1 });
		this.#steps++;
		const { sum, losses, norms } = await this.#sum(records, slots, sizes, lossOf);
		const mean = addNoise(sum, draw, { grid: this.#grid.grid, expectedBatchSize });
		await this.#update(slots, sizes, mean);
		return {
			step: this.#steps,
			epsilon: this.getEpsilon(),
			loss: average(losses),
			records: records.length,
			meanNorm: average(norms),
			clipped: average(norms.map((n) => Number(n > this.#grid.clipNorm))),
		};
	}

	async #sum(records: Int32Array, slots: readonly Slot[], sizes: readonly number[], lossOf: LossFunction) {
		const device = this.#device;
		const sum = new BoundedSum(device, sizes, this.#grid);
		const kept: { readonly weights: Float32Array; readonly value: Tensor; readonly norm: Tensor }[] = [];
		try {
			for (const batch of splitVirtual(records, this.#options.physicalBatchSize)) {
				const rows = batch.indices.length;
				device.scope<void>(() => {
					const { value, grads } = perSampleValueAndGrad(() => lossOf(batch), slots, rows);
					const norm = sum.add(grads, device.fromHost(batch.weights, [rows]));
					kept.push({ weights: batch.weights, value: device.keep(value), norm: device.keep(norm) });
				});
			}
			const all = await sum.read();
			const ofRecords = async (pick: (k: (typeof kept)[number]) => Tensor): Promise<number[]> => {
				const rows = await Promise.all(kept.map(async (k) => [...(await data(pick(k)))].filter((_, i) => k.weights[i] > 0)));
				return rows.flat();
			};
			return { sum: all, losses: await ofRecords((k) => k.value), norms: await ofRecords((k) => k.norm) };
		} finally {
			sum.dispose();
			for (const { value, norm } of kept) {
				value.dispose();
				norm.dispose();
			}
		}
	}

	async #update(slots: readonly Slot[], sizes: readonly number[], mean: Float32Array): Promise<void> {
		const { optimizer } = this.#options;
		const check = !this.#moved && optimizer.lr > 0;
		const before = check ? await Promise.all(slots.map((s) => data(s.value))) : [];
		this.#device.scope<void>(() => {
			let at = 0;
			const grads = slots.map((s, i) => {
				const part = mean.subarray(at, at + sizes[i]);
				at += sizes[i];
				return this.#device.fromHost(part, s.value.shape);
			});
			optimizer.step(grads);
			for (const [name, slot] of this.#options.parameters) checkFinite(slot.value, name);
		});
		await this.#device.flush();
		if (!check) return;
		const after = await Promise.all(slots.map((s) => data(s.value)));
		[...this.#options.parameters.keys()].forEach((name, i) => {
			if (before[i].every((v, k) => v === after[i][k])) {
				throw new PrivacyError("privacy/not-training", `${name} did not move in the first step`, {
					hint: "the optimiser must hold the same parameters, in the same order, as the engine",
				});
			}
		});
		this.#moved = true;
	}
}

const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
