import { parseConfig, VaultGemmaForCausalLM } from "@hushgrad/models";
import { applyLora, countParameters, loraConfig, quantizeLinears, trainableParametersLine } from "@hushgrad/nn";
import { describe, expect, it } from "vitest";

/** The released google/vaultgemma-1b; its config.json differs from the class defaults. */
const VAULTGEMMA_1B = {
	model_type: "vaultgemma",
	vocab_size: 256000,
	hidden_size: 1152,
	intermediate_size: 6912,
	num_hidden_layers: 26,
	num_attention_heads: 4,
	num_key_value_heads: 4,
	head_dim: 256,
	query_pre_attn_scalar: 256,
	attn_logit_softcapping: null,
	final_logit_softcapping: null,
	layer_types: new Array(26).fill("full_attention"),
	sliding_window: 512,
	max_position_embeddings: 1024,
};
const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/** No device is asked for in this file: nothing can be allocated. */
describe("VaultGemma 1B, built without its weights", () => {
	it("has the published number of parameters and transformers' names", () => {
		const model = new VaultGemmaForCausalLM(parseConfig(VAULTGEMMA_1B));
		expect(countParameters(model)).toEqual({ trainable: 1_038_741_120, all: 1_038_741_120 });
		const names = [...model.namedParameters()].map(([path]) => path);
		expect(names.length).toBe(236);
		expect(names).toContain("model.layers.25.pre_feedforward_layernorm.weight");
	});

	it("prints peft's line for LoRA r = 8 over NF4", () => {
		const model = new VaultGemmaForCausalLM(parseConfig(VAULTGEMMA_1B));
		quantizeLinears(model);
		const layers = applyLora(model, loraConfig({ r: 8, lora_alpha: 16, lora_dropout: 0.05, target_modules: PROJECTIONS }));
		expect(trainableParametersLine(model)).toBe("trainable params: 6,842,368 || all params: 1,045,583,488 || trainable%: 0.6544");
		expect(layers.size).toBe(182);
		expect(model.trainableParameters().size).toBe(364);
		expect([...model.trainableParameters().values()].some((p) => p.hasValue)).toBe(false);
	});

	it("prints the module tree as PyTorch does", () => {
		const tree = String(new VaultGemmaForCausalLM(parseConfig(VAULTGEMMA_1B)));
		expect(tree).toContain("  (model): VaultGemmaModel(\n    (embed_tokens): Embedding(256000, 1152, padding_idx=0)\n");
		expect(tree).toContain("(0-25): 26 x VaultGemmaDecoderLayer(");
		expect(tree).toContain("(q_proj): Linear(in_features=1152, out_features=1024, bias=False)");
	});
});
