import { BufferUsage } from "./flags.ts";
import { sizeClass } from "./pool.ts";
import type { GPUBuffer, GPUDevice } from "./types.ts";

/** Idle buffers that are kept. */
const MOST_IDLE = 4;

/** Buffers that results are copied to, to be read: those of the last reads are used again. */
export class Staging {
	readonly #device: GPUDevice;
	readonly #idle: GPUBuffer[] = [];

	constructor(device: GPUDevice) {
		this.#device = device;
	}

	/** A buffer of so many bytes or an eighth more, unmapped. */
	take(bytes: number): GPUBuffer {
		const size = sizeClass(bytes);
		const at = this.#idle.findIndex((b) => b.size === size);
		if (at >= 0) return this.#idle.splice(at, 1)[0];
		return this.#device.createBuffer({ size, usage: BufferUsage.COPY_DST | BufferUsage.MAP_READ });
	}

	/** Takes a buffer back, unmapped. */
	give(buffer: GPUBuffer): void {
		this.#idle.push(buffer);
		if (this.#idle.length > MOST_IDLE) this.#idle.shift()?.destroy();
	}

	/** Destroys those that are idle. */
	trim(): void {
		for (const buffer of this.#idle.splice(0)) buffer.destroy();
	}
}
