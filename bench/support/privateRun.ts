import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { insecureNoiseForTests, PrivacyEngine, type StepReport } from "@hushgrad/dp";
import { fromPretrained, parseConfig, type TrainingRecord, VaultGemmaForCausalLM } from "@hushgrad/models";
import { AdamW, applyLora, encodeSafetensors, loraConfig, type TensorData } from "@hushgrad/nn";
import { type Device, type DropoutKey, foldIn, key, normalValues } from "@hushgrad/tensor";

/* What is measured. Numbers of different versions compare as long as these constants stay. */

export const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
/** Layers and adapted projections for a number of trainable tensors: two (A and B) for each adapted layer. */
export const CONFIGURATIONS: Readonly<Record<number, { readonly layers: number; readonly targets: readonly string[] }>> = {
	12: { layers: 1, targets: PROJECTIONS.slice(0, 6) },
	42: { layers: 3, targets: PROJECTIONS },
	364: { layers: 26, targets: PROJECTIONS },
};
export const RANK = 4;
export const DROPOUT = 0.05;
const VOCAB = 101;
/** One record: 24 tokens, the last 4 of which are learned. */
export const LENGTH = 24;
export const LEARNED = 4;
/** Sampling rate 1: the batch is always all 8 records, that is two physical batches of 4. */
export const RECORDS = 8;
export const ROWS = 4;
/** The plan's steps set the noise multiplier, so they are fixed, however many steps are taken. */
const PLANNED_STEPS = 50;

/** A tiny VaultGemma of `layers` layers with everything the real one has: soft-caps, windows, grouped heads. */
const configOf = (layers: number) => ({
	model_type: "vaultgemma",
	vocab_size: VOCAB,
	hidden_size: 32,
	intermediate_size: 64,
	num_hidden_layers: layers,
	num_attention_heads: 2,
	num_key_value_heads: 1,
	head_dim: 16,
	query_pre_attn_scalar: 16,
	attn_logit_softcapping: 5.0,
	final_logit_softcapping: 3.0,
	layer_types: Array.from({ length: layers }, (_, i) => (i % 2 === 0 ? "sliding_attention" : "full_attention")),
	sliding_window: 8,
	max_position_embeddings: 64,
	rms_norm_eps: 1e-6,
	rope_theta: 500,
	pad_token_id: 0,
	bos_token_id: 2,
	eos_token_id: 1,
});

/** Token `i` of record `r`. */
const idOf = (r: number, i: number): number => (i * 7 + r * 13 + 3) % VOCAB;

/** Writes a checkpoint of random weights (normal, by key 42), loads it in NF4 and puts LoRA on it. */
async function openModel(device: Device, tensors: number, dropout: number): Promise<VaultGemmaForCausalLM> {
	const { layers, targets } = CONFIGURATIONS[tensors];
	const config = configOf(layers);
	const weights = new Map<string, TensorData>();
	let n = 0;
	for (const [name, { shape, size }] of new VaultGemmaForCausalLM(parseConfig(config)).namedParameters()) {
		const std = name.includes("norm") ? 0.2 : name.includes("embed") ? 0.45 : 2 / Math.sqrt(shape[1]);
		const values = normalValues(foldIn(key(42), n++), size).map((z) => std * z);
		weights.set(name, { dtype: "F32", shape, data: values });
	}
	const directory = mkdtempSync(join(tmpdir(), "hushgrad-"));
	try {
		writeFileSync(join(directory, "config.json"), JSON.stringify(config));
		writeFileSync(join(directory, "model.safetensors"), Buffer.concat(encodeSafetensors(weights)));
		const model = await fromPretrained(directory, { device, quantization: "nf4" });
		applyLora(model, loraConfig({ r: RANK, lora_dropout: dropout, target_modules: targets }), { device, key: key(1) });
		const found = model.trainableParameters().size;
		if (found !== tensors) throw new Error(`${found} trainable tensors, expected ${tensors}`);
		return model;
	} finally {
		rmSync(directory, { recursive: true });
	}
}

/** Record number r: `length` tokens, of which the last `learned` are learned; its loss is their mean. */
export function recordOf(r: number, { length, learned }: { readonly length: number; readonly learned: number }) {
	const first = length - learned;
	const row = (width: number, value: (i: number) => number): Int32Array => Int32Array.from({ length: width }, (_, i) => value(i));
	return {
		ids: row(length, (i) => idOf(r, i)),
		targets: row(learned, (i) => idOf(r, first + i)),
		positions: row(learned, (i) => first - 1 + i),
		weight: 1 / learned,
	};
}

/** A private run on the tiny model; `step` takes one step. */
export async function privateRun(device: Device, tensors: number, dropout: number) {
	const model = await openModel(device, tensors, dropout);
	const parameters = model.trainableParameters();
	const engine = PrivacyEngine.makePrivateWithEpsilon({
		optimizer: new AdamW(parameters, { lr: 1e-3 }),
		model,
		datasetSize: RECORDS,
		expectedBatchSize: RECORDS,
		physicalBatchSize: ROWS,
		targetEpsilon: 8,
		targetDelta: 1e-3,
		steps: PLANNED_STEPS,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(1),
		key: key(2),
	});
	const encode = (r: number) => recordOf(r, { length: LENGTH, learned: LEARNED });
	const loss = (record: TrainingRecord, masks?: DropoutKey) => model.loss(record, { dropout: masks });
	const step = (): Promise<StepReport> => engine.step(encode, loss);
	return { parameters, engine, step };
}
