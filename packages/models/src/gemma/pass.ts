import type { Module } from "@hushgrad/nn";
import type { DropoutKey, Tensor } from "@hushgrad/tensor";
import type { KeysAndValues, KVCache } from "./cache.ts";
import type { RotaryRows } from "./rotary.ts";

/** A linear layer, plain, quantised or adapted. */
export type Projection = Module & { forward(x: Tensor, dropout?: DropoutKey): Tensor };

/** What one forward pass carries through the layers. */
export interface Pass {
	readonly rotary: RotaryRows;
	/** Randomness of the LoRA dropout; none outside training. */
	readonly dropout?: DropoutKey | undefined;
	/** Keys and values of earlier tokens, when generating. */
	readonly before?: KVCache | undefined;
}

/** What a layer gives. */
export interface Passed {
	readonly y: Tensor;
	/** Keys and values of all tokens so far, when generating. */
	readonly seen: KeysAndValues | undefined;
}
