import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
	adapterKey,
	applyLora,
	encodeSafetensors,
	type LoraConfig,
	linearLayers,
	loraLayers,
	type Module,
	matchesTarget,
	parseLoraConfig,
	serializeLoraConfig,
	type TensorData,
	toFloat32,
} from "@hushgrad/nn";
import { type Device, data, FormatError, ValueError } from "@hushgrad/tensor";
import { type Checkpoint, openCheckpoint } from "./files/checkpoint.ts";
import { writeFileAtomic } from "./files/write.ts";

const WEIGHTS = "adapter_model.safetensors";
const CONFIG = "adapter_config.json";
const PARTS = ["A", "B"] as const;

/**
 * Writes the LoRA weights (adapter_model.safetensors, F32) and `config` (adapter_config.json) as peft does, so that peft can read
 * them. The directory is made where it is missing; each file is written whole or not at all. `config` is that which `applyLora`
 * had: it is not compared with the model.
 * @throws ValueError for a model without LoRA.
 */
export async function saveAdapter(model: Module, directory: string, config: LoraConfig): Promise<void> {
	const layers = loraLayers(model);
	if (layers.size === 0) {
		throw new ValueError("adapter/none", "saveAdapter: the model has no LoRA", {
			hint: "put it on with applyLora; saveModel writes a whole model",
		});
	}
	const tensors = new Map<string, TensorData>();
	for (const [path, layer] of layers) {
		for (const part of PARTS) {
			const { weight } = part === "A" ? layer.lora_A : layer.lora_B;
			tensors.set(adapterKey(path, part), { dtype: "F32", shape: weight.shape, data: (await data(weight.value)) as Float32Array });
		}
	}
	await mkdir(directory, { recursive: true });
	await writeFileAtomic(join(directory, WEIGHTS), encodeSafetensors(tensors, { metadata: { format: "pt" } }));
	await writeFileAtomic(join(directory, CONFIG), serializeLoraConfig(config));
}

/**
 * Puts a saved adapter of peft on a freshly loaded base model, which it freezes, and returns its configuration. Everything is
 * read and checked before the model is changed. Unknown fields of the configuration are left out.
 * @throws FormatError for a file that is missing or damaged, a configuration that asks for what LoRA here does not do, and any
 * tensor missing, extra or misshaped, as when the adapter fits no layer.
 */
export async function loadAdapter(model: Module, directory: string, device: Device): Promise<LoraConfig> {
	const path = join(directory, CONFIG);
	const text = await readFile(path, "utf8").catch((cause) => {
		throw new FormatError("adapter/config", `${CONFIG} cannot be read`, { path, hint: "name the adapter's directory", cause });
	});
	const { config } = parseLoraConfig(text, path);
	const weights = await readWeights(directory, expectedShapes(model, config));
	for (const [layer, lora] of applyLora(model, config)) {
		for (const part of PARTS) {
			const { weight } = part === "A" ? lora.lora_A : lora.lora_B;
			weight.assign(device.fromHost(weights.get(adapterKey(layer, part)) as Float32Array, weight.shape));
		}
	}
	return config;
}

/** Names and shapes of the tensors that `config` asks for on this model. */
function expectedShapes(model: Module, { target_modules, r }: LoraConfig): Map<string, readonly number[]> {
	const targets = [...linearLayers(model)].filter(([path]) => matchesTarget(path, target_modules));
	return new Map(
		targets.flatMap(([path, { inFeatures, outFeatures }]) => [
			[adapterKey(path, "A"), [r, inFeatures]],
			[adapterKey(path, "B"), [outFeatures, r]],
		]),
	);
}

async function readWeights(directory: string, shapes: ReadonlyMap<string, readonly number[]>): Promise<Map<string, Float32Array>> {
	const checkpoint = await openCheckpoint(directory, WEIGHTS);
	try {
		const extra = checkpoint.names().find((name) => !shapes.has(name));
		if (extra !== undefined) {
			throw new FormatError("adapter/extra", `the adapter holds ${extra}, which fits no layer of the model`, {
				path: directory,
				hint: "load the adapter on the base model it was trained on",
			});
		}
		const weights = new Map<string, Float32Array>();
		for (const [name, shape] of shapes) {
			weights.set(name, await readWeight(checkpoint, name, shape, directory));
		}
		return weights;
	} finally {
		await checkpoint.close();
	}
}

async function readWeight(checkpoint: Checkpoint, name: string, shape: readonly number[], path: string): Promise<Float32Array> {
	const hint = "load the adapter on the base model it was trained on";
	if (!checkpoint.names().includes(name)) throw new FormatError("adapter/missing", `the adapter lacks ${name}`, { path, hint });
	const info = checkpoint.info(name);
	if (info.shape.join() !== shape.join()) {
		throw new FormatError("adapter/shape", `${name} is [${info.shape.join(", ")}], expected [${shape.join(", ")}]`, { path, hint });
	}
	return toFloat32(await checkpoint.read(name), info.dtype);
}
