import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
	adapterKey,
	applyLora,
	type LoraConfig,
	loraLayers,
	encodeSafetensors,
	parseLoraConfig,
	serializeLoraConfig,
	type TensorData,
	toFloat32,
} from "@hushgrad/nn";
import { data, type Device, FormatError } from "@hushgrad/tensor";
import { openCheckpoint } from "./files/checkpoint.ts";
import { writeFileAtomic } from "./files/write.ts";
import type { VaultGemmaForCausalLM } from "./gemma/model.ts";

const WEIGHTS = "adapter_model.safetensors";
const CONFIG = "adapter_config.json";

/** Writes the LoRA weights and their configuration as peft does, so that peft can read them. */
export async function saveAdapter(model: VaultGemmaForCausalLM, directory: string, config: LoraConfig): Promise<void> {
	await mkdir(directory, { recursive: true });
	const tensors = new Map<string, TensorData>();
	for (const [path, layer] of loraLayers(model)) {
		for (const part of ["A", "B"] as const) {
			const { weight } = part === "A" ? layer.lora_A : layer.lora_B;
			tensors.set(adapterKey(path, part), { dtype: "F32", shape: weight.shape, data: (await data(weight.value)) as Float32Array });
		}
	}
	await writeFileAtomic(join(directory, WEIGHTS), encodeSafetensors(tensors, { metadata: { format: "pt" } }));
	await writeFileAtomic(join(directory, CONFIG), serializeLoraConfig(config));
}

/** Puts a saved adapter on a freshly loaded base model. @throws FormatError for any tensor missing, extra or misshaped. */
export async function loadAdapter(model: VaultGemmaForCausalLM, directory: string, device: Device): Promise<LoraConfig> {
	const text = await readFile(join(directory, CONFIG), "utf8").catch((cause) => {
		throw new FormatError("adapter/config", `${CONFIG} cannot be read`, { path: directory, hint: "name the adapter's directory", cause });
	});
	const { config } = parseLoraConfig(text, join(directory, CONFIG));
	const checkpoint = await openCheckpoint(directory, WEIGHTS);
	try {
		const layers = applyLora(model, config);
		const left = new Set(checkpoint.names());
		for (const [path, layer] of layers) {
			for (const part of ["A", "B"] as const) {
				const name = adapterKey(path, part);
				const { weight } = part === "A" ? layer.lora_A : layer.lora_B;
				if (!left.delete(name)) throw new FormatError("adapter/missing", `the adapter lacks ${name}`, { path: directory });
				const info = checkpoint.info(name);
				if (info.shape.join() !== weight.shape.join()) {
					throw new FormatError("adapter/shape", `${name} is [${info.shape.join(", ")}], expected [${weight.shape.join(", ")}]`, { path: directory });
				}
				weight.assign(device.fromHost(toFloat32(await checkpoint.read(name), info.dtype), weight.shape));
			}
		}
		const [extra] = left;
		if (extra !== undefined) {
			throw new FormatError("adapter/extra", `the adapter holds ${extra}, which fits no layer of the model`, { path: directory });
		}
		return config;
	} finally {
		await checkpoint.close();
	}
}
