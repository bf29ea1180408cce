import { type CapturedStep, capture, type Device, DeviceError, type Tensor } from "@hushgrad/tensor";
import { expects, type NotPromise, oneOf, runtimeOf, type Spare } from "@hushgrad/tensor/author";
import { type Batch, type StagedBatch, tensorsOf } from "./records.ts";

/**
 * Whether a physical batch is run by calling the loss, or by running again the kernels that it launched before, at a fraction of the host's
 * time; the same bits come out. A loss, told by its text, is called for the first two batches of a number of rows; the second time its kernels are
 * kept.
 *
 * "checked": it is also called for the first batch of each step, while the GPU works on it, and where it would launch another kernel, read
 * another tensor or use another number than was kept, that batch is run anew. "unchecked": it is called for the first replay, and where records are
 * checked to stay apart; numbers that it reads from the host (a counter, the weight of a curriculum) stay what they were. "off": it is
 * called for every batch.
 */
export type ReplayMode = "checked" | "unchecked" | "off";

/** @throws ValueError for what is no mode. */
export function checkReplayMode(op: string, replay: ReplayMode): void {
	expects(op, { replay }, { replay: oneOf("checked", "unchecked", "off") });
}

/** Which program runs, when, and on what. */
export interface Occasion {
	/** What tells the program from others. */
	readonly name: string;
	/** Number of the step. */
	readonly step: number;
	/** A replay is to be checked in any case. */
	readonly isDue: boolean;
	/** Nobody uses any more what was replayed before; true when left out. */
	readonly mayReplay?: boolean | undefined;
	/** The batch. */
	readonly staged: StagedBatch;
}

/** A program on the device. */
export interface BatchProgram<T> {
	/** Runs it, with what `open` gave; the tensors of what it returns come out. */
	run(batch: Batch, open: readonly Tensor[]): T & NotPromise<T>;
	/** Tensors beside the batch that it may touch; any, where this is left out. Asked for each batch. */
	open?(): readonly Tensor[];
}

/** What is kept of a program for a number of rows. */
interface Bucket<T> {
	/** It was run before. */
	isMet?: boolean;
	/** It is never replayed. */
	isGivenUp?: boolean;
	/** The step in which its replay was last found to be what the program does. */
	checked?: number | undefined;
	captured?: { readonly step: CapturedStep<T>; readonly batch: Batch; staged: StagedBatch } | undefined;
}

/** What is kept of all programs of an owner. It does not refer to that, which may become garbage. */
class Kept<T> implements Spare {
	readonly #owner: WeakRef<object>;
	readonly #buckets = new Map<string, Bucket<T>>();
	/** What was captured is in use. */
	isBusy = false;

	constructor(owner: object) {
		this.#owner = new WeakRef(owner);
	}

	get isAbandoned(): boolean {
		return this.#owner.deref() === undefined;
	}

	bucketOf(name: string): Bucket<T> {
		const bucket = this.#buckets.get(name) ?? {};
		this.#buckets.set(name, bucket);
		return bucket;
	}

	release(): void {
		if (!this.isBusy) for (const bucket of this.#buckets.values()) forget(bucket);
	}
}

/** Releases what was captured of a program. */
function forget(bucket: Bucket<unknown>): void {
	const { captured } = bucket;
	if (captured === undefined || runtimeOf(captured.batch.keys.device).recorder.isListening) return;
	bucket.captured = undefined;
	bucket.checked = undefined;
	captured.step.dispose();
	for (const t of tensorsOf(captured.batch)) t.dispose();
}

/** Runs programs on physical batches: recorded first, captured the second time, replayed from then on. */
export class Replays<T> {
	readonly #device: Device;
	readonly #mode: ReplayMode;
	readonly #kept: Kept<T>;
	#hasTold = false;

	/** Where memory is short on the device, what was captured is given up. */
	constructor(device: Device, mode: ReplayMode) {
		this.#device = device;
		this.#mode = mode;
		this.#kept = new Kept(this);
		runtimeOf(device).spare.add(this.#kept);
	}

	/** Runs a program on a batch, and hands what it returns to `use`, to be read until that returns. */
	run<R>(occasion: Occasion, program: BatchProgram<T>, use: (result: T) => R): R {
		const kept = this.#kept;
		const isOuter = !kept.isBusy;
		try {
			const result = this.#run(occasion, program, isOuter);
			kept.isBusy = true;
			return use(result);
		} finally {
			kept.isBusy = !isOuter;
		}
	}

	/** Gives up what was captured; it may be captured again. */
	release(): void {
		this.#kept.release();
	}

	#run({ name, step, isDue, staged, mayReplay = true }: Occasion, program: BatchProgram<T>, isFree: boolean): T {
		const bucket = this.#kept.bucketOf(`${staged.rows} rows of ${name}`);
		const open = (): readonly Tensor[] => program.open?.() ?? [];
		const record = (): T => program.run(staged.upload(this.#device), open());
		const isProfiled = runtimeOf(this.#device).recorder.profiler !== undefined;
		if (bucket.isGivenUp) forget(bucket);
		if (this.#mode === "off" || bucket.isGivenUp || !isFree || !mayReplay || isProfiled) return record();
		if (!bucket.isMet) {
			bucket.isMet = true;
			return record();
		}
		const { captured } = bucket;
		if (captured === undefined) return this.#capture(bucket, staged, program) ?? record();
		staged.write(captured.batch, captured.staged);
		captured.staged = staged;
		const mayTouch = open();
		if (program.open !== undefined && !captured.step.usesOnly([...tensorsOf(captured.batch), ...mayTouch])) {
			forget(bucket);
			return record();
		}
		captured.step.replay();
		const isKnown = bucket.checked === step || (bucket.checked !== undefined && this.#mode === "unchecked" && !isDue);
		if (isKnown) return captured.step.outputs;
		const difference = captured.step.difference(() => program.run(captured.batch, mayTouch));
		if (difference === undefined) {
			bucket.checked = step;
			return captured.step.outputs;
		}
		if (bucket.checked === undefined) this.#giveUp(bucket, difference);
		forget(bucket);
		return record();
	}

	/** Captures a program as it runs; undefined where that is refused. */
	#capture(bucket: Bucket<T>, staged: StagedBatch, program: BatchProgram<T>): T | undefined {
		const { recorder } = runtimeOf(this.#device);
		const open = program.open?.() ?? [];
		const batch = staged.upload(this.#device);
		for (const t of tensorsOf(batch)) this.#device.keep(t);
		const { copies } = recorder;
		try {
			const step = capture<T>(this.#device, () => program.run(batch, open));
			bucket.captured = { step, batch, staged };
			if (recorder.copies !== copies) this.#giveUp(bucket, "it reads a tensor");
			return step.outputs;
		} catch (error) {
			for (const t of tensorsOf(batch)) t.dispose();
			if (!(error instanceof DeviceError && /^capture\/|^device\/budget$/.test(error.code))) throw error;
			this.#giveUp(bucket, error.message);
			return undefined;
		}
	}

	#giveUp(bucket: Bucket<T>, why: string): void {
		bucket.isGivenUp = true;
		if (this.#hasTold) return;
		this.#hasTold = true;
		this.#device.debug.log(`a loss is called for every physical batch, which takes the host longer than a replay: ${why}`);
	}
}
