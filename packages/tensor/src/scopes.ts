import { ValueError } from "./errors.ts";
import { Tensor } from "./tensor.ts";

/** Values that may leave a scope: tensors, and arrays, maps and plain objects of them. */
export type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

/** The nested scopes of a device: each owns the tensors made inside it. */
export class ScopeStack {
	readonly #scopes: Set<Tensor>[] = [];

	/** Registers a handle with the innermost scope. */
	add(tensor: Tensor): void {
		this.#scopes.at(-1)?.add(tensor);
	}

	/** Takes a handle out of every scope. */
	remove(tensor: Tensor): void {
		for (const scope of this.#scopes) scope.delete(tensor);
	}

	/** Runs `fn` and releases what was made inside; what it returns passes to the enclosing scope. */
	run<T>(fn: () => NotPromise<T>): T {
		const scope = new Set<Tensor>();
		this.#scopes.push(scope);
		try {
			const result = fn();
			if (typeof (result as { then?: unknown } | undefined)?.then === "function") {
				throw new ValueError("scope/async", "scope: the function is async; its tensors would be released while it waits", {
					op: "scope",
					hint: "record the operations synchronously inside the scope, and await data() outside",
				});
			}
			const survivors = new Set<Tensor>();
			collect(result, survivors);
			for (const t of survivors) {
				if (scope.delete(t)) this.#scopes.at(-2)?.add(t);
			}
			return result;
		} finally {
			this.#scopes.pop();
			for (const t of scope) t.dispose();
		}
	}
}

/** The tensors in a value: itself, or in arrays, maps and plain objects. */
export function tensorsIn(value: unknown): Set<Tensor> {
	const found = new Set<Tensor>();
	collect(value, found);
	return found;
}

function collect(value: unknown, into: Set<Tensor>): void {
	if (value instanceof Tensor) into.add(value);
	else if (Array.isArray(value)) for (const v of value) collect(v, into);
	else if (value instanceof Map) for (const v of value.values()) collect(v, into);
	else if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
		for (const v of Object.values(value)) collect(v, into);
	}
}
