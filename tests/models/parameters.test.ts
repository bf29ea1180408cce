import { parseConfig, VaultGemmaForCausalLM } from "@hushgrad/models";
import { applyLora, countParameters, loraConfig, quantizeLinears, trainableParametersLine } from "@hushgrad/nn";
import { describe, expect, it } from "vitest";
import { VAULTGEMMA_1B } from "../../tools/roofline/subject.ts";

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
