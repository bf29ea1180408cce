import type { Module } from "@hushgrad/nn";
import type { DropoutKey, Tensor } from "@hushgrad/tensor";
import type { Memory } from "./cache.ts";
import type { RotaryRows } from "./rotary.ts";

/** A linear layer, plain, quantised or adapted. */
export type Projection = Module & { forward(x: Tensor, dropout?: DropoutKey): Tensor };

/** What one forward pass carries through the layers. */
export interface Pass {
	readonly rotary: RotaryRows;
	/** Randomness of the LoRA dropout; none outside training. */
	readonly dropout?: DropoutKey;
	/** Keys and values of earlier tokens, when generating. */
	readonly memory?: Memory;
}
