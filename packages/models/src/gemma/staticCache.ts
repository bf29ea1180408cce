import { assign, type Device, slice, type Tensor, tensor, ValueError, write, zeros } from "@hushgrad/tensor";
import { expects, instanceOf, type Kind } from "@hushgrad/tensor/author";
import { CACHE, cachedTokens, type KeysAndValues, type KVCache } from "./cache.ts";

/**
 * Keys and values with room for more tokens, which are written in place: transformers' StaticCache. What reads and writes it can be captured
 * (see `capture`) and replayed for token after token. Its memory is its own until `dispose`.
 */
export class StaticCache {
	/** Keys and values of each layer, f32 `[G, capacity, K]`; what lies behind `length` means nothing. */
	readonly layers: KVCache;
	/** Tokens that there is room for. */
	readonly capacity: number;
	/** Position of the token that is read next: i32 `[1]`. */
	readonly position: Tensor;
	#length: number;

	/**
	 * A copy of a cache, with room for `capacity` tokens in all.
	 * @throws ValueError for an empty cache, and for a capacity below its length.
	 */
	constructor(cache: KVCache, capacity: number) {
		expects("StaticCache", { cache, capacity }, { cache: CACHE, capacity: "count" });
		const length = cachedTokens(cache);
		if (length === 0 || capacity < length) {
			throw new ValueError("cache/capacity", `StaticCache: room for ${capacity} tokens, for a cache of ${length}`, {
				op: "StaticCache",
				hint: length === 0 ? "read the prompt with model.step first" : "the capacity counts the tokens that are there",
			});
		}
		const { device } = cache[0].k;
		this.layers = cache.map(({ k, v }) => ({ k: withRoom(device, k, capacity), v: withRoom(device, v, capacity) }));
		this.capacity = capacity;
		this.position = device.keep(tensor(device, Int32Array.of(length)));
		this.#length = length;
	}

	/** Tokens in it: what comes next is read at this position. */
	get length(): number {
		return this.#length;
	}

	/**
	 * Sets the number of tokens in it, after one was read or to read some anew.
	 * @throws ValueError unless it is a whole number from 0 to the capacity.
	 */
	set length(length: number) {
		const { capacity } = this;
		expects(
			"StaticCache",
			{ length },
			{ length: [(v) => v === length && Number.isInteger(v) && length >= 0 && length <= capacity, `0 to ${capacity}`] },
		);
		this.#length = length;
		write(this.position, [length]);
	}

	/** The tokens in it, as views of the innermost scope. */
	entries(): KVCache {
		return this.layers.map(({ k, v }): KeysAndValues => ({ k: slice(k, 1, 0, this.#length), v: slice(v, 1, 0, this.#length) }));
	}

	/** Releases its memory. */
	dispose(): void {
		for (const t of [this.position, ...this.layers.flatMap(({ k, v }) => [k, v])]) t.dispose();
	}
}

/** What is a cache with room. */
export const STATIC_CACHE: Kind = instanceOf(StaticCache, "a StaticCache");

/** x [G, S, K] as the first rows of [G, capacity, K]. */
function withRoom(device: Device, x: Tensor, capacity: number): Tensor {
	const [G, S, K] = x.shape;
	const y = device.keep(zeros(device, [G, capacity, K]));
	device.scope(() => assign(slice(y, 1, 0, S), x));
	return y;
}
