import type { PooledBuffer } from "./gpu/pool.ts";

/** Memory that belongs to no program: the device's own words. It counts as born inside every one of them. */
export const ALWAYS = Number.POSITIVE_INFINITY;

/** A pooled buffer shared by handles, views and the tape; it returns to the pool with its last owner. */
export class Storage {
	readonly buffer: PooledBuffer;
	/** Bytes that belong to tensors; the buffer may be larger. */
	readonly bytes: number;
	/** Number of the storage in the order of allocation: tells what a private program made itself. */
	readonly birth: number;
	readonly #free: (storage: Storage) => void;
	#owners = 1;

	constructor(buffer: PooledBuffer, bytes: number, birth: number, free: (storage: Storage) => void) {
		this.buffer = buffer;
		this.bytes = bytes;
		this.birth = birth;
		this.#free = free;
	}

	retain(): this {
		this.#owners++;
		return this;
	}

	release(): void {
		if (--this.#owners === 0) this.#free(this);
	}

	/** Storage as a scope sees it: one ownership to give up. */
	dispose(): void {
		this.release();
	}
}
