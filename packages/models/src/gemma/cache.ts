import { cat, type Tensor } from "@hushgrad/tensor";

/** Keys and values of one layer, [G, S, K], S tokens. */
export interface KeysAndValues {
	readonly k: Tensor;
	readonly v: Tensor;
}

/**
 * Keys and values of the tokens seen so far, one entry a layer: a plain value, which a step takes and gives. So a step
 * can run inside `vmap`, on one cache a record. Empty before the first token.
 */
export type KVCache = readonly KeysAndValues[];

/** Number of tokens in a cache. */
export const cachedTokens = (cache: KVCache): number => cache[0]?.k.shape[1] ?? 0;

/** The cache of one pass: what it was given, and what it makes of it. */
export class Memory {
	readonly #before: KVCache;
	readonly #after: KeysAndValues[] = [];

	constructor(before: KVCache) {
		this.#before = before;
	}

	/** Appends the keys and values of new tokens; returns those of all tokens. */
	append(layer: number, now: KeysAndValues): KeysAndValues {
		const old = this.#before[layer];
		const all = old === undefined ? now : { k: cat([old.k, now.k], 1), v: cat([old.v, now.v], 1) };
		this.#after[layer] = all;
		return all;
	}

	/** The cache after the pass. */
	get cache(): KVCache {
		return this.#after;
	}
}
