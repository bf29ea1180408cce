import { cat, Tensor } from "@hushgrad/tensor";
import { expects, type Kind } from "@hushgrad/tensor/author";

/** Keys and values of one layer for S tokens: G key heads of size K. */
export interface KeysAndValues {
	/** Keys, rotated by their positions: f32 `[G, S, K]`. */
	readonly k: Tensor;
	/** Values: f32 `[G, S, K]`. */
	readonly v: Tensor;
}

/**
 * Keys and values of the tokens seen so far, one entry a layer: a plain value, which a step takes and gives. So a step can run
 * inside `vmap`, on one cache a record. Empty before the first token. Tokens that have left a sliding window stay in it.
 */
export type KVCache = readonly KeysAndValues[];

const isPart = (v: unknown): boolean => v instanceof Tensor && v.rank === 3;
const isEntry = (v: unknown): boolean => typeof v === "object" && v !== null && "k" in v && isPart(v.k) && "v" in v && isPart(v.v);

/** What is a cache. */
export const CACHE: Kind = [(v) => Array.isArray(v) && v.every(isEntry), "a cache, as step() gives"];

/** Number of tokens in a cache: S, 0 for an empty one. */
export function cachedTokens(cache: KVCache): number {
	expects("cachedTokens", { cache }, { cache: CACHE });
	return cache[0]?.k.shape[1] ?? 0;
}

/** The keys and values of all tokens: of those before, and of new ones. */
export function joined(before: KeysAndValues | undefined, now: KeysAndValues): KeysAndValues {
	return before === undefined ? now : { k: cat([before.k, now.k], 1), v: cat([before.v, now.v], 1) };
}

/** Releases the tensors of a cache. */
export function disposeCache(cache: KVCache): void {
	expects("disposeCache", { cache }, { cache: CACHE });
	for (const { k, v } of cache) {
		k.dispose();
		v.dispose();
	}
}
