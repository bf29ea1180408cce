import type { PooledBuffer } from "./gpu/pool.ts";

/** Memory that belongs to no program: the device's own words. It counts as born inside every one of them. */
export const ALWAYS = Number.POSITIVE_INFINITY;

/** What a storage is made of. */
export interface Extent {
	/** Bytes that belong to tensors; the buffer may be larger. */
	readonly bytes: number;
	/** Bytes of the buffer that it gets. */
	readonly size: number;
	/** Number of the storage in the order of allocation: tells what a private program made itself. */
	readonly birth: number;
	/** The module that asked for it; "" outside of modules. */
	readonly label: string;
}

/**
 * Memory that handles, views and the tape share. It has a buffer from the first submitted command that uses it on: until its
 * last owner has gone and the last command that uses it was submitted. What was released before that needs no memory in between.
 */
export class Storage implements Extent {
	readonly bytes: number;
	readonly size: number;
	readonly birth: number;
	readonly label: string;
	/** Where it lies now, if anywhere. */
	buffer: PooledBuffer | undefined;
	/** Number of the last recorded command that uses it. */
	lastUse = -1;
	/** Bindings and copies of it in commands that were recorded. */
	uses = 0;
	/** Whether it will ever have memory: not where it was made by a step that is recorded without being run. */
	readonly isReal: boolean;
	/** How often its values were written: two equal counts tell that nothing changed in between. */
	writes = 0;
	readonly #free: (storage: Storage) => void;
	#owners = 1;

	/** `free` is called when the last owner goes; where it throws, that one stays. */
	constructor({ bytes, size, birth, label }: Extent, free: (storage: Storage) => void, isReal = true) {
		this.bytes = bytes;
		this.size = size;
		this.birth = birth;
		this.label = label;
		this.#free = free;
		this.isReal = isReal;
	}

	get isOwned(): boolean {
		return this.#owners > 0;
	}

	retain(): this {
		this.#owners++;
		return this;
	}

	release(): void {
		if (this.#owners === 1) this.#free(this);
		this.#owners--;
	}

	/** Storage as a scope sees it: one ownership to give up. */
	dispose(): void {
		this.release();
	}
}

/**
 * One ownership of a storage, given up once: what a handle has. It does not refer to the handle, which may be collected as
 * garbage while the claim stands.
 */
export class Claim {
	readonly storage: Storage;
	/** Where it is counted while no scope owns the handle. */
	registry: { forget(claim: Claim): void } | undefined;
	#released = false;

	constructor(storage: Storage) {
		this.storage = storage;
	}

	get released(): boolean {
		return this.#released;
	}

	release(): void {
		if (this.#released) return;
		this.storage.release();
		this.#released = true;
		this.registry?.forget(this);
	}
}
