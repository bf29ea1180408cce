import { PrivacyError } from "./errors.ts";
import type { Storage } from "./storage.ts";

/**
 * The closed world of a private program: a kernel reads the batch, what was declared public, or what was born inside; it
 * writes only what was born inside; nothing is uploaded and nothing read back. Views cannot evade it, because they share
 * storage, and every op ends where kernels are launched.
 */
export class World {
	readonly #start: number;
	readonly #open: ReadonlySet<Storage>;

	/** `start` is the birth of the first storage made inside; `open` is the batch and what is public. */
	constructor(start: number, open: Iterable<Storage>) {
		this.#start = start;
		this.#open = new Set(open);
	}

	/** Whether the program may read this storage. */
	isOpen(storage: Storage): boolean {
		return storage.birth >= this.#start || this.#open.has(storage);
	}

	/** @throws PrivacyError when the program may not touch this storage. */
	check(kernel: string, buffer: string, storage: Storage, access: "read" | "write"): void {
		if (access === "read" ? this.isOpen(storage) : storage.birth >= this.#start) return;
		if (access === "write") {
			throw new PrivacyError("privacy/outside-write", `${kernel} would write ${buffer}, which was made outside of the private program`, {
				op: kernel,
				hint: "a loss computes and returns; state such as running statistics would carry one record to another",
			});
		}
		throw new PrivacyError(
			"privacy/outside-read",
			`${kernel} would read ${buffer}, which is neither this batch, nor public, nor made inside the private program`,
			{ op: kernel, hint: "let encode() return what belongs to the record; public tensors are parameters and buffers of the model" },
		);
	}

	/** Refuses to move data between the host and the program. */
	refuse(op: string, what: string): never {
		throw new PrivacyError("privacy/outside-data", `${op}: ${what} inside a private program`, {
			op,
			hint: "full, zeros, arange and eye make constants on the device; everything about the record comes from encode()",
		});
	}
}
