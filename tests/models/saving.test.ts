import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
	fromPretrained,
	loadAdapter,
	loadWeights,
	openCheckpoint,
	parseConfig,
	saveAdapter,
	saveModel,
	VaultGemmaForCausalLM,
} from "@hushgrad/models";
import {
	AdamW,
	applyLora,
	countParameters,
	Embedding,
	Linear,
	loraConfig,
	loraLayers,
	Module,
	mergeAdapter,
	normalInit,
	quantizeLinears,
	SafetensorsReader,
} from "@hushgrad/nn";
import { add, data, key, normal, type Tensor, vmap } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, goldenPath, goldenTensors, relativeError } from "../support/goldens.ts";

const GOLDEN = goldenPath("vaultgemma/capped");
const device = useDevice();
let folder: string;
let count = 0;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A new directory with the golden model's configuration. */
async function target(): Promise<string> {
	const directory = join(folder, String(count++));
	await mkdir(directory);
	await cp(join(GOLDEN, "config.json"), join(directory, "config.json"));
	return directory;
}

async function namesIn(directory: string): Promise<string[]> {
	const bytes = new Uint8Array(await readFile(join(directory, "model.safetensors")));
	const reader = await SafetensorsReader.open({
		path: directory,
		size: bytes.length,
		read: async (a, b) => bytes.slice(a, b),
		close: async () => {},
	});
	return [...reader.names()].sort();
}

const load = (directory: string, quantization?: "nf4") => fromPretrained(directory, { device: device(), quantization });

async function logitsOf(model: VaultGemmaForCausalLM) {
	const ids = device().fromHost(Int32Array.of(2, 5, 9, 40, 2, 77, 13, 8), [2, 4]);
	return data(device().scope<Tensor>(() => vmap((one: Tensor) => model.call(one))(ids)));
}

/** Every weight as numbers. */
async function valuesOf(model: Module): Promise<Map<string, unknown>> {
	const values = new Map<string, unknown>();
	for (const [name, p] of model.namedParameters()) values.set(name, await data(p.dequantize()));
	return values;
}

const config = loraConfig({ r: 3, lora_alpha: 5, target_modules: ["q_proj", "down_proj"] });

async function adapted(quantization?: "nf4") {
	const model = await load(GOLDEN, quantization);
	const layers = applyLora(model, config, { device: device(), key: key(2) });
	[...layers.values()].forEach(({ lora_B: { weight } }, i) => weight.assign(normal(device(), weight.shape, key(30 + i))));
	return model;
}

describe("a weight in four bits is a parameter like any other", () => {
	it("is found, counted, frozen and disposed as one in full precision", async () => {
		const { liveBuffers } = device().memory();
		const [dense, quantised] = [await load(GOLDEN), await load(GOLDEN, "nf4")];
		expect([...quantised.namedParameters()].map(([name]) => name)).toEqual([...dense.namedParameters()].map(([name]) => name));
		expect(countParameters(quantised).all).toBe(countParameters(dense).all);
		const inFour = [...quantised.namedParameters()].filter(([, p]) => p.format === "nf4");
		expect(inFour.map(([name]) => name)).toEqual(
			[...quantised.namedParameters()].map(([name]) => name).filter((name) => name.includes("_proj.")),
		);
		expect(inFour.every(([, p]) => !p.trainable && p.hasValue)).toBe(true);
		const bytes = (m: Module) => [...m.stateTensors()].reduce((sum, t) => sum + t.bytes, 0);
		expect(bytes(quantised)).toBeLessThan(bytes(dense) / 2);
		for (const model of [dense, quantised]) model.dispose();
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("is written as the numbers that it stands for: read in full precision, the model is the same", async () => {
		const quantised = await load(GOLDEN, "nf4");
		const directory = await target();
		await saveModel(quantised, directory, { dtype: "F32" });
		expect(await namesIn(directory)).toEqual(await namesIn(GOLDEN));
		const dense = await load(directory);
		expect([...dense.namedParameters()].every(([, p]) => p.format === "f32")).toBe(true);
		expect(await valuesOf(dense)).toEqual(await valuesOf(quantised));
		const [ours, theirs] = [await logitsOf(quantised), await logitsOf(dense)];
		expect(ours).toEqual(theirs);
		// It is not the model that was quantised.
		expect(relativeError(ours, await logitsOf(await load(GOLDEN)))).toBeGreaterThan(1e-3);
	});
});

describe("a model with LoRA", () => {
	it.each([undefined, "nf4"] as const)("is the model below it and the adapter, each saved by itself: %s", async (quantization) => {
		const model = await adapted(quantization);
		const directory = await target();
		await saveModel(model, directory, { dtype: "F32" });
		await saveAdapter(model, join(directory, "adapter"), config);
		expect(await namesIn(directory)).toEqual(await namesIn(GOLDEN));

		const again = await load(directory);
		const base = await load(GOLDEN, quantization);
		expect(await valuesOf(again)).toEqual(await valuesOf(base));
		const below = await logitsOf(base);
		expect(await logitsOf(again)).toEqual(below);
		await loadAdapter(base, join(directory, "adapter"), device());
		expect(await logitsOf(base)).toEqual(await logitsOf(model));
		await loadAdapter(again, join(directory, "adapter"), device());
		// Above four bits a residual is added before LoRA's part, above full precision after it.
		expect(relativeError(await logitsOf(again), await logitsOf(model))).toBeLessThan(1e-5);
		expect(await logitsOf(model)).not.toEqual(below);
	});

	it("is saved alike while an optimiser holds its weights", async () => {
		const [free, bound] = [await adapted(), await adapted()];
		const optimizer = new AdamW(bound.trainableParameters(), { lr: 0.1 });
		expect(optimizer.vector.tensor.size).toBe(optimizer.vector.length);
		const [a, b] = [await target(), await target()];
		const save = async (model: Module, directory: string) => {
			await saveModel(model, directory, { dtype: "F32" });
			await saveAdapter(model, join(directory, "adapter"), config);
		};
		await save(free, a);
		await save(bound, b);
		for (const file of ["model.safetensors", "adapter/adapter_model.safetensors"]) {
			expect(Buffer.compare(await readFile(join(a, file)), await readFile(join(b, file)))).toBe(0);
		}
		device().scope<void>(() => optimizer.step(add(optimizer.vector.tensor, 1)));
		await save(bound, b);
		const again = await load(b);
		await loadAdapter(again, join(b, "adapter"), device());
		expect(await logitsOf(again)).toEqual(await logitsOf(bound));
		expect(await logitsOf(again)).not.toEqual(await logitsOf(free));
	});
});

/** Nothing of a transformer: layers in fields, arrays and maps, and one weight in two places. */
class Net extends Module {
	readonly table = new Embedding(16, 8);
	readonly tied = new Linear(8, 16, { bias: false });
	readonly stack = [new Linear(8, 8), new Linear(8, 8, { bias: false })];
	readonly heads = new Map([["left", new Linear(8, 4, { bias: false })]]);

	constructor() {
		super();
		this.tied.weight = this.table.weight;
	}
}

describe("mergeAdapter", () => {
	it.each([undefined, "nf4"] as const)("puts into the weights what LoRA has learned, and can be saved: %s", async (quantization) => {
		const model = await adapted(quantization);
		const before = await logitsOf(model);
		const { liveBuffers } = device().memory();
		mergeAdapter(model);
		// 8 layers: A, B and W go, W' comes; a weight in four bits is four buffers.
		expect(device().memory().liveBuffers).toBeLessThan(liveBuffers);
		expect(loraLayers(model).size).toBe(0);
		expect([...model.namedParameters()].map(([name]) => name)).toEqual([...(await load(GOLDEN)).namedParameters()].map(([name]) => name));
		const merged = await logitsOf(model);
		// B A x and (W + B A) x are rounded in another order.
		expect(relativeError(merged, before)).toBeLessThan(1e-5);
		const directory = join(folder, "made", String(count++));
		await saveModel(model, directory, { dtype: "F32" });
		expect(await logitsOf(await load(directory))).toEqual(merged);
	});

	it("gives the logits of peft's own merged model", async () => {
		const tensors = await goldenTensors("lora/expected.safetensors");
		const { ids } = goldenJson<{ ids: number[][] }>("lora/expected.json");
		const model = await load(GOLDEN);
		await loadAdapter(model, goldenPath("lora/adapter"), device());
		mergeAdapter(model);
		const batch = device().fromHost(Int32Array.from(ids.flat()), [ids.length, ids[0].length]);
		const logits = device().scope<Tensor>(() => vmap((one: Tensor) => model.call(one))(batch));
		expect(relativeError(await data(logits), tensors.get("logits") as Float32Array)).toBeLessThan(1e-4);
	});

	it("refuses a model without LoRA, and one in training, and leaves it as it was", async () => {
		const bare = await load(GOLDEN);
		expect(() => mergeAdapter(bare)).toThrow(expect.objectContaining({ code: "lora/none" }));
		const model = await adapted();
		const optimizer = new AdamW(model.trainableParameters(), { lr: 0.1 });
		expect(optimizer.vector.tensor.size).toBeGreaterThan(0);
		const before = await logitsOf(model);
		expect(() => mergeAdapter(model)).toThrow(expect.objectContaining({ code: "parameter/bound" }));
		expect(() => model.dispose()).toThrow(expect.objectContaining({ code: "parameter/bound" }));
		expect(await logitsOf(model)).toEqual(before);
		optimizer.dispose();
		mergeAdapter(model);
		model.dispose();
	});

	it("leaves a weight that stands elsewhere too as it was there", async () => {
		const net = new Net();
		let n = 0;
		for (const [, p] of net.namedParameters()) p.assign(normal(device(), p.shape, key(n++)));
		const table = await data(net.table.weight.value);
		applyLora(net, loraConfig({ r: 2, target_modules: ["tied"] }), { device: device(), key: key(9) });
		mergeAdapter(net);
		expect(await data(net.table.weight.value)).toEqual(table);
		expect(net.tied.weight).not.toBe(net.table.weight);
		expect(await data(net.tied.weight.value)).toEqual(table);
	});
});

describe("any module", () => {
	it.each([false, true])("is saved and loaded by its names, weights in four bits too: %s", async (inFour) => {
		const net = new Net();
		let n = 0;
		for (const [, p] of net.namedParameters()) normalInit(device(), p, key(n++), 1);
		const directory = join(folder, `net-${inFour}`);
		await mkdir(directory);
		await saveModel(net, directory, { dtype: "F32" });
		expect(await namesIn(directory)).toEqual(["heads.left.weight", "stack.0.bias", "stack.0.weight", "stack.1.weight", "table.weight"]);

		const again = new Net();
		if (inFour) {
			quantizeLinears(again);
			again.tied.weight = again.table.weight;
		}
		const checkpoint = await openCheckpoint(directory);
		await loadWeights(again, checkpoint, device(), directory);
		await checkpoint.close();
		expect(again.stack[1].weight.format).toBe(inFour ? "nf4" : "f32");
		if (!inFour) expect(await valuesOf(again)).toEqual(await valuesOf(net));
		await saveModel(again, directory, { dtype: "F32" });
		const third = new Net();
		const saved = await openCheckpoint(directory);
		await loadWeights(third, saved, device(), directory);
		await saved.close();
		expect(await valuesOf(third)).toEqual(await valuesOf(again));
	});
});

describe("what cannot be saved", () => {
	it("weights that no loader would take, and options that there are not", async () => {
		const model = await load(GOLDEN);
		const directory = join(folder, "not-finite");
		await expect(saveModel(model, directory, { dtype: "F64" as "F32" })).rejects.toMatchObject({
			name: "ValueError",
			code: "call/argument",
		});
		await expect(saveModel(model, directory, { dtype: "F32", quantization: "int8" as "nf4" })).rejects.toMatchObject({
			code: "call/argument",
		});
		const { weight } = model.model.norm;
		weight.assign(device().fromHost(new Float32Array(weight.size).fill(Number.NaN), weight.shape));
		await expect(saveModel(model, directory, { dtype: "F32" })).rejects.toMatchObject({
			name: "NumericError",
			code: "save/not-finite",
			path: "model.norm.weight",
		});
		await expect(readdir(directory)).rejects.toMatchObject({ code: "ENOENT" });
	});

	it("is a typed error that writes nothing", async () => {
		const model = await load(GOLDEN);
		const directory = join(folder, "nothing");
		await expect(saveAdapter(model, directory, config)).rejects.toMatchObject({
			name: "ValueError",
			code: "adapter/none",
			hint: expect.stringContaining("applyLora"),
		});
		await expect(readdir(directory)).rejects.toMatchObject({ code: "ENOENT" });

		const empty = new VaultGemmaForCausalLM(parseConfig(goldenJson("vaultgemma/capped/config.json")));
		const other = await target();
		await expect(saveModel(empty, other, { dtype: "F32" })).rejects.toMatchObject({ name: "ValueError", code: "model/empty" });
		applyLora(model, config);
		await expect(saveAdapter(model, directory, config)).rejects.toMatchObject({
			code: "parameter/empty",
			message: expect.stringContaining("model.layers.0.self_attn.q_proj.lora_A.weight"),
		});
		await expect(readdir(directory)).rejects.toMatchObject({ code: "ENOENT" });
		expect(await readdir(other)).toEqual(["config.json"]);
	});
});
