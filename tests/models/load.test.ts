import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromPretrained, openCheckpoint, parseConfig, readGenerationConfig, saveModel } from "@hushgrad/models";
import { encodeSafetensors, SafetensorsReader, type TensorData } from "@hushgrad/nn";
import { data, type Tensor } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, goldenPath } from "../support/goldens.ts";

const device = useDevice();
let folder: string;
let count = 0;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A copy of the plain golden model to break. */
async function copy(): Promise<string> {
	const directory = join(folder, String(count++));
	await cp(goldenPath("vaultgemma/plain"), directory, { recursive: true });
	return directory;
}

async function readTensors(directory: string): Promise<Map<string, TensorData>> {
	const bytes = new Uint8Array(await readFile(join(directory, "model.safetensors")));
	const reader = await SafetensorsReader.open({
		path: "x",
		size: bytes.length,
		read: async (a, b) => bytes.slice(a, b),
		close: async () => {},
	});
	const tensors = new Map<string, TensorData>();
	for (const name of reader.names()) tensors.set(name, { ...reader.info(name), data: await reader.read(name) });
	return tensors;
}

const writeTensors = (path: string, tensors: ReadonlyMap<string, TensorData>) => writeFile(path, Buffer.concat(encodeSafetensors(tensors)));

async function editTensors(directory: string, edit: (tensors: Map<string, TensorData>) => void): Promise<void> {
	const tensors = await readTensors(directory);
	edit(tensors);
	await writeTensors(join(directory, "model.safetensors"), tensors);
}

const editConfig = async (directory: string, fields: object) => {
	const path = join(directory, "config.json");
	await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...fields }));
};

const Q = "model.layers.0.self_attn.q_proj.weight";

describe("a directory that cannot be loaded gives one typed error and leaves nothing on the GPU", () => {
	it.each<[string, string, (directory: string) => Promise<unknown>]>([
		["no directory", "file/missing", (d) => rm(d, { recursive: true })],
		["no config.json", "file/missing", (d) => rm(join(d, "config.json"))],
		["config.json is broken", "file/json", (d) => writeFile(join(d, "config.json"), '{"model_type": ')],
		["config.json is a list", "config/object", (d) => writeFile(join(d, "config.json"), "[]")],
		["another architecture", "config/unsupported", (d) => editConfig(d, { model_type: "llama" })],
		["a bias that is not built", "config/unsupported", (d) => editConfig(d, { attention_bias: true })],
		["scaled rotary positions", "config/unsupported", (d) => editConfig(d, { rope_parameters: { rope_type: "linear", factor: 8 } })],
		["a hidden size that is text", "config/field", (d) => editConfig(d, { hidden_size: "32" })],
		["half a layer", "config/field", (d) => editConfig(d, { num_hidden_layers: 1.5 })],
		["heads that do not divide", "config/field", (d) => editConfig(d, { num_key_value_heads: 3 })],
		["layer types for another depth", "config/field", (d) => editConfig(d, { layer_types: ["full_attention"] })],
		["a soft-cap of 0", "config/field", (d) => editConfig(d, { attn_logit_softcapping: 0 })],
		["no weights", "file/missing", (d) => rm(join(d, "model.safetensors"))],
		[
			"weights cut short",
			"safetensors/length",
			async (d) => {
				const path = join(d, "model.safetensors");
				await writeFile(path, (await readFile(path)).subarray(0, -100));
			},
		],
		["empty weights", "safetensors/short", (d) => writeFile(join(d, "model.safetensors"), "")],
		["a tensor missing", "checkpoint/missing-tensor", (d) => editTensors(d, (t) => t.delete(Q))],
		["a tensor too many", "checkpoint/extra-tensor", (d) => editTensors(d, (t) => t.set("model.layers.9.x", t.get(Q) as TensorData))],
		[
			"a tensor turned on its side",
			"checkpoint/shape",
			(d) =>
				editTensors(d, (t) =>
					t.set("model.layers.0.mlp.up_proj.weight", { ...(t.get("model.layers.0.mlp.up_proj.weight") as TensorData), shape: [32, 64] }),
				),
		],
		["a tensor of integers", "checkpoint/dtype", (d) => editTensors(d, (t) => t.set(Q, { ...(t.get(Q) as TensorData), dtype: "I32" }))],
		[
			"a deeper config than the weights",
			"checkpoint/missing-tensor",
			(d) => editConfig(d, { num_hidden_layers: 3, layer_types: new Array(3).fill("full_attention") }),
		],
		[
			"weights with NaN",
			"checkpoint/not-finite",
			(d) => editTensors(d, (t) => t.set(Q, { dtype: "F32", shape: [32, 32], data: new Float32Array(1024).fill(Number.NaN) })),
		],
	])("%s", async (_, code, damage) => {
		const directory = await copy();
		await damage(directory);
		const { liveBuffers } = device().memory();
		await expect(fromPretrained(directory, { device: device(), quantization: "nf4" })).rejects.toMatchObject({
			code,
			hint: expect.any(String),
		});
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});
});

describe("shards", () => {
	const logits = async (directory: string) => {
		const model = await fromPretrained(directory, { device: device() });
		const y = device().scope<Tensor>(() => model.call(device().fromHost(Int32Array.of(2, 5, 9), [3])));
		return data(y);
	};

	async function shard(directory: string): Promise<void> {
		const tensors = [...(await readTensors(directory))];
		const parts = [tensors.slice(0, 5), tensors.slice(5)].map((t) => new Map(t));
		const weight_map: Record<string, string> = {};
		for (const [i, part] of parts.entries()) {
			const name = `model-0000${i + 1}-of-00002.safetensors`;
			await writeTensors(join(directory, name), part);
			for (const key of part.keys()) weight_map[key] = name;
		}
		await writeFile(join(directory, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map }));
		await rm(join(directory, "model.safetensors"));
	}

	it("load as one file does", async () => {
		const directory = await copy();
		await shard(directory);
		expect(await logits(directory)).toEqual(await logits(goldenPath("vaultgemma/plain")));
	});

	it("have no other tensors than those that they name", async () => {
		const directory = await copy();
		const whole = await openCheckpoint(directory);
		await shard(directory);
		const parts = await openCheckpoint(directory);
		for (const checkpoint of [whole, parts]) {
			const expected = expect.objectContaining({ name: "ValueError", code: "safetensors/name" });
			for (const name of ["nothing", "__proto__", "undefined"]) {
				expect(() => checkpoint.info(name)).toThrow(expected);
				expect(() => checkpoint.read(name)).toThrow(expected);
			}
			await checkpoint.close();
		}
	});

	it("are refused when one is missing, or the index points out of the directory", async () => {
		const directory = await copy();
		await shard(directory);
		await rm(join(directory, "model-00002-of-00002.safetensors"));
		await expect(logits(directory)).rejects.toMatchObject({ code: "file/missing" });
		await writeFile(join(directory, "model.safetensors.index.json"), JSON.stringify({ weight_map: { a: "../../secret.safetensors" } }));
		await expect(logits(directory)).rejects.toMatchObject({ code: "checkpoint/index" });
	});
});

describe("saveModel", () => {
	it.each(["F32", "BF16"] as const)("writes what fromPretrained reads: %s", async (dtype) => {
		const directory = join(folder, `saved-${dtype}`);
		await mkdir(directory);
		await cp(goldenPath("vaultgemma/bf16/config.json"), join(directory, "config.json"));
		const model = await fromPretrained(goldenPath("vaultgemma/bf16"), { device: device() });
		await saveModel(model, directory, { dtype });
		const [saved, original] = [await readTensors(directory), await readTensors(goldenPath("vaultgemma/bf16"))];
		expect([...saved.keys()].sort()).toEqual([...original.keys()].sort());
		// The golden's weights are bf16 already, so writing bf16 gives its bytes back.
		if (dtype === "BF16") for (const [name, t] of original) expect(saved.get(name)?.data).toEqual(t.data);
	});
});

describe("generation_config.json", () => {
	it("names the end tokens; without it config.json does", async () => {
		const directory = await copy();
		await writeFile(join(directory, "generation_config.json"), '{"eos_token_id": [1, 107]}');
		expect(await readGenerationConfig(directory)).toEqual({ eosTokenIds: [1, 107] });
		await rm(join(directory, "generation_config.json"));
		expect(await readGenerationConfig(directory)).toEqual({ eosTokenIds: [1] });
		await writeFile(join(directory, "generation_config.json"), '{"eos_token_id": "1"}');
		await expect(readGenerationConfig(directory)).rejects.toMatchObject({ code: "config/field" });
	});
});

describe("quantization", () => {
	it.each(["NF4", "int8", "fp4", null, true])("of %j is refused with what there is", async (quantization) => {
		await expect(
			fromPretrained(goldenPath("vaultgemma/plain"), { device: device(), quantization: quantization as "nf4" }),
		).rejects.toMatchObject({
			name: "ValueError",
			code: "call/argument",
			message: expect.stringContaining('expected "nf4"'),
		});
	});
});

describe("config.json", () => {
	it("may nest the rotary positions by layer type, and scale them by nothing", () => {
		const { rope_parameters: _, ...rest } = goldenJson<Record<string, unknown>>("vaultgemma/plain/config.json");
		const own = { rope_type: "default", rope_theta: 500 };
		expect(parseConfig({ ...rest, rope_parameters: { full_attention: own, sliding_attention: own } }).rope_theta).toBe(500);
		expect(parseConfig({ ...rest, rope_parameters: { full_attention: own } }).rope_theta).toBe(500);
		expect(parseConfig({ ...rest, rope_theta: 500, rope_scaling: { rope_type: "default" } }).rope_theta).toBe(500);
		expect(parseConfig({ ...rest, rope_theta: 500, rope_scaling: { type: "default" } }).rope_theta).toBe(500);
		for (const bad of [
			{ rope_parameters: { full_attention: own, sliding_attention: { ...own, rope_theta: 600 } } },
			{ rope_parameters: { full_attention: { rope_type: "linear", factor: 8 } } },
			{ rope_scaling: { rope_type: "linear", factor: 8 } },
			{ rope_scaling: { type: "dynamic" } },
			{ rope_scaling: { factor: 8 } },
		]) {
			expect(() => parseConfig({ ...rest, ...bad })).toThrow(expect.objectContaining({ code: "config/unsupported" }));
		}
	});

	const plain = goldenJson<Record<string, unknown>>("vaultgemma/plain/config.json");

	it("keeps an explicit null, and takes the class default for an absent key", () => {
		const { attn_logit_softcapping: _, final_logit_softcapping: __, layer_types: ___, ...rest } = plain;
		expect(parseConfig({ ...rest, final_logit_softcapping: null })).toMatchObject({
			attn_logit_softcapping: 50,
			final_logit_softcapping: null,
			layer_types: ["sliding_attention", "full_attention"],
		});
		expect(parseConfig(plain)).toMatchObject({ attn_logit_softcapping: null, final_logit_softcapping: null });
	});

	it("takes one end token, several or none", () => {
		expect(parseConfig({ ...plain, eos_token_id: [1, 107] }).eos_token_id).toEqual([1, 107]);
		expect(parseConfig({ ...plain, eos_token_id: null }).eos_token_id).toBeNull();
		expect(() => parseConfig({ ...plain, eos_token_id: ["1"] })).toThrow(expect.objectContaining({ code: "config/field" }));
	});
});

it("tells how far loading is, tensor by tensor, up to the whole model", async () => {
	const told: { readonly loaded: number; readonly total: number }[] = [];
	const model = await fromPretrained(goldenPath("vaultgemma/plain"), { device: device(), onProgress: (progress) => told.push(progress) });
	const tensors = [...model.namedParameters()];
	const total = tensors.reduce((sum, [, p]) => sum + p.shape.reduce((a, b) => a * b, 1), 0);
	expect(told.length).toBe(tensors.length);
	expect(told.at(-1)).toEqual({ loaded: total, total });
	expect(told.every((p, i) => i === 0 || p.loaded > (told[i - 1]?.loaded ?? 0))).toBe(true);
	model.dispose();
});
