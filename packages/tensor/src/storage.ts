import type { PooledBuffer } from "./gpu/pool.ts";

/** A pooled buffer shared by handles, views and the tape; it returns to the pool with its last owner. */
export class Storage {
	readonly buffer: PooledBuffer;
	/** Bytes that belong to tensors; the buffer may be larger. */
	readonly bytes: number;
	readonly #free: (storage: Storage) => void;
	#owners = 1;

	constructor(buffer: PooledBuffer, bytes: number, free: (storage: Storage) => void) {
		this.buffer = buffer;
		this.bytes = bytes;
		this.#free = free;
	}

	retain(): this {
		this.#owners++;
		return this;
	}

	release(): void {
		if (--this.#owners === 0) this.#free(this);
	}
}
