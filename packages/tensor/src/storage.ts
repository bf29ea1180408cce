import type { BufferPool, PooledBuffer } from "./gpu/pool.ts";

/** A pooled buffer shared by handles, views and the tape; it returns to the pool with its last owner. */
export class Storage {
	readonly buffer: PooledBuffer;
	readonly #pool: BufferPool;
	#owners = 1;

	constructor(pool: BufferPool, bytes: number) {
		this.#pool = pool;
		this.buffer = pool.acquire(bytes);
	}

	retain(): this {
		this.#owners++;
		return this;
	}

	release(): void {
		if (--this.#owners === 0) this.#pool.release(this.buffer);
	}
}
