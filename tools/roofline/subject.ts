import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
	insecureNoiseForTests,
	type PlainReport,
	PlainTrainer,
	PrivacyEngine,
	type ReplayMode,
	type StepReport,
	type Trainer,
} from "@hushgrad/dp";
import { parseConfig, StaticCache, type TrainingRecord, VaultGemmaForCausalLM } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig, NF4Parameter, normalInit, type Parameter, type QuantState, quantizeLinears } from "@hushgrad/nn";
import { type Device, type DropoutKey, foldIn, key, normalValues } from "@hushgrad/tensor";
import { refuse } from "../flags.mjs";

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
	const path = `${model === "tiny" ? TINY : model}/config.json`;
	if (!existsSync(path)) refuse(`--model is ${model}, expected vaultgemma-1b, tiny, or a folder with a config.json`);
	return JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
}

const RANK = 8;
const DROPOUT = 0.05;

/** What a model's weights are: nothing, for a device that does not compute, or numbers of about the size that they have. */
export type Contents = "blank" | "random";

/** Bytes that are filled again and again: a model of a billion numbers is to be had in seconds. */
const TABLE = Buffer.from(
	Uint32Array.from({ length: 2 ** 18 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(i + 7, 0x85ebca6b)).buffer,
);
/** Numbers around 0 whose standard deviation is 1. */
const NORMALS = normalValues(key(1), 2 ** 20);

const bytes = (length: number, contents: Contents): Uint8Array =>
	contents === "blank" ? new Uint8Array(length) : new Uint8Array(Buffer.alloc(length, TABLE).buffer, 0, length);

/** A weight in four bits, all of whose codes are 0 or all equally likely, with a scale that keeps the sum over a row near 1. */
function quantized({ shape, size }: NF4Parameter, contents: Contents): QuantState {
	const blocks = Math.ceil(size / 64);
	const scale = 1.5 / Math.sqrt(shape[shape.length - 1]);
	return {
		packed: bytes(size / 2, contents),
		absmax: bytes(blocks, contents),
		nestedAbsmax: new Float32Array(Math.ceil(blocks / 256)).fill(0.3 * scale),
		nestedMap: Float32Array.from({ length: 256 }, (_, i) => (i - 127.5) / 127.5),
		offset: scale,
		shape,
		blocksize: 64,
		dtype: "BF16",
	};
}

/**
 * bf16 rows whose squares add up to about 1, as those of trained models: logits are then of the size of 1. With larger ones most
 * probabilities are so small that a processor computes their products some fifty times slower.
 */
function embedding({ shape, size }: Parameter, contents: Contents): Uint16Array {
	const values = new Uint16Array(size);
	if (contents === "blank") return values;
	const scale = 1 / Math.sqrt(shape[1]);
	const table = Uint16Array.from(NORMALS, (v) => new Uint32Array(Float32Array.of(v * scale).buffer)[0] >>> 16);
	for (let at = 0; at < size; at += table.length) values.set(table.subarray(0, size - at), at);
	return values;
}

/** A model in NF4 with its embedding in bf16. */
export function build(device: Device, config: Subject["config"], contents: Contents): VaultGemmaForCausalLM {
	const model = new VaultGemmaForCausalLM(parseConfig(config));
	quantizeLinears(model, () => true);
	let n = 0;
	for (const [name, p] of model.namedParameters()) {
		if (p instanceof NF4Parameter) p.loadQuantized(device, quantized(p, contents));
		else if (name.includes("embed")) p.assign(device.fromHost(embedding(p, contents), p.shape, "bf16"));
		else normalInit(device, p, foldIn(key(2), n++), 0.1);
	}
	model.init(device);
	return model;
}

/**
 * Training with LoRA on every linear layer: gives runs of it, each as its steps; a run ends the one before. The rate is 0, so that parameters stay as they are,
 * blank ones too. Noise is drawn in earnest only where a step is run.
 */
export function training(
	device: Device,
	{ config, batch, length, plain }: Subject,
	contents: Contents,
): (replay?: ReplayMode) => () => Promise<unknown> {
	const model = build(device, config, contents);
	applyLora(model, loraConfig({ r: RANK, lora_dropout: DROPOUT, target_modules: "all-linear" }), { device, key: key(3) });
	const vocabulary = model.config.vocab_size;
	const row = (first: number): Int32Array => Int32Array.from({ length }, (_, i) => (7 * i + first) % vocabulary);
	const encode = (i: number) => ({ ids: row(13 * i), targets: row(13 * i + 7), weight: 1 / length });
	const loss = (record: TrainingRecord, dropout?: DropoutKey) => model.loss(record, { dropout });
	let optimizer: AdamW | undefined;
	return (replay = "checked") => {
		optimizer?.dispose();
		optimizer = new AdamW(model.trainableParameters(), { lr: 0 });
		const common = { optimizer, datasetSize: batch, physicalBatchSize: batch, key: key(4), replay };
		const trainer: Trainer<StepReport | PlainReport> = plain
			? new PlainTrainer({ ...common, batchSize: batch })
			: PrivacyEngine.makePrivate({
					...common,
					model,
					expectedBatchSize: batch,
					targetDelta: 1e-3,
					noiseMultiplier: 20,
					steps: 1000,
					maxGradNorm: 1,
					...(contents === "blank" ? { noise: insecureNoiseForTests(1) } : {}),
				});
		return () => trainer.step(encode, loss);
	};
}

/** Reading one token more, greedily, after `context` others: what a token of an answer costs. */
export async function decoding(
	device: Device,
	config: Subject["config"],
	context: number,
	contents: Contents,
): Promise<() => Promise<void>> {
	const model = build(device, config, contents);
	const ids = (count: number) => device.fromHost(new Int32Array(count).fill(3), [count]);
	const room = device.scope(() => new StaticCache(model.step(ids(context)).cache, context + 1));
	const id = device.keep(ids(1));
	await device.flush();
	return async () => {
		room.length = context;
		const logits = device.scope(() => device.keep(model.decode(id, room)));
		await device.flush();
		logits.dispose();
	};
}
