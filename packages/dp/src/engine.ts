import { foldIn, type Key, key as keyOf, PrivacyError, type Tensor } from "@hushgrad/tensor";
import { blaming, checkNotInside, expects } from "@hushgrad/tensor/author";
import type { Allocation } from "./allocation.ts";
import { checkInteger } from "./check.ts";
import { type Clipped, checkGroups, clip } from "./clip/clip.ts";
import { Diagnostics, PrivateMeasures } from "./diagnostics.ts";
import { DivergenceWatch } from "./divergence.ts";
import type { EngineOptions, MakePrivateOptions, PrivacyEngineOptions } from "./engineOptions.ts";
import {
	allocationOf,
	checkLedger,
	checkState,
	countedSteps,
	type EngineState,
	factsOf,
	type LedgerUse,
	type PrivateState,
	sealOf,
} from "./engineState.ts";
import type { GaussianMechanism } from "./mechanism.ts";
import { checkOptimizer, type TrainableVector } from "./optimizer.ts";
import { ParameterUpdates } from "./parameterUpdates.ts";
import { type Gradients, PerRecord } from "./perRecord.ts";
import { checkPlan, type PrivacyPlan, planPrivacy } from "./plan.ts";
import type { DeviceRecord, Encode, HostFor, HostRecord } from "./records.ts";
import { privacyStatement } from "./report.ts";
import { Roster } from "./roster.ts";
import { Sampler } from "./sampler.ts";
import { checkNoiseSource, type NoiseSource, secureNoise } from "./secureRandom.ts";
import { SelfCheck } from "./selfCheck.ts";
import { StepMechanisms } from "./stepMechanisms.ts";
import { StepNoise } from "./stepNoise.ts";
import { StepReport } from "./stepReport.ts";
import type { Loss, Trainer } from "./trainer.ts";
import { TranscriptWriter } from "./transcript.ts";
import { checkSingle, checkUnits, type Units, unitProgram } from "./units.ts";

/**
 * Trains with differential privacy (DP-SGD; Abadi et al. 2016): owns sampling, batches, per-record gradients, clipping, noise,
 * accounting and stepping, so that none of them can disagree with the plan.
 *
 * Guarantee: with the noise of `secureNoise`, what the trained parameters show after the steps taken, and after each of them, and the
 * public part of each report are (`getEpsilon()`, targetDelta)-differentially private for adding or removing one record, or one unit of a plan
 * that names one.
 * Not covered: the private measures of a `StepReport`, evaluation on the records, choices made by looking at them, what encode()
 * or the loss takes from other records beforehand, and people who have several records or units. `statement` says so for a run.
 *
 * A loss is a program for one record, run on a batch by `vmap` in a closed world: it reads its record, public tensors and what it
 * makes itself, and nothing else. What no rule can see (arithmetic on the host, a kernel of one's own) the engine looks for: it
 * runs a batch again with one record exchanged for padding, and compares the others bit for bit.
 */
export class PrivacyEngine implements Trainer<StepReport> {
	readonly #plan: PrivacyPlan;
	readonly #updates: ParameterUpdates;
	readonly #noise: NoiseSource;
	readonly #key: Key;
	readonly #rows: number;
	readonly #vector: TrainableVector;
	readonly #mechanisms: StepMechanisms;
	readonly #stepNoise: StepNoise;
	readonly #perRecord: PerRecord;
	readonly #selfCheck: SelfCheck;
	readonly #allocation: Allocation | undefined;
	readonly #sampler: Sampler;
	readonly #roster: Roster | undefined;
	readonly #divergence: DivergenceWatch;
	readonly #ledger: LedgerUse | undefined;
	readonly #run: string;
	#begun: Promise<void> | undefined;
	#steps = 0;

	static {
		Object.freeze(PrivacyEngine.prototype);
	}

	private constructor(plan: PrivacyPlan, options: EngineOptions, state?: EngineState) {
		const {
			optimizer,
			model,
			physicalBatchSize = 8,
			gradients = "auto",
			replay = "checked",
			noise = secureNoise(),
			key = state?.key ?? keyOf(0),
			selfCheckEvery,
			ledger,
			privateState,
		} = options;
		checkNoiseSource(noise);
		checkOptimizer("PrivacyEngine", optimizer);
		checkInteger("physicalBatchSize", physicalBatchSize);
		if (selfCheckEvery !== undefined) checkInteger("selfCheckEvery", selfCheckEvery);
		const { vector } = optimizer;
		checkGroups(plan.clipping, vector.parameters.length);
		this.#plan = plan;
		this.#updates = new ParameterUpdates(optimizer);
		this.#noise = noise;
		this.#stepNoise = new StepNoise(plan, noise);
		this.#key = key;
		this.#rows = physicalBatchSize;
		this.#vector = vector;
		this.#mechanisms = new StepMechanisms(plan, vector.length, state?.maxGradNorm);
		this.#perRecord = new PerRecord(vector, { model, gradients, replay });
		this.#selfCheck = new SelfCheck(selfCheckEvery ?? Number.POSITIVE_INFINITY);
		this.#divergence = new DivergenceWatch(this.#mechanisms.noisiest(), state?.excess);
		if (ledger !== undefined) checkLedger(ledger);
		this.#ledger = ledger && { ...ledger };
		if (state !== undefined) this.#steps = countedSteps(state, noise, ledger);
		const allocation = allocationOf(plan, noise, state && { run: state.run, steps: this.#steps }, privateState);
		this.#run = state?.run ?? (noise.secure ? allocation?.name : undefined) ?? crypto.randomUUID();
		this.#allocation = allocation;
		this.#sampler = new Sampler(plan, allocation);
		this.#roster = allocation && new Roster(allocation, sealOf(state, ledger));
		if (ledger?.ledger.run(this.#run) !== undefined) this.#begun = Promise.resolve();
		Object.freeze(this);
	}

	/**
	 * The engine that carries out a plan. It trains what the optimiser trains, whose parameters become views of its vector.
	 * @throws PrivacyError for what is no plan, and on a platform without a cryptographic generator; ValueError for numbers out of range,
	 * and parameters without values.
	 */
	static follow(plan: PrivacyPlan, options: EngineOptions): PrivacyEngine {
		blaming("PrivacyEngine.follow", () => checkPlan(plan));
		expects("PrivacyEngine.follow", { options }, { options: "options" });
		return blaming("PrivacyEngine.follow", () => new PrivacyEngine(plan, options));
	}

	/**
	 * Plans a run with given noise, and returns the engine that carries it out; Opacus' make_private, but with a fixed number of steps and
	 * a public L. Errors as of `planPrivacy` and `follow`.
	 */
	static makePrivate(options: MakePrivateOptions): PrivacyEngine {
		expects("PrivacyEngine.makePrivate", { options }, { options: "options" });
		return blaming("PrivacyEngine.makePrivate", () => PrivacyEngine.follow(planned(options), options));
	}

	/**
	 * Plans a run that ends within `targetEpsilon` at `targetDelta` and returns the engine that carries it out; Opacus'
	 * make_private_with_epsilon, but with a fixed number of steps and a public L. Errors as of `planPrivacy` and `follow`.
	 */
	static makePrivateWithEpsilon(options: PrivacyEngineOptions): PrivacyEngine {
		expects("PrivacyEngine.makePrivateWithEpsilon", { options }, { options: "options" });
		return blaming("PrivacyEngine.makePrivateWithEpsilon", () => PrivacyEngine.follow(planned(options), options));
	}

	/**
	 * The engine that goes on with a run, from what `state()` gave. The optimiser must hold the parameters and the state that were saved with it.
	 * Steps that the ledger has, and the state has not, were taken and lost: they stay spent, and the run has as many fewer to take; a run
	 * that is not private repeats them, bit for bit.
	 * @throws PrivacyError for a state of another plan, of other noise, or of a ledger that is not there, or does not hold what it held then
	 * (`privacy/state`); FormatError for what is no state.
	 */
	static fromState(state: EngineState, plan: PrivacyPlan, options: EngineOptions): PrivacyEngine {
		blaming("PrivacyEngine.fromState", () => checkPlan(plan));
		expects("PrivacyEngine.fromState", { options }, { options: "options" });
		blaming("PrivacyEngine.fromState", () => checkState(state, plan));
		return blaming("PrivacyEngine.fromState", () => new PrivacyEngine(plan, options, state));
	}

	/** Where the run stands, to be saved with the parameters and the state of the optimiser. */
	state(): EngineState {
		const use = this.#ledger;
		return {
			version: 1,
			run: this.#run,
			plan: factsOf(this.#plan),
			steps: this.#steps,
			secure: this.#noise.secure,
			excess: this.#divergence.excess,
			maxGradNorm: this.#mechanisms.adaptiveNorm,
			key: this.#key,
			records: this.#seal,
			...(use && this.#begun && { ledger: { dataset: use.dataset, length: use.ledger.length, head: use.ledger.head } }),
		};
	}

	/**
	 * What is saved beside `state()` where the records themselves may lie, so that a run of random allocation or of bins can go on; the same at any
	 * time. Undefined where nothing is to be kept: of other sampling, of noise that repeats, and after the last step.
	 */
	privateState(): PrivateState | undefined {
		if (!this.#noise.secure || this.#steps >= this.#plan.steps) return undefined;
		return this.#allocation && { secret: this.#allocation.secret };
	}

	/** What the records are told by; nothing public is of noise that repeats, whose secret anybody can draw. */
	get #seal(): string | undefined {
		return this.#noise.secure ? this.#roster?.seal : undefined;
	}

	/** What was planned; frozen, public. */
	get plan(): PrivacyPlan {
		return this.#plan;
	}

	/** ε spent so far, at δ, that of the plan when left out: of the steps counted, 0 before the first. */
	getEpsilon(delta?: number): number {
		return blaming("PrivacyEngine.getEpsilon", () => this.#plan.epsilonAfter(this.#steps, delta));
	}

	/** Steps counted: those taken, and those that threw after their records were drawn. */
	get steps(): number {
		return this.#steps;
	}

	/** One line: steps, and what of ε is spent. `statement` says all. */
	toString(): string {
		const { steps, targetEpsilon, targetDelta, epsilon } = this.#plan;
		const spent = Math.ceil(this.getEpsilon() * 1e4) / 1e4;
		const warning = this.#noise.secure ? "" : ", NOT PRIVATE: noise from a seed";
		return `PrivacyEngine(step ${this.#steps} of ${steps}, ε = ${spent} of ${targetEpsilon ?? epsilon} at δ = ${targetDelta.toExponential()}${warning})`;
	}

	/** What `console.log` shows: the same line. */
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		return this.toString();
	}

	/** What the run so far guarantees, for whom, and what it does not cover: `privacyStatement`, as plain text. */
	statement(): string {
		const use = this.#ledger;
		return privacyStatement(this.#plan, {
			stepsTaken: this.#steps,
			secure: this.#noise.secure,
			...(use && { earlier: use.ledger.runsOn(use.dataset).filter((r) => r.run !== this.#run) }),
		});
	}

	/**
	 * One logical step: draws a batch, encodes its records one at a time, sums their clipped gradients over physical batches, adds
	 * noise once, divides by the public constant L and lets the optimiser apply the result. An empty batch takes a step of noise
	 * only. A record whose gradient is not finite contributes nothing but to a noisy count, which stops a run once it exceeds half of
	 * what a step draws. `encode` gives record i on the host, by itself; `loss` is a program for one record, a scalar.
	 * @throws PrivacyError past the planned number of steps; where records differ in form, or the loss is no scalar of one record,
	 * touches what is not its own, or lets one record move another; when a parameter has not moved after the first step of a rate above 0,
	 * and when something else has moved the parameters since the last step (`privacy/moved-between`). ValueError where encode() gives no
	 * record; NumericError naming a parameter that is no longer finite, and when the run has diverged; DeviceError when the device was
	 * lost. A step that throws once its records are drawn has been counted: its noise may have been seen.
	 */
	step<R extends HostRecord>(encode: Encode<R>, loss: Loss<DeviceRecord<R>>): Promise<StepReport>;
	/** The same for a loss whose record is of a type of its own, such as `TrainingRecord` of `@hushgrad/models`. */
	step<D>(encode: Encode<HostFor<D>>, loss: Loss<D>): Promise<StepReport>;
	async step<D>(encode: Encode<HostRecord>, loss: Loss<D>): Promise<StepReport> {
		expects("PrivacyEngine.step", { encode, loss }, { encode: "function", loss: "function" });
		return blaming("PrivacyEngine.step", async () => {
			checkSingle(this.#plan.unit);
			return this.#step(this.#plan.datasetSize, encode, loss, textOf(encode, loss));
		});
	}

	/**
	 * The same with the records handed over: `encode` gives a record for one of them. There may be more or fewer than the N of the plan, which
	 * sets q and stays what it was: with one record taken from the list everything else is as before. Random allocation and bins encode all of them
	 * once more, to tell them by what they hold: they stay the same in a run, in any order (`privacy/records-changed`).
	 */
	stepOn<T, R extends HostRecord>(records: readonly T[], encode: (record: T) => R, loss: Loss<DeviceRecord<R>>): Promise<StepReport>;
	/** The same for a loss whose record is of a type of its own. */
	stepOn<T, D>(records: readonly T[], encode: (record: T) => HostFor<D>, loss: Loss<D>): Promise<StepReport>;
	async stepOn<T, D>(records: readonly T[], encode: (record: T) => HostRecord, loss: Loss<D>): Promise<StepReport> {
		expects("PrivacyEngine.stepOn", { records, encode, loss }, { records: "list", encode: "function", loss: "function" });
		return blaming("PrivacyEngine.stepOn", async () => {
			checkSingle(this.#plan.unit);
			const all = [...records];
			return this.#step(all.length, (i) => encode(all[i]), loss, textOf(encode, loss), all);
		});
	}

	/**
	 * The same for a plan that names a unit: what is drawn, clipped and counted is a unit with the mean of the losses of its records, at most
	 * `maxRecords` of them. `encode` and `loss` are of one record; each record of a unit drops by a key of its own.
	 * @throws PrivacyError where units are not those of the plan (`privacy/unit`), or records of one differ in form.
	 */
	stepOnUnits<T, R extends HostRecord>(units: Units<T>, encode: (record: T) => R, loss: Loss<DeviceRecord<R>>): Promise<StepReport>;
	/** The same for a loss whose record is of a type of its own. */
	stepOnUnits<T, D>(units: Units<T>, encode: (record: T) => HostFor<D>, loss: Loss<D>): Promise<StepReport>;
	async stepOnUnits<T, D>(units: Units<T>, encode: (record: T) => HostRecord, loss: Loss<D>): Promise<StepReport> {
		expects("PrivacyEngine.stepOnUnits", { encode, loss }, { encode: "function", loss: "function" });
		return blaming("PrivacyEngine.stepOnUnits", async () => {
			checkUnits(this.#plan.unit, units);
			const { list, maxRecords } = units;
			const program = unitProgram(encode, loss, maxRecords);
			return this.#step(list.length, (i) => program.encode(list[i]), program.loss, textOf(encode, loss), list);
		});
	}

	async #step<D>(count: number, encode: Encode<HostRecord>, loss: Loss<D>, program: string, all?: readonly unknown[]): Promise<StepReport> {
		const plan = this.#plan;
		if (this.#steps >= plan.steps) {
			throw new PrivacyError("privacy/plan-spent", `all ${plan.steps} planned steps were taken (epsilon ${this.getEpsilon().toFixed(4)})`, {
				hint: "plan more steps from the start; a longer run needs more noise in every step",
			});
		}
		checkNotInside(this.#vector.tensor.device);
		this.#updates.checkUntouched();
		const { study } = this.#noise;
		const identities =
			study.batches === undefined ? this.#roster?.identitiesOf(all ?? count, () => this.#perRecord.identities(count, encode)) : undefined;
		const step = ++this.#steps;
		await this.#note(step);
		const source = this.#noise.forStep(step);
		const mechanism = this.#mechanisms.of(step);
		const drawn = this.#stepNoise.begin(mechanism, source, { step, isLast: step === plan.steps });
		const records =
			study.batches === undefined ? this.#sampler.batch(step, count, source, identities) : Int32Array.from(study.batches(step));
		const sum = mechanism.newSum(this.#vector.tensor.device);
		const diagnostics = new Diagnostics(mechanism.maxGradNorm);
		const check = this.#selfCheck.begin(step, program);
		const transcript = study.transcript && new TranscriptWriter(mechanism, step, records);
		let mean: Tensor | undefined;
		try {
			this.#perRecord.run(
				records,
				{
					...{ name: program, step, isDue: check.isDue, encode, identities, loss },
					...{ rows: Math.min(this.#rows, mechanism.mostRows), key: foldIn(this.#key, step) },
				},
				(part) => {
					const clipped = sum.add(part.grads, part.weights);
					diagnostics.add(part.losses, clipped.norms, part.indices);
					transcript?.add(clipped);
					check.look({ ...part, clipped, again: (others) => clippedBy(mechanism, part.again(others)) });
				},
			);
			const draw = await drawn();
			transcript?.note(draw);
			const [release, measures] = await Promise.all([sum.release(draw), diagnostics.read()]);
			mean = release.mean;
			await check.conclude((at) => this.#vector.nameAt(at));
			this.#mechanisms.follow(release);
			if (transcript !== undefined) study.transcript?.(await transcript.write(sum, mean));
			this.#divergence.see(step, release.notFinite);
			await this.#updates.apply(mean);
			if (step === plan.steps) this.#perRecord.release();
			return new StepReport({ step, plan, mechanism, release, measures: new PrivateMeasures(measures) });
		} catch (error) {
			this.#roster?.forget();
			this.#perRecord.release();
			throw error;
		} finally {
			sum.dispose();
			diagnostics.dispose();
			check.dispose();
			transcript?.dispose();
			mean?.dispose();
		}
	}

	/** Notes a step in the ledger: it is on the disk before noise is drawn. */
	async #note(step: number): Promise<void> {
		if (this.#ledger === undefined) return;
		const { ledger, dataset } = this.#ledger;
		this.#begun ??= ledger.begin(this.#run, dataset, this.#plan, this.#noise.secure, this.#seal);
		await this.#begun;
		await ledger.step(this.#run, step);
	}
}

/** What the functions of a step say, whatever they make of toString(). */
const textOf = (...functions: readonly object[]): string => functions.map((f) => Function.prototype.toString.call(f)).join("\n");

const clippedBy = (mechanism: GaussianMechanism, { grads, weights }: Gradients): Clipped => clip(grads, weights, mechanism);

/** A plan; with a meaningless ε where no claim of privacy is made, or that is insisted on. */
const planned = (options: MakePrivateOptions | PrivacyEngineOptions): PrivacyPlan =>
	planPrivacy({ ...options, allowMeaninglessEpsilon: options.allowMeaninglessEpsilon === true || options.noise?.secure === false });
