import { type Device, runtimeOf } from "./device.ts";
import { DeviceError, DisposedError } from "./errors.ts";
import type { Arena } from "./gpu/pool.ts";
import { ReplayList } from "./gpu/replay.ts";
import { type NotPromise, tensorsIn } from "./scopes.ts";

/** A step that was run once and can be run again without recording it again. */
export class CapturedStep<T> {
	/** What the step returned; the same tensors hold the new values after each replay. */
	readonly outputs: T;
	readonly #device: Device;
	readonly #list: ReplayList;
	readonly #arena: Arena;
	#disposed = false;

	constructor(device: Device, outputs: T, list: ReplayList, arena: Arena) {
		this.#device = device;
		this.outputs = outputs;
		this.#list = list;
		this.#arena = arena;
	}

	/** Kernels of one step. */
	get dispatches(): number {
		return this.#list.length;
	}

	/** Runs the kernels again, on the present values of the tensors they read. Does not wait. */
	replay(): void {
		if (this.#disposed) throw new DisposedError("capture/disposed", "replay: this captured step was released");
		const runtime = runtimeOf(this.#device);
		runtime.raise();
		runtime.recorder.flush();
		this.#list.run();
	}

	/** Releases the outputs and the memory of the step. */
	dispose(): void {
		if (this.#disposed) return;
		this.#disposed = true;
		for (const t of tensorsIn(this.outputs)) t.dispose();
		runtimeOf(this.#device).pool.dissolve(this.#arena);
		this.#list.destroy();
	}
}

/**
 * Runs `step` and keeps its kernels, parameters, bind groups and buffers, so that `replay` repeats it at the cost of
 * encoding alone, with the same bits. Inputs are tensors made before, refreshed with `write`; state is written in place
 * with `assign`. Numbers that went into kernels as attributes stay what they were.
 * @throws DeviceError when the step uploads host data or releases a tensor made before it.
 */
export function capture<T>(device: Device, step: () => NotPromise<T>): CapturedStep<T> {
	const runtime = runtimeOf(device);
	const { pool, recorder, tape, gpu } = runtime;
	if (tape !== undefined) throw new DeviceError("capture/traced", "capture: a gradient is being computed; capture the whole step");
	recorder.flush();
	const { result, arena } = pool.inArena(() => recorder.listen(() => runtime.scope(step)));
	for (const t of tensorsIn(result.result)) runtime.keep(t);
	return new CapturedStep(device, result.result, new ReplayList(gpu, result.dispatches), arena);
}
