import { access, mkdir, readFile, rename, rm } from "node:fs/promises";
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
import { writeFileAtomic } from "@hushgrad/nn/files";
import { type Device, data, FormatError, ValueError } from "@hushgrad/tensor";
import { expects, named } from "@hushgrad/tensor/author";
import { type Checkpoint, openCheckpoint } from "./files/checkpoint.ts";
import { MODULE } from "./kinds.ts";
import { finiteToSave } from "./load.ts";

const WEIGHTS = "adapter_model.safetensors";
const CONFIG = "adapter_config.json";
const PARTS = ["A", "B"] as const;
/** The names under which a new adapter is written, before it takes the place of the old one. */
const next = (file: string): string => `.next.${file}`;

const exists = (path: string): Promise<boolean> =>
	access(path).then(
		() => true,
		() => false,
	);

/**
 * Writes the LoRA weights (adapter_model.safetensors, F32) and `config` (adapter_config.json) as peft does, so that peft can read
 * them. The directory is made where it is missing; other files in it stay. Both files change in one step: a program that is killed
 * on the way leaves the adapter before or the new one, never a part of each. `config` is that which `applyLora` had; it must fit.
 * @throws ValueError for a model without LoRA, or a `config` of another rank or scaling than it has; NumericError for a weight that
 * holds NaN or infinity.
 */
export const saveAdapter = named("saveAdapter", async (model: Module, directory: string, config: LoraConfig): Promise<void> => {
	expects("saveAdapter", { model, directory }, { model: MODULE, directory: "text" });
	const text = serializeLoraConfig(config);
	const layers = loraLayers(model);
	if (layers.size === 0) {
		throw new ValueError("adapter/none", "saveAdapter: the model has no LoRA", {
			hint: "put it on with applyLora; saveModel writes a whole model",
		});
	}
	const tensors = new Map<string, TensorData>();
	for (const [path, layer] of layers) {
		const { r, lora_alpha, use_rslora, target_modules } = config;
		const scaling = lora_alpha / (use_rslora ? Math.sqrt(r) : r);
		if (layer.lora_A.outFeatures !== r || layer.scaling !== scaling || !matchesTarget(path, target_modules)) {
			throw new ValueError("adapter/other-config", `saveAdapter: ${path} has another rank, scaling or name than the configuration`, {
				path,
				hint: "give the configuration that applyLora or loadAdapter had",
			});
		}
		for (const part of PARTS) {
			const { weight } = part === "A" ? layer.lora_A : layer.lora_B;
			const values = finiteToSave(adapterKey(path, part), (await data(weight.value)) as Float32Array);
			tensors.set(adapterKey(path, part), { dtype: "F32", shape: weight.shape, data: values });
		}
	}
	await mkdir(directory, { recursive: true });
	await settle(directory);
	await writeFileAtomic(join(directory, next(WEIGHTS)), encodeSafetensors(tensors, { metadata: { format: "pt" } }));
	// From here on the new adapter counts: its configuration is written last, and read first.
	await writeFileAtomic(join(directory, next(CONFIG)), text);
	await settle(directory);
});

/**
 * Puts an adapter that was written whole in the place of the one before. The old configuration goes first, so that no program sees
 * the new weights with it.
 */
async function settle(directory: string): Promise<void> {
	if (!(await exists(join(directory, next(CONFIG))))) return;
	const move = (file: string): Promise<void> => rename(join(directory, next(file)), join(directory, file));
	if (await exists(join(directory, next(WEIGHTS)))) {
		await rm(join(directory, CONFIG), { force: true });
		await move(WEIGHTS);
	}
	await move(CONFIG);
}

/** The files of an adapter: those of a new one that is written whole, but was not put in place any more. */
async function filesOf(directory: string): Promise<{ readonly config: string; readonly weights: string }> {
	if (!(await exists(join(directory, next(CONFIG))))) return { config: CONFIG, weights: WEIGHTS };
	return { config: next(CONFIG), weights: (await exists(join(directory, next(WEIGHTS)))) ? next(WEIGHTS) : WEIGHTS };
}

/** What `loadAdapter` found. */
export interface LoadedAdapter {
	/** What the adapter does: what `saveAdapter` takes. */
	readonly config: LoraConfig;
	/** A line for each unknown field of adapter_config.json that was left out. */
	readonly warnings: readonly string[];
}

/**
 * Puts a saved adapter of peft on a freshly loaded base model, which it freezes, and returns its configuration. Everything is
 * read and checked before the model is changed. Unknown fields of the configuration are left out, and named in `warnings`.
 * @throws FormatError for a file that is missing or damaged, a configuration that asks for what LoRA here does not do, and any
 * tensor missing, extra, misshaped or not finite, as when the adapter fits no layer.
 */
export const loadAdapter = named("loadAdapter", async (model: Module, directory: string, device: Device): Promise<LoadedAdapter> => {
	expects("loadAdapter", { model, directory, device }, { model: MODULE, directory: "text", device: "device" });
	const { config, warnings, weights } = await readAdapter("loadAdapter", model, directory);
	for (const [layer, lora] of applyLora(model, config)) {
		for (const part of PARTS) {
			const { weight } = part === "A" ? lora.lora_A : lora.lora_B;
			weight.assign(device.fromHost(weights.get(adapterKey(layer, part)) as Float32Array, weight.shape));
		}
	}
	return { config, warnings };
});

/**
 * Reads a saved adapter and checks, as `loadAdapter` does, that it fits a base model, whose values need not be there: no device is opened
 * and nothing is changed. Gives its configuration.
 * @throws FormatError, as `loadAdapter`.
 */
export const checkAdapter = named("checkAdapter", async (model: Module, directory: string): Promise<LoadedAdapter> => {
	expects("checkAdapter", { model, directory }, { model: MODULE, directory: "text" });
	const { config, warnings } = await readAdapter("checkAdapter", model, directory);
	return { config, warnings };
});

/** An adapter and its values, by name. */
async function readAdapter(
	op: string,
	model: Module,
	directory: string,
): Promise<LoadedAdapter & { readonly weights: ReadonlyMap<string, Float32Array> }> {
	const files = await filesOf(directory);
	const path = join(directory, files.config);
	const text = await readFile(path, "utf8").catch((cause) => {
		throw new FormatError("adapter/config", `${op}: ${CONFIG} cannot be read`, { path, hint: "name the adapter's directory", cause });
	});
	const { config, warnings } = parseLoraConfig(text, path);
	return { config, warnings, weights: await readWeights(directory, files.weights, expectedShapes(model, config)) };
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

async function readWeights(
	directory: string,
	file: string,
	shapes: ReadonlyMap<string, readonly number[]>,
): Promise<Map<string, Float32Array>> {
	const checkpoint = await openCheckpoint(directory, file);
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
	const values = toFloat32(await checkpoint.read(name), info.dtype);
	if (values.every(Number.isFinite)) return values;
	throw new FormatError("adapter/not-finite", `${name} holds NaN or infinity`, {
		path,
		hint: "its training diverged, or the file is damaged: train or download the adapter again",
	});
}
