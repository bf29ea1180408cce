import type { Module } from "@hushgrad/nn";
import type { DropoutKey, Tensor } from "@hushgrad/tensor";
import type { KeysAndValues, KVCache } from "./cache.ts";
import type { RotaryRows } from "./rotary.ts";
import type { StaticCache } from "./staticCache.ts";

/** A linear layer, plain, quantised or adapted. */
export type Projection = Module & { forward(x: Tensor, dropout?: DropoutKey): Tensor };

/** What one forward pass carries through the layers. */
export interface Pass {
	/** Angles of the tokens' positions; of all positions with `into`. */
	readonly rotary: RotaryRows;
	/** Randomness of the LoRA dropout; none outside training. */
	readonly dropout?: DropoutKey | undefined;
	/** Keys and values of earlier tokens, when generating. */
	readonly before?: KVCache | undefined;
	/** In their place: a cache that the one token read is written into. */
	readonly into?: StaticCache | undefined;
}

/** What a layer gives. */
export interface Passed {
	readonly y: Tensor;
	/** Keys and values of all tokens so far, when generating. */
	readonly seen: KeysAndValues | undefined;
}
