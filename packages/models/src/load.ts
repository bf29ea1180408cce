import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
	baseParameters,
	encodeSafetensors,
	type FloatDType,
	type Module,
	NF4Parameter,
	quantizedWeights,
	quantizeLinears,
	readQuantized,
	type TensorData,
	toFloat32,
	writeQuantized,
} from "@hushgrad/nn";
import { writeFileAtomic } from "@hushgrad/nn/files";
import { type Device, data, FormatError, NumericError } from "@hushgrad/tensor";
import { blaming, expects, named, oneOf, optional, optionsOf, sizeOf } from "@hushgrad/tensor/author";
import { deviceOf } from "./causalLM.ts";
import { CHECKPOINT, type Checkpoint, openCheckpoint } from "./files/checkpoint.ts";
import { readConfig, serializeConfig } from "./gemma/config.ts";
import { VaultGemmaForCausalLM } from "./gemma/model.ts";
import { MODULE } from "./kinds.ts";

/** How `fromPretrained` loads a model. */
export interface LoadOptions {
	/** Where the weights go. */
	readonly device: Device;
	/**
	 * Hold the linear layers in 4 bits (NF4, double quantisation; Dettmers et al. 2023). When left out they are held as the
	 * checkpoint has them: in 4 bits where bitsandbytes wrote it so, else in f32.
	 */
	readonly quantization?: "nf4" | undefined;
	/** Is told after each tensor how much of the model is on the device. */
	readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** How far loading is. */
export interface LoadProgress {
	/** Numbers loaded. */
	readonly loaded: number;
	/** Numbers of the whole model. */
	readonly total: number;
}

/** Left out, the layers are held as the checkpoint has them. */
const QUANTIZATION = optional(oneOf("nf4"));
const FLOATS = ["F32", "F16", "BF16"];
/** Tied to the embedding in this family; some writers store it all the same. */
const TIED = "lm_head.weight";

/**
 * Loads a VaultGemma from a directory of Hugging Face: config.json and model.safetensors (or its shards). The embedding stays in
 * bf16 when the file has it so; everything else is held in f32, or in NF4 when asked, and computed in f32. What bitsandbytes wrote
 * in NF4 with double quantisation stays as it is. All parameters are trainable but those in NF4. Nothing is downloaded.
 * @throws FormatError naming the file, the tensor and what was expected; ValueError for another `quantization` than "nf4", and
 * where NF4 does not fit a layer's size.
 */
export const fromPretrained = named("fromPretrained", async (directory: string, options: LoadOptions): Promise<VaultGemmaForCausalLM> => {
	expects("fromPretrained", { directory }, { directory: "text" });
	const kinds = { device: "device", quantization: QUANTIZATION, onProgress: "function?" } as const;
	const { device, quantization, onProgress } = optionsOf("fromPretrained", options, kinds);
	const model = new VaultGemmaForCausalLM(await readConfig(directory));
	const checkpoint = await openCheckpoint(directory);
	try {
		const inFour = quantizedWeights(checkpoint.names());
		quantizeLinears(model, (path) => quantization === "nf4" || inFour.has(`${path}.weight`));
		await loadWeights(model, checkpoint, device, directory, onProgress);
		model.init(device);
		await device.flush();
	} catch (error) {
		model.dispose();
		throw error;
	} finally {
		await checkpoint.close();
	}
	return model;
});

/**
 * Gives every parameter of a model its value from a checkpoint (F32, F16 or BF16, or NF4 of bitsandbytes for an `NF4Parameter`), in
 * the form in which the parameter holds it. A stored lm_head.weight is passed over: it is the embedding. `directory` is for
 * messages; `onProgress` is told after each tensor.
 * @throws FormatError naming the tensor: before anything was uploaded, for one that is missing, extra, misshaped, no float, or in
 * four bits where the parameter is not; on the way, for one that holds NaN or infinity, or that `readQuantized` refuses.
 */
export const loadWeights = named(
	"loadWeights",
	async (
		model: Module,
		checkpoint: Checkpoint,
		device: Device,
		directory: string,
		onProgress?: (progress: LoadProgress) => void,
	): Promise<void> => {
		expects(
			"loadWeights",
			{ model, checkpoint, device, directory, onProgress },
			{ model: MODULE, checkpoint: CHECKPOINT, device: "device", directory: "text", onProgress: "function?" },
		);
		const parameters = new Map(model.namedParameters());
		checkNames(directory, parameters, checkpoint);
		const inFour = quantizedWeights(checkpoint.names());
		for (const [name, parameter] of parameters) {
			if (!inFour.has(name)) checkTensor(directory, name, parameter.shape, checkpoint);
			else if (!(parameter instanceof NF4Parameter)) {
				throw new FormatError("checkpoint/quantized", `${name} was quantised by bitsandbytes, the model holds it in ${parameter.format}`, {
					path: directory,
					hint: "call quantizeLinears(model) before loading, or load the checkpoint that was quantised",
				});
			}
		}
		const total = [...parameters.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
		let loaded = 0;
		for (const [name, parameter] of parameters) {
			if (parameter instanceof NF4Parameter && inFour.has(name)) {
				const state = await readQuantized(checkpoint, name, directory);
				checkShape(directory, name, state.shape, parameter.shape);
				parameter.loadQuantized(device, state);
			} else {
				const { dtype } = checkpoint.info(name);
				parameter.load(device, finite(directory, name, toFloat32(await checkpoint.read(name), dtype)), dtype);
			}
			loaded += sizeOf(parameter.shape);
			onProgress?.({ loaded, total });
		}
	},
);

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
	const inFour = quantizedWeights(found);
	const isPart = (name: string): boolean => [...inFour.keys()].some((weight) => name.startsWith(`${weight}.`));
	const extra = [...found].filter((n) => !expected.has(n) && n !== TIED && !isPart(n));
	if (extra.some((n) => n.endsWith(".SCB"))) {
		throw new FormatError("checkpoint/quantized", "the checkpoint was quantised to 8 bits by bitsandbytes (LLM.int8), which is not built", {
			path: directory,
			hint: 'load the checkpoint that was quantised, with quantization: "nf4" to save memory',
		});
	}
	if (missing.length > 0) {
		throw new FormatError("checkpoint/missing-tensor", `the checkpoint lacks ${list(missing)}`, {
			path: directory,
			hint: "config.json and the weights must belong to the same model",
		});
	}
	if (extra.length > 0) {
		throw new FormatError("checkpoint/extra-tensor", `the checkpoint holds tensors the model does not have: ${list(extra)}`, {
			path: directory,
			hint: "check model_type and num_hidden_layers in config.json; of a model with LoRA load the base and put the adapter on it with loadAdapter",
		});
	}
}

function checkTensor(directory: string, name: string, shape: readonly number[], checkpoint: Checkpoint): void {
	const info = checkpoint.info(name);
	checkShape(directory, name, info.shape, shape);
	if (!FLOATS.includes(info.dtype)) {
		throw new FormatError("checkpoint/dtype", `${name} is ${info.dtype}, expected ${FLOATS.join(", ")}`, {
			path: directory,
			hint: "convert the checkpoint to float32, float16 or bfloat16",
		});
	}
}

function checkShape(path: string, name: string, shape: readonly number[], expected: readonly number[]): void {
	if (shape.length === expected.length && shape.every((d, i) => d === expected[i])) return;
	throw new FormatError("checkpoint/shape", `${name} is [${shape.join(", ")}], config.json asks for [${expected.join(", ")}]`, {
		path,
		hint: "config.json and the weights must belong to the same model",
	});
}

/** How weights are written. */
export interface SaveOptions {
	/** Type of the numbers in the file: "F32", "BF16" or "F16". */
	readonly dtype: FloatDType;
	/** "nf4" writes weights in four bits as bitsandbytes does; as the numbers that they stand for when left out. */
	readonly quantization?: "nf4" | undefined;
}

/**
 * The weights of a model, by name, as f32 data to be written in `dtype`; quantised ones as `quantization` says. Of a model with
 * LoRA those of the model below it, under the names that it has without.
 * @throws ValueError for a model without values, and options that there are not; NumericError for a weight that holds NaN or
 * infinity, which no loader takes.
 */
export function weightsOf(model: Module, options: SaveOptions): Promise<Map<string, TensorData>> {
	return blaming("weightsOf", () => weights("weightsOf", model, options));
}

async function weights(op: string, model: Module, options: SaveOptions): Promise<Map<string, TensorData>> {
	expects(op, { model }, { model: MODULE });
	const { dtype, quantization } = optionsOf(op, options, { dtype: oneOf(...FLOATS), quantization: QUANTIZATION });
	const device = deviceOf(model);
	const tensors = new Map<string, TensorData>();
	for (const [path, p] of baseParameters(model)) {
		if (quantization === "nf4" && p instanceof NF4Parameter) {
			for (const [name, tensor] of writeQuantized(path, await p.quantState())) tensors.set(name, tensor);
			continue;
		}
		const read = device.scope(() => ({ values: data(p.dequantize()) }));
		tensors.set(path, { dtype, shape: p.shape, data: finiteToSave(path, (await read.values) as Float32Array) });
	}
	return tensors;
}

/** @throws NumericError for weights that no loader takes. */
export function finiteToSave(path: string, values: Float32Array): Float32Array {
	if (values.every(Number.isFinite)) return values;
	throw new NumericError("save/not-finite", `${path} holds NaN or infinity: nothing was written`, {
		path,
		hint: "the training diverged: go back to an earlier state, and lower the learning rate",
	});
}

/**
 * Writes model.safetensors into a directory, as `fromPretrained` reads it, in `dtype`; makes the directory where it is missing, and
 * a config.json beside it where there is none and the model is a VaultGemma. What LoRA has learned is not in it: `saveAdapter`
 * writes that, or `mergeAdapter` of `@hushgrad/nn` puts it into the weights first. The tokenizer is not written. Each file is
 * written whole or not at all.
 * @throws ValueError for a model without values, and options that there are not; NumericError for a weight that holds NaN or
 * infinity.
 */
export const saveModel = named("saveModel", async (model: Module, directory: string, options: SaveOptions): Promise<void> => {
	expects("saveModel", { directory }, { directory: "text" });
	const tensors = await weights("saveModel", model, options);
	await mkdir(directory, { recursive: true });
	const config = join(directory, "config.json");
	const exists = await access(config).then(
		() => true,
		() => false,
	);
	if (model instanceof VaultGemmaForCausalLM && !exists) await writeFileAtomic(config, serializeConfig(model.config, options));
	await writeFileAtomic(join(directory, "model.safetensors"), encodeSafetensors(tensors, { metadata: { format: "pt" } }));
});
