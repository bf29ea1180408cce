import { Linear, Module } from "@hushgrad/nn";
import { geglu, type Tensor } from "@hushgrad/tensor";
import type { VaultGemmaConfig } from "./config.ts";
import type { Pass, Projection } from "./pass.ts";

/** Gated feed-forward: down(gelu_tanh(gate(x)) * up(x)). */
export class VaultGemmaMLP extends Module {
	readonly gate_proj: Projection;
	readonly up_proj: Projection;
	readonly down_proj: Projection;

	constructor({ hidden_size, intermediate_size }: VaultGemmaConfig) {
		super();
		this.gate_proj = new Linear(hidden_size, intermediate_size, { bias: false });
		this.up_proj = new Linear(hidden_size, intermediate_size, { bias: false });
		this.down_proj = new Linear(intermediate_size, hidden_size, { bias: false });
	}

	forward(x: Tensor, { dropout }: Pass): Tensor {
		return this.down_proj.call(geglu(this.gate_proj.call(x, dropout), this.up_proj.call(x, dropout)), dropout);
	}
}
