import { Module, RMSNorm } from "@hushgrad/nn";
import type { Tensor } from "@hushgrad/tensor";
import { VaultGemmaAttention } from "./attention.ts";
import type { VaultGemmaConfig } from "./config.ts";
import { VaultGemmaMLP } from "./mlp.ts";
import type { Pass, Passed } from "./pass.ts";

/** One transformer block: h = x + Attn(RMS(x)); y = h + MLP(RMS(h)). No post-norms. */
export class VaultGemmaDecoderLayer extends Module {
	readonly self_attn: VaultGemmaAttention;
	readonly mlp: VaultGemmaMLP;
	readonly input_layernorm: RMSNorm;
	readonly pre_feedforward_layernorm: RMSNorm;

	constructor(config: VaultGemmaConfig, layer: number) {
		super();
		this.self_attn = new VaultGemmaAttention(config, layer);
		this.mlp = new VaultGemmaMLP(config);
		this.input_layernorm = new RMSNorm(config.hidden_size, { eps: config.rms_norm_eps, offset: 1 });
		this.pre_feedforward_layernorm = new RMSNorm(config.hidden_size, { eps: config.rms_norm_eps, offset: 1 });
	}

	forward(x: Tensor, pass: Pass): Passed {
		const { y: h, seen } = this.self_attn.call(this.input_layernorm.call(x), x, pass);
		return { y: this.mlp.call(this.pre_feedforward_layernorm.call(h), h, pass), seen };
	}
}
