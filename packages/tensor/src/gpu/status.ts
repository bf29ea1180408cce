import { ALWAYS, Storage } from "../storage.ts";
import { BufferUsage, MapMode } from "./flags.ts";
import type { Recorder } from "./recorder.ts";
import type { GPUBuffer, GPUDevice } from "./types.ts";

const WORDS = 4;
const NOT_FINITE = 0;
const STRAY_WRITE = 1;

/** What the GPU found: the first check that failed, and the first buffer whose guard bytes changed. */
export interface StatusReport {
	readonly notFinite: string | undefined;
	readonly strayWrite: string | undefined;
}

/**
 * A few words on the GPU in which kernels note what went wrong. Reading them is the one thing that a step waits for:
 * it tells in one go that the step was done, that the device is alive and that no check failed.
 */
export class Status {
	readonly #device: GPUDevice;
	/** Where kernels note what they found. */
	readonly storage: Storage;
	readonly #gpu: GPUBuffer;
	readonly #staging: GPUBuffer;
	readonly #names: string[] = [];
	readonly #ids = new Map<string, number>();
	#reading: Promise<unknown> = Promise.resolve();

	constructor(device: GPUDevice) {
		this.#device = device;
		const size = 4 * WORDS;
		const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
		const gpu = device.createBuffer({ label: "status", size, usage });
		this.storage = new Storage({ bytes: size, size, birth: ALWAYS, label: "status" }, () => {});
		this.storage.buffer = { id: -1, gpu, bytes: size, arena: undefined };
		this.#gpu = gpu;
		this.#staging = device.createBuffer({ label: "status", size, usage: BufferUsage.COPY_DST | BufferUsage.MAP_READ });
	}

	/** The number that stands for a name; the same name has the same number. */
	idOf(name: string): number {
		let id = this.#ids.get(name);
		if (id === undefined) {
			id = this.#names.push(name);
			this.#ids.set(name, id);
		}
		return id;
	}

	/** Waits for everything recorded so far, reads the words and clears them. Rejects when the device was lost. */
	read(recorder: Recorder): Promise<StatusReport> {
		const turn = this.#reading.then(() => this.#read(recorder));
		this.#reading = turn.catch(() => {});
		return turn;
	}

	async #read(recorder: Recorder): Promise<StatusReport> {
		recorder.copy(this.storage, 0, this.#staging, this.storage.size);
		recorder.flush();
		await this.#staging.mapAsync(MapMode.READ);
		const words = new Uint32Array(this.#staging.getMappedRange()).slice();
		this.#staging.unmap();
		if (words.some((w) => w !== 0)) this.#device.queue.writeBuffer(this.#gpu, 0, new Uint32Array(WORDS));
		return { notFinite: this.#names[words[NOT_FINITE] - 1], strayWrite: this.#names[words[STRAY_WRITE] - 1] };
	}

	destroy(): void {
		this.#gpu.destroy();
		this.#staging.destroy();
	}
}

/** WGSL that notes `p.id` in a status word unless something stands there already. */
export const noteNotFinite = `if (status_at(${NOT_FINITE}u) == 0u) { status_set(${NOT_FINITE}u, p.id); }`;
export const noteStrayWrite = `if (status_at(${STRAY_WRITE}u) == 0u) { status_set(${STRAY_WRITE}u, p.id); }`;
