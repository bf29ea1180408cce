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

/** The keys and values of all tokens: of those before, and of new ones. */
export function joined(before: KeysAndValues | undefined, now: KeysAndValues): KeysAndValues {
	return before === undefined ? now : { k: cat([before.k, now.k], 1), v: cat([before.v, now.v], 1) };
}

/** Releases a cache. */
export function disposeCache(cache: KVCache): void {
	for (const { k, v } of cache) {
		k.dispose();
		v.dispose();
	}
}
