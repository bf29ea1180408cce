import { parseConfig, VaultGemmaForCausalLM } from "@hushgrad/models";
import { applyLora, loraConfig, NF4Parameter, normalInit, quantizeLinears } from "@hushgrad/nn";
import { type Device, key, normalValues } from "@hushgrad/tensor";

/** Sizes of a model. */
export interface ModelSizes {
	readonly hidden: number;
	readonly layers: number;
	/** Tokens, at most. */
	readonly length: number;
	readonly vocabulary: number;
}

/** A VaultGemma of random weights in NF4, with LoRA (r = 8) on all its projections. */
export function loraModel(device: Device, { hidden, layers, length, vocabulary }: ModelSizes): VaultGemmaForCausalLM {
	const config = parseConfig({
		model_type: "vaultgemma",
		vocab_size: vocabulary,
		hidden_size: hidden,
		intermediate_size: 4 * hidden,
		num_hidden_layers: layers,
		num_attention_heads: 4,
		num_key_value_heads: 4,
		head_dim: hidden / 4,
		query_pre_attn_scalar: hidden / 4,
		attn_logit_softcapping: null,
		final_logit_softcapping: null,
		layer_types: new Array(layers).fill("full_attention"),
		max_position_embeddings: length,
	});
	const model = new VaultGemmaForCausalLM(config);
	quantizeLinears(model);
	for (const [, p] of model.namedParameters()) {
		const weights = () => normalValues(key(1), p.size).map((v) => v / Math.sqrt(p.shape[1]));
		if (p instanceof NF4Parameter) p.load(device, weights());
		else normalInit(device, p, key(2), 0.1);
	}
	model.init(device);
	applyLora(model, loraConfig({ r: 8, lora_dropout: 0.05, target_modules: "all-linear" }), { device, key: key(3) });
	return model;
}
