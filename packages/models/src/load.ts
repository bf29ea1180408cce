import { join } from "node:path";
import {
	baseParameters,
	encodeSafetensors,
	type Module,
	quantizeLinears,
	type SafetensorsDType,
	type TensorData,
	toFloat32,
} from "@hushgrad/nn";
import { type Device, data, FormatError } from "@hushgrad/tensor";
import { type Checkpoint, openCheckpoint } from "./files/checkpoint.ts";
import { writeFileAtomic } from "./files/write.ts";
import { readConfig } from "./gemma/config.ts";
import { VaultGemmaForCausalLM } from "./gemma/model.ts";
import { deviceOf } from "./generate.ts";

/** How `fromPretrained` loads a model. */
export interface LoadOptions {
	/** Where the weights go. */
	readonly device: Device;
	/** Hold the linear layers in 4 bits (NF4, double quantisation; Dettmers et al. 2023); in f32 when left out. */
	readonly quantization?: "nf4" | undefined;
}

const FLOATS = ["F32", "F16", "BF16"];
/** Tied to the embedding in this family; some writers store it all the same. */
const TIED = "lm_head.weight";

/**
 * Loads a VaultGemma from a directory of Hugging Face: config.json and model.safetensors (or its shards). The embedding stays in
 * bf16 when the file has it so; everything else is held in f32, or in NF4 when asked, and computed in f32. All parameters are
 * trainable but those in NF4. Nothing is downloaded.
 * @throws FormatError naming the file, the tensor and what was expected; ValueError where NF4 does not fit a layer's size.
 */
export async function fromPretrained(directory: string, { device, quantization }: LoadOptions): Promise<VaultGemmaForCausalLM> {
	const model = new VaultGemmaForCausalLM(await readConfig(directory));
	if (quantization === "nf4") quantizeLinears(model);
	const checkpoint = await openCheckpoint(directory);
	try {
		await loadWeights(model, checkpoint, device, directory);
		model.init(device);
		await device.flush();
	} catch (error) {
		model.dispose();
		throw error;
	} finally {
		await checkpoint.close();
	}
	return model;
}

/**
 * Gives every parameter of a model its value from a checkpoint (F32, F16 or BF16), in the form in which the parameter holds it. A
 * stored lm_head.weight is passed over: it is the embedding. `directory` is for messages.
 * @throws FormatError naming the tensor: before anything was uploaded, for one that is missing, extra, misshaped or no float; on
 * the way, for one that holds NaN or infinity.
 */
export async function loadWeights(model: Module, checkpoint: Checkpoint, device: Device, directory: string): Promise<void> {
	const parameters = new Map(model.namedParameters());
	checkNames(directory, parameters, checkpoint);
	for (const [name, { shape }] of parameters) checkTensor(directory, name, shape, checkpoint);
	for (const [name, parameter] of parameters) {
		const { dtype } = checkpoint.info(name);
		parameter.load(device, finite(directory, name, toFloat32(await checkpoint.read(name), dtype)), dtype);
	}
}

function finite(path: string, name: string, values: Float32Array): Float32Array {
	if (values.every(Number.isFinite)) return values;
	throw new FormatError("checkpoint/not-finite", `${name} holds NaN or infinity`, {
		path,
		hint: "the checkpoint is damaged: download it again",
	});
}

function checkNames(directory: string, expected: ReadonlyMap<string, unknown>, checkpoint: Checkpoint): void {
	const found = new Set(checkpoint.names());
	const list = (names: string[]) => `${names.slice(0, 3).join(", ")}${names.length > 3 ? `, … (${names.length})` : ""}`;
	const missing = [...expected.keys()].filter((n) => !found.has(n));
	const extra = [...found].filter((n) => !expected.has(n) && n !== TIED);
	if (missing.length > 0) {
		throw new FormatError("checkpoint/missing-tensor", `the checkpoint lacks ${list(missing)}`, {
			path: directory,
			hint: "config.json and the weights must belong to the same model",
		});
	}
	if (extra.length > 0) {
		throw new FormatError("checkpoint/extra-tensor", `the checkpoint holds tensors the model does not have: ${list(extra)}`, {
			path: directory,
			hint: "check model_type and num_hidden_layers in config.json; merge adapters before loading",
		});
	}
}

function checkTensor(directory: string, name: string, shape: readonly number[], checkpoint: Checkpoint): void {
	const info = checkpoint.info(name);
	if (info.shape.length !== shape.length || info.shape.some((d, i) => d !== shape[i])) {
		throw new FormatError("checkpoint/shape", `${name} is [${info.shape.join(", ")}], config.json asks for [${shape.join(", ")}]`, {
			path: directory,
			hint: "config.json and the weights must belong to the same model",
		});
	}
	if (!FLOATS.includes(info.dtype)) {
		throw new FormatError("checkpoint/dtype", `${name} is ${info.dtype}, expected ${FLOATS.join(", ")}`, {
			path: directory,
			hint: "convert the checkpoint to float32, float16 or bfloat16",
		});
	}
}

/**
 * The weights of a model, by name, as f32 data to be written in `dtype`, a float type; quantised ones as the numbers that they
 * stand for. Of a model with LoRA those of the model below it, under the names that it has without.
 * @throws ValueError for a model without values.
 */
export async function weightsOf(model: Module, dtype: SafetensorsDType): Promise<Map<string, TensorData>> {
	const device = deviceOf(model);
	const tensors = new Map<string, TensorData>();
	for (const [path, p] of baseParameters(model)) {
		const read = device.scope(() => ({ values: data(p.dequantize()) }));
		tensors.set(path, { dtype, shape: p.shape, data: (await read.values) as Float32Array });
	}
	return tensors;
}

/**
 * Writes model.safetensors beside the config.json of an existing directory, as `fromPretrained` reads it, in `dtype`. What LoRA
 * has learned is not in it: `saveAdapter` writes that. config.json and the tokenizer are not written. The write is atomic.
 * @throws ValueError for a model without values.
 */
export async function saveModel(model: Module, directory: string, { dtype }: { readonly dtype: "F32" | "BF16" }): Promise<void> {
	const tensors = await weightsOf(model, dtype);
	await writeFileAtomic(join(directory, "model.safetensors"), encodeSafetensors(tensors, { metadata: { format: "pt" } }));
}
