import { join } from "node:path";
import { encodeSafetensors, fromFloat32, NF4Linear, quantizeNF4, replaceLinears, type TensorData, toFloat32 } from "@hushgrad/nn";
import { type Device, data, FormatError } from "@hushgrad/tensor";
import { type Checkpoint, openCheckpoint } from "./files/checkpoint.ts";
import { writeFileAtomic } from "./files/write.ts";
import { readConfig } from "./gemma/config.ts";
import { VaultGemmaForCausalLM } from "./gemma/model.ts";

export interface LoadOptions {
	readonly device: Device;
	/** Store the linear layers in 4 bits (NF4, double quantisation); full precision when left out. */
	readonly quantization?: "nf4";
}

const FLOATS = ["F32", "F16", "BF16"];
/** Tied to the embedding in this family; some writers store it all the same. */
const TIED = "lm_head.weight";

/**
 * Loads a Hugging Face directory: config.json and model.safetensors (or its shards). The embedding stays in bf16 when
 * the file has it so; everything else is computed and held in f32, or in NF4 when asked.
 * @throws FormatError naming the file, the tensor and what was expected.
 */
export async function fromPretrained(directory: string, { device, quantization }: LoadOptions): Promise<VaultGemmaForCausalLM> {
	const model = new VaultGemmaForCausalLM(await readConfig(directory));
	if (quantization === "nf4") replaceLinears(model, (_, l) => new NF4Linear(l.inFeatures, l.outFeatures));
	const checkpoint = await openCheckpoint(directory);
	try {
		const expected = expectedTensors(model);
		checkNames(directory, expected, checkpoint);
		for (const [name, shape] of expected) checkTensor(directory, name, shape, checkpoint);
		await loadParameters(directory, model, checkpoint, device);
	} catch (error) {
		model.dispose();
		throw error;
	} finally {
		await checkpoint.close();
	}
	return model;
}

function expectedTensors(model: VaultGemmaForCausalLM): Map<string, readonly number[]> {
	const expected = new Map<string, readonly number[]>();
	for (const [path, p] of model.namedParameters()) expected.set(path, p.shape);
	for (const [path, m] of model.namedModules()) {
		if (m instanceof NF4Linear) expected.set(`${path}.weight`, [m.outFeatures, m.inFeatures]);
	}
	return expected;
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

async function loadParameters(directory: string, model: VaultGemmaForCausalLM, checkpoint: Checkpoint, device: Device): Promise<void> {
	const floats = async (name: string) => {
		const values = toFloat32(await checkpoint.read(name), checkpoint.info(name).dtype);
		if (!values.every(Number.isFinite)) {
			throw new FormatError("checkpoint/not-finite", `${name} holds NaN or infinity`, {
				path: directory,
				hint: "the checkpoint is damaged: download it again",
			});
		}
		return values;
	};
	for (const [path, p] of model.namedParameters()) {
		const keepsBf16 = p === model.model.embed_tokens.weight && checkpoint.info(path).dtype === "BF16";
		p.assign(
			keepsBf16 ? device.fromHost(fromFloat32(await floats(path), "BF16"), p.shape, "bf16") : device.fromHost(await floats(path), p.shape),
		);
	}
	for (const [path, m] of model.namedModules()) {
		if (m instanceof NF4Linear) m.load(device, quantizeNF4(await floats(`${path}.weight`), [m.outFeatures, m.inFeatures]));
	}
	await device.flush();
}

/** Writes model.safetensors beside the directory's config.json. The write is atomic. */
export async function saveModel(
	model: VaultGemmaForCausalLM,
	directory: string,
	{ dtype }: { readonly dtype: "F32" | "BF16" },
): Promise<void> {
	const tensors = new Map<string, TensorData>();
	for (const [path, p] of model.namedParameters()) {
		tensors.set(path, { dtype, shape: p.shape, data: (await data(p.value)) as Float32Array });
	}
	await writeFileAtomic(join(directory, "model.safetensors"), encodeSafetensors(tensors, { metadata: { format: "pt" } }));
}
