import { ValueError } from "./errors.ts";
import { showShape } from "./shape.ts";
import type { Claim } from "./storage.ts";
import { claimOf, type Tensor } from "./tensor.ts";

/** What a device tells about itself, and what it checks. All of it is off when left out. */
export interface DebugOptions {
	/**
	 * 0 to 5, each level more than the one before; 0 when left out. 1: the device, and at its end the tensors still alive;
	 * 2: the time of every kernel, at `close()`, where the device has timestamp queries; 3: every operation with shapes and
	 * live memory; 4: the WGSL of every kernel; 5: the operations of every gradient computation.
	 */
	readonly level?: number | undefined;
	/** Check every result and gradient; the next `device.flush()` throws and names the first operation that is not finite. */
	readonly nan?: boolean | undefined;
	/**
	 * Fill memory with NaN before use, and check at its release the 256 bytes and more behind every tensor; the next
	 * `device.flush()` throws `device/stray-write` where they changed.
	 */
	readonly memory?: boolean | undefined;
	/** Where the text goes; `console.error` when left out. */
	readonly log?: ((text: string) => void) | undefined;
}

/** Reads a setting such as "2" or "1,nan,memory". */
export function parseDebug(text: string | undefined): DebugOptions {
	let options: DebugOptions = {};
	for (const word of (text ?? "").split(",").map((w) => w.trim())) {
		if (word === "") continue;
		if (/^[0-5]$/.test(word)) options = { ...options, level: Number(word) };
		else if (word === "nan" || word === "memory") options = { ...options, [word]: true };
		else throw new ValueError("debug/setting", `HUSHGRAD_DEBUG: "${word}" is none of 0 to 5, nan, memory`);
	}
	return options;
}

/** Tensors made at one place of the program and still alive. */
export interface Leak {
	/** Number of tensors. */
	readonly count: number;
	/** Bytes of their elements together; views of one memory count each. */
	readonly bytes: number;
	/** Element type and shape of one of them, such as "f32 [2, 3]". */
	readonly example: string;
	/** The place: up to four frames of the stack outside of this package, one a line. */
	readonly stack: string;
}

/** Where a tensor was made, and what it is. */
interface Made {
	readonly stack: string;
	readonly bytes: number;
	readonly example: string;
}

/** Remembers where tensors were made. */
export class LeakTracker {
	readonly #made = new Map<Claim, Made>();
	#limit = 1024;

	add(tensor: Tensor): void {
		const { dtype, shape, bytes } = tensor;
		this.#made.set(claimOf(tensor), { stack: wholeStack(), bytes, example: `${dtype} ${showShape(shape)}` });
		if (this.#made.size < this.#limit) return;
		this.#prune();
		this.#limit = Math.max(1024, 2 * this.#made.size);
	}

	/** What is alive, by the place that made it, the largest first. */
	report(): Leak[] {
		this.#prune();
		const places = new Map<string, Made[]>();
		for (const made of this.#made.values()) {
			const place = callers(made.stack, 4);
			places.set(place, [...(places.get(place) ?? []), made]);
		}
		return [...places]
			.map(([stack, all]) => ({ count: all.length, bytes: all.reduce((sum, m) => sum + m.bytes, 0), example: all[0].example, stack }))
			.sort((a, b) => b.bytes - a.bytes);
	}

	#prune(): void {
		for (const claim of this.#made.keys()) if (claim.released) this.#made.delete(claim);
	}
}

/** The stack of the caller beyond the ten frames that V8 stops at, which may all lie inside of this package. */
function wholeStack(): string {
	const before = Error.stackTraceLimit;
	Error.stackTraceLimit = 50;
	try {
		return new Error().stack ?? "";
	} finally {
		Error.stackTraceLimit = before;
	}
}

/** The first frames of a stack that lie outside of this package. */
export function callers(stack: string, most: number): string {
	const frames = stack.split("\n").slice(1);
	const outside = frames.findIndex((f) => /[\\/]\S+:\d+/.test(f) && !/[\\/]tensor[\\/](src|dist)[\\/]/.test(f));
	return (outside < 0 ? frames : frames.slice(outside, outside + most)).join("\n");
}

/** The leaks as text. */
export function showLeaks(leaks: readonly Leak[]): string {
	const head = `${leaks.reduce((n, l) => n + l.count, 0)} tensors are still alive`;
	return [head, ...leaks.map((l) => `  ${l.count} x ${l.example}, ${l.bytes} bytes, made\n${l.stack}`)].join("\n");
}
