import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { insecureNoiseForTests, type PlainReport, PlainTrainer, PrivacyEngine, type StepReport, type Trainer } from "@hushgrad/dp";
import { disposeCache, parseConfig, type TrainingRecord, VaultGemmaForCausalLM } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig, NF4Parameter, normalInit, type QuantState, quantizeLinears } from "@hushgrad/nn";
import { type Device, type DropoutKey, foldIn, key, normalValues } from "@hushgrad/tensor";

/** What is predicted: a model, and how it is trained. */
export interface Subject {
	/** config.json of a VaultGemma. */
	readonly config: Readonly<Record<string, unknown>>;
	/** Records of a step, all in one physical batch. */
	readonly batch: number;
	/** Tokens of a record; all are learned. */
	readonly length: number;
	/** Without privacy: what a private step is compared with. */
	readonly plain: boolean;
}

/** The released google/vaultgemma-1b; its config.json differs from the class defaults: no soft-caps, full attention in every layer. */
export const VAULTGEMMA_1B = {
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
	layer_types: Array(26).fill("full_attention"),
	sliding_window: 512,
	max_position_embeddings: 1024,
};

const TINY = fileURLToPath(new URL("../../assets/tiny-vaultgemma", import.meta.url));

/** The configuration of a model: `vaultgemma-1b`, `tiny` (the one of this repository), or that of a directory. */
export function configOf(model: string): Readonly<Record<string, unknown>> {
	if (model === "vaultgemma-1b") return VAULTGEMMA_1B;
	return JSON.parse(readFileSync(`${model === "tiny" ? TINY : model}/config.json`, "utf8")) as Record<string, unknown>;
}

const RANK = 8;
const DROPOUT = 0.05;

/** A weight in four bits, all of whose codes are 0: it takes the place of one whose values nobody reads. */
function blank({ shape, size }: NF4Parameter): QuantState {
	const blocks = Math.ceil(size / 64);
	return {
		packed: new Uint8Array(size / 2),
		absmax: new Uint8Array(blocks),
		nestedAbsmax: new Float32Array(Math.ceil(blocks / 256)),
		nestedMap: new Float32Array(256),
		offset: 0,
		shape,
		blocksize: 64,
		dtype: "BF16",
	};
}

/**
 * A model in NF4 with its embedding in bf16. `isBlank` leaves out what its weights are: for a device that does not compute. Others
 * are drawn.
 */
export function build(device: Device, config: Subject["config"], isBlank: boolean): VaultGemmaForCausalLM {
	const model = new VaultGemmaForCausalLM(parseConfig(config));
	quantizeLinears(model, () => true);
	let n = 0;
	for (const [name, p] of model.namedParameters()) {
		const drawn = () => normalValues(foldIn(key(1), n++), p.size).map((v) => v / Math.sqrt(p.shape[p.shape.length - 1]));
		if (p instanceof NF4Parameter) {
			if (isBlank) p.loadQuantized(device, blank(p));
			else p.load(device, drawn(), "BF16");
		} else if (!name.includes("embed")) normalInit(device, p, foldIn(key(2), n++), 0.1);
		else if (isBlank) p.assign(device.fromHost(new Uint16Array(p.size), p.shape, "bf16"));
		else p.load(device, drawn(), "BF16");
	}
	model.init(device);
	return model;
}

/** The steps of a training run with LoRA on every linear layer. The rate is 0, so that parameters stay as they are, blank ones too. */
export function training(device: Device, { config, batch, length, plain }: Subject, isBlank: boolean): () => Promise<unknown> {
	const model = build(device, config, isBlank);
	applyLora(model, loraConfig({ r: RANK, lora_dropout: DROPOUT, target_modules: "all-linear" }), { device, key: key(3) });
	const optimizer = new AdamW(model.trainableParameters(), { lr: 0 });
	const common = { optimizer, datasetSize: batch, physicalBatchSize: batch, key: key(4) };
	const trainer: Trainer<StepReport | PlainReport> = plain
		? new PlainTrainer({ ...common, batchSize: batch })
		: PrivacyEngine.makePrivate({
				...common,
				model,
				expectedBatchSize: batch,
				targetDelta: 1e-3,
				noiseMultiplier: 1,
				steps: 1000,
				maxGradNorm: 1,
				noise: insecureNoiseForTests(1),
			});
	const vocabulary = model.config.vocab_size;
	const row = (first: number): Int32Array => Int32Array.from({ length }, (_, i) => (7 * i + first) % vocabulary);
	const encode = (i: number) => ({ ids: row(13 * i), targets: row(13 * i + 7), weight: 1 / length });
	const loss = (record: TrainingRecord, dropout?: DropoutKey) => model.loss(record, { dropout });
	return () => trainer.step(encode, loss);
}

/** Reading one token more, greedily, after `context` others: what a token of an answer costs. */
export async function decoding(device: Device, config: Subject["config"], context: number, isBlank: boolean): Promise<() => Promise<void>> {
	const model = build(device, config, isBlank);
	const ids = (count: number) => device.fromHost(new Int32Array(count).fill(3), [count]);
	const before = device.scope(() => {
		const { cache } = model.step(ids(context));
		for (const { k, v } of cache) for (const t of [k, v]) device.keep(t);
		return cache;
	});
	await device.flush();
	return async () => {
		device.scope<void>(() => {
			const { cache } = model.step(ids(1), before);
			disposeCache(cache);
		});
		await device.flush();
	};
}
