import { callOnto, callTogether, Linear, Module, placeWeightsTogether } from "@hushgrad/nn";
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

	/** The residual `onto` and what the layer makes of x. */
	forward(x: Tensor, onto: Tensor, { dropout }: Pass): Tensor {
		const [gate, up] = callTogether([this.gate_proj, this.up_proj], x, dropout);
		return callOnto(onto, this.down_proj, geglu(gate, up), dropout);
	}

	/** Puts weights that are used together next to each other. */
	placeWeights(): void {
		placeWeightsTogether([this.gate_proj, this.up_proj]);
	}
}
