import { type Device, runtimeOf } from "./device.ts";
import { DeviceError, DisposedError } from "./errors.ts";
import { expects } from "./expects.ts";
import type { Arena } from "./gpu/pool.ts";
import { ReplayList } from "./gpu/replay.ts";
import { Launches } from "./launches.ts";
import type { Runtime } from "./runtime.ts";
import { type NotPromise, tensorsIn } from "./scopes.ts";
import type { Storage } from "./storage.ts";
import { insideOf, type Tensor } from "./tensor.ts";

/** What a captured step runs on. */
interface Recording {
	readonly list: ReplayList;
	readonly launches: Launches;
	readonly arena: Arena;
	/** Memory made before the step that it reads and writes, held as long as it may run again. */
	readonly inputs: readonly Storage[];
	/** Those among them that it writes. */
	readonly written: readonly Storage[];
}

/**
 * A step that was run once and can be run again without recording it again; made by `capture`. It owns its outputs and all
 * memory made inside the step until `dispose`, and keeps the tensors that it reads and writes from being reused even where
 * their last handle is released.
 */
export class CapturedStep<T> {
	/** What the step returned; the same tensors hold the new values after each replay. Released by `dispose`. */
	readonly outputs: T;
	readonly #device: Device;
	readonly #list: ReplayList;
	readonly #launches: Launches;
	readonly #arena: Arena;
	readonly #inputs: readonly Storage[];
	readonly #written: readonly Storage[];
	#disposed = false;

	constructor(device: Device, outputs: T, { list, launches, arena, inputs, written }: Recording) {
		this.#device = device;
		this.outputs = outputs;
		this.#list = list;
		this.#launches = launches;
		this.#arena = arena;
		this.#inputs = inputs;
		this.#written = written;
	}

	/** Number of kernels that one replay runs. */
	get dispatches(): number {
		return this.#list.length;
	}

	/**
	 * Runs the kernels again, on the present values of the tensors they read, after all that was recorded before. Does not
	 * wait. Replayed kernels appear in `device.counters()`, not in profiles.
	 * @throws DisposedError after `dispose`; DeviceError inside a program for one record or a private program (`capture/inside`),
	 * while a gradient is being computed (`capture/traced`), inside a step that is being captured (`capture/nested`), and when the
	 * device was lost or reported an error.
	 */
	replay(): void {
		const runtime = this.#ready("replay");
		runtime.raise();
		for (const s of this.#written) s.writes++;
		runtime.recorder.replay(this.#list);
	}

	/**
	 * Where `step` would now do something else than a replay, as a text without values: the first kernel or number that is another one, another tensor that
	 * is read or returned, one that is kept, a read or an upload. undefined where a replay does the same. It records `step` once more, with
	 * what it does on the host, and runs no kernel: a replay may be under way on the GPU meanwhile.
	 * @throws What `replay` does, and what `step` throws.
	 */
	difference(step: () => T & NotPromise<T>): string | undefined {
		expects("difference", { step }, { step: "function" });
		const runtime = this.#ready("difference");
		const start = runtime.nextBirth;
		try {
			const { result: launches, touched } = runtime.watching(() =>
				runtime.scope(() => {
					const { result, recorded } = runtime.recorder.rehearse(() => runtime.scope(step, "difference"));
					return new Launches(start, recorded, result);
				}),
			);
			if ([...touched.keys()].some((s) => !s.isReal && s.isOwned)) return "it keeps a tensor that it does not return";
			return this.#launches.differenceTo(launches);
		} catch (error) {
			if (error instanceof DeviceError && (error.code === "capture/upload" || error.code === "capture/read")) return error.message;
			throw error;
		}
	}

	/** Whether all memory that the step uses, and did not make itself, is that of these tensors. */
	usesOnly(tensors: readonly Tensor[]): boolean {
		expects("usesOnly", { tensors }, { tensors: "tensors" });
		const open = new Set(tensors.map((t) => insideOf(t).storage));
		return this.#inputs.every((s) => open.has(s));
	}

	#ready(op: string): Runtime {
		if (this.#disposed) throw new DisposedError("capture/disposed", `${op}: this captured step was released`, { op });
		const runtime = runtimeOf(this.#device);
		checkOutside(runtime, op);
		return runtime;
	}

	/**
	 * Releases the outputs and the memory of the step, and lets its inputs go. A second call does nothing.
	 * @throws DeviceError inside a step that is being captured (`capture/nested`), which would go on to use them; nothing is released.
	 */
	dispose(): void {
		if (this.#disposed) return;
		const runtime = runtimeOf(this.#device);
		if (runtime.recorder.isListening) {
			throw new DeviceError("capture/nested", "dispose: a capture is in progress", {
				op: "dispose",
				hint: "release it before or afterwards",
			});
		}
		this.#disposed = true;
		for (const t of tensorsIn(this.outputs)) t.dispose();
		for (const s of this.#inputs) s.release();
		runtime.pool.dissolve(this.#arena);
		this.#list.destroy();
	}
}

/**
 * Runs `step` once, results included, and keeps its kernels, parameters, bind groups and buffers, so that `replay` repeats it
 * at the cost of encoding alone, with the same bits. Inputs are tensors made before, refreshed with `write`; state is written
 * in place with `assign`. Numbers that went into kernels as attributes stay what they were, and what the step does on the
 * host is not repeated: `difference` tells whether that matters. Tensors made inside and not returned are released; their buffers
 * stay with the step.
 * @throws DeviceError when the step uploads host data (`capture/upload`), releases the last handle of a tensor made before it
 * (`capture/released`) or captures another (`capture/nested`), while a gradient is being computed (`capture/traced`), and inside
 * a program for one record or a private program (`capture/inside`); ValueError for a step that is async.
 */
export function capture<T>(device: Device, step: () => T & NotPromise<T>): CapturedStep<T> {
	expects("capture", { device, step }, { device: "device", step: "function" });
	const runtime = runtimeOf(device);
	const { pool, recorder, gpu } = runtime;
	checkOutside(runtime, "capture");
	recorder.flush();
	const start = runtime.nextBirth;
	const { result, arena } = pool.inArena(start, () => runtime.watching(() => recorder.listen(() => runtime.scope(step, "capture"))));
	const { result: outputs, recorded, encoded } = result.result;
	const launches = new Launches(start, recorded, outputs);
	for (const t of tensorsIn(outputs)) runtime.keep(t);
	const inputs = [...result.touched.keys()].filter((s) => s.birth < start).map((s) => s.retain());
	const written = inputs.filter((s) => s.writes > (result.touched.get(s) ?? 0));
	return new CapturedStep(device, outputs, { list: new ReplayList(gpu, encoded), launches, arena, inputs, written });
}

/**
 * Kernels that are captured or replayed are launched for nobody in particular: in a program for one record, a gradient or another
 * capture they would be missing.
 */
export function checkOutside({ records, world, tape, recorder }: Runtime, op: string): void {
	if (records !== undefined || world !== undefined) {
		throw new DeviceError("capture/inside", `${op}: a program for one record runs`, { op, hint: "capture the whole step, vmap included" });
	}
	if (tape !== undefined) {
		throw new DeviceError("capture/traced", `${op}: a gradient is being computed`, {
			op,
			hint: "capture the whole step, gradient included",
		});
	}
	if (recorder.isListening) {
		throw new DeviceError("capture/nested", `${op}: a capture is in progress`, { op, hint: "call the inner step itself, as a function" });
	}
}
