import { ValueError } from "./errors.ts";
import { Physical } from "./physical.ts";
import { isPlainObject } from "./records.ts";
import { refused } from "./shown.ts";
import type { Storage } from "./storage.ts";
import { Tensor } from "./tensor.ts";

/** Refuses functions that are async: nothing is a value of both types. */
export type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

/** What a scope owns: handles, and storage that has no handle yet. */
export type Owned = Tensor | Storage;

/** The nested scopes of a device: each owns what is made inside it. */
export class ScopeStack {
	readonly #scopes: Set<Owned>[] = [];
	readonly #outside: (tensor: Tensor) => void;

	/** `outside` is told of tensors that no scope owns. */
	constructor(outside: (tensor: Tensor) => void) {
		this.#outside = outside;
	}

	/** Whether there is one. */
	get isOpen(): boolean {
		return this.#scopes.length > 0;
	}

	/** Registers with the innermost scope. */
	add(owned: Owned): void {
		this.#pass(owned, this.#scopes.at(-1));
	}

	/** Takes something out of the scope that owns it; says whether one did. */
	remove(owned: Owned): boolean {
		for (let i = this.#scopes.length - 1; i >= 0; i--) if (this.#scopes[i].delete(owned)) return true;
		return false;
	}

	/** Runs `fn` and releases what was made inside, but for what it took out. */
	runThrough<T>(fn: () => T): T {
		const scope = new Set<Owned>();
		this.#scopes.push(scope);
		try {
			return fn();
		} finally {
			this.#scopes.pop();
			for (const t of scope) t.dispose();
		}
	}

	/** Runs `fn` and releases what was made inside; what it returns passes to the enclosing scope. `op` names the caller in errors. */
	run<T>(fn: () => T, op: string): T {
		if (typeof fn !== "function") throw refused(op, "fn", fn, "a function");
		return this.runThrough(() => {
			const result = fn();
			if (isLate(result)) {
				throw new ValueError("scope/async", `${op}: the function is async or a generator; its tensors would be released while it waits`, {
					op,
					hint: "record the operations synchronously inside the scope, and await data() outside",
				});
			}
			const survivors = new Set<Owned>();
			collect(result, survivors);
			const scope = this.#scopes[this.#scopes.length - 1];
			for (const t of survivors) {
				if (scope.delete(t)) this.#pass(t, this.#scopes.at(-2));
			}
			return result;
		});
	}

	#pass(owned: Owned, scope: Set<Owned> | undefined): void {
		if (scope !== undefined) scope.add(owned);
		else if (owned instanceof Tensor) this.#outside(owned);
	}
}

/** The tensors in a value: itself, or those in arrays, maps and plain objects, at any depth; not in other objects or sets. */
export function tensorsIn(value: unknown): Set<Tensor> {
	const found = new Set<Owned>();
	collect(value, found);
	return new Set([...found].filter((t): t is Tensor => t instanceof Tensor));
}

/**
 * Whether what makes a value would run after it was returned: a promise, an object with a `then`, a generator. Whoever asks
 * refuses it, so that nobody needs to be told where the promise fails.
 */
function isLate(value: unknown): boolean {
	if (typeof (value as { then?: unknown } | null | undefined)?.then === "function") {
		Promise.resolve(value).catch(() => {});
		return true;
	}
	return /Generator\]$/.test(Object.prototype.toString.call(value));
}

/** Whether a value, or anything in its arrays, maps and plain objects, at any depth, is late in that sense. */
export function holdsLate(value: unknown): boolean {
	let found = false;
	visit(value, (v) => {
		found = isLate(v) || found;
	});
	return found;
}

function collect(value: unknown, into: Set<Owned>): void {
	visit(value, (v) => {
		if (v instanceof Tensor) into.add(v);
		else if (v instanceof Physical) into.add(v.storage);
	});
}

/** Shows `see` a value and all that its arrays, maps and plain objects hold, at any depth. */
function visit(value: unknown, see: (value: unknown) => void): void {
	see(value);
	if (Array.isArray(value)) for (const v of value) visit(v, see);
	else if (value instanceof Map) for (const v of value.values()) visit(v, see);
	else if (isPlainObject(value)) for (const v of Object.values(value)) visit(v, see);
}
