import { cat, type Tensor } from "@hushgrad/tensor";

/** Keys and values of one layer, [B, G, S, K], growing along S. */
interface Entry {
	readonly k: Tensor;
	readonly v: Tensor;
}

/** Keys and values of the tokens seen so far, one entry a layer. Release it with `dispose`. */
export class KVCache {
	readonly #layers: (Entry | undefined)[];

	constructor(layers: number) {
		this.#layers = new Array(layers).fill(undefined);
	}

	/** Number of tokens cached. */
	get length(): number {
		return this.#layers[0]?.k.shape[2] ?? 0;
	}

	/** Appends the keys and values of new tokens; returns those of all tokens. */
	append(layer: number, k: Tensor, v: Tensor): Entry {
		const old = this.#layers[layer];
		const join = (before: Tensor | undefined, now: Tensor) => k.device.keep(cat(before === undefined ? [now] : [before, now], 2));
		const entry = { k: join(old?.k, k), v: join(old?.v, v) };
		old?.k.dispose();
		old?.v.dispose();
		this.#layers[layer] = entry;
		return entry;
	}

	dispose(): void {
		for (const entry of this.#layers) {
			entry?.k.dispose();
			entry?.v.dispose();
		}
		this.#layers.fill(undefined);
	}
}
