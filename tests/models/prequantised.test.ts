import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromPretrained, loadWeights, openCheckpoint, parseConfig, saveModel, VaultGemmaForCausalLM } from "@hushgrad/models";
import { encodeSafetensors, type FloatDType, type NF4Parameter, type TensorData, toFloat32 } from "@hushgrad/nn";
import { data, type Tensor, vmap } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, goldenPath, goldenTensors, relativeError } from "../support/goldens.ts";

const device = useDevice();
const Q = "model.layers.0.self_attn.q_proj";
const TYPES: readonly FloatDType[] = ["F32", "BF16", "F16"];
let folder: string;
let count = 0;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function tensorsOf(directory: string): Promise<Map<string, TensorData>> {
	const checkpoint = await openCheckpoint(directory);
	const tensors = new Map<string, TensorData>();
	for (const name of checkpoint.names()) tensors.set(name, { ...checkpoint.info(name), data: await checkpoint.read(name) });
	await checkpoint.close();
	return tensors;
}

async function write(config: string, tensors: ReadonlyMap<string, TensorData>): Promise<string> {
	const directory = join(folder, String(count++));
	await mkdir(directory);
	await cp(config, join(directory, "config.json"));
	await writeFile(join(directory, "model.safetensors"), Buffer.concat(encodeSafetensors(tensors)));
	return directory;
}

const { ids } = goldenJson<{ ids: number[][] }>("vaultgemma/plain/expected.json");
async function logitsOf(model: VaultGemmaForCausalLM) {
	const batch = device().fromHost(Int32Array.from(ids.flat()), [ids.length, ids[0].length]);
	return data(device().scope<Tensor>(() => vmap((one: Tensor) => model.call(one))(batch)));
}
const weightOf = (model: VaultGemmaForCausalLM, path: string) => new Map(model.namedParameters()).get(`${path}.weight`) as NF4Parameter;

describe.each(TYPES)("four bits of a checkpoint in %s", (dtype) => {
	const golden = goldenPath(`prequantised/${dtype}`);

	it("give the logits of bitsandbytes, quantised here or there", async () => {
		const expected = (await goldenTensors(`prequantised/${dtype}/expected.safetensors`)).get("logits") as Float32Array;
		const there = await fromPretrained(golden, { device: device() });
		expect(relativeError(await logitsOf(there), expected)).toBeLessThan(1e-4);

		const plain = await tensorsOf(goldenPath("vaultgemma/plain"));
		for (const [name, t] of plain) plain.set(name, { ...t, dtype, data: toFloat32(t.data as Uint8Array, "F32") });
		const source = await write(goldenPath("vaultgemma/plain/config.json"), plain);
		const here = await fromPretrained(source, { device: device(), quantization: "nf4" });
		expect(relativeError(await logitsOf(here), expected)).toBeLessThan(1e-4);
		for (const model of [here, there]) {
			expect(weightOf(model, Q).dtype).toBe(dtype);
			expect([...model.namedParameters()].filter(([, p]) => p.format === "nf4")).toHaveLength(14);
		}
	});

	it("stand for bitsandbytes' numbers, bit for bit, also after they were saved and loaded", async () => {
		const expected = (await goldenTensors(`prequantised/${dtype}/expected.safetensors`)).get(Q);
		const model = await fromPretrained(golden, { device: device(), quantization: "nf4" });
		expect(await data(weightOf(model, Q).dequantize())).toEqual(expected);
		const directory = join(folder, `saved-${dtype}`);
		await saveModel(model, directory, { dtype, quantization: "nf4" });
		const [ours, theirs] = [await tensorsOf(directory), await tensorsOf(golden)];
		expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
		for (const [name, t] of theirs) expect(ours.get(name), name).toEqual(t);
		const again = await fromPretrained(directory, { device: device() });
		expect(await logitsOf(again)).toEqual(await logitsOf(model));
		expect(await readFile(join(directory, "config.json"), "utf8")).toContain('"quant_method": "bitsandbytes"');
	});
});

describe("a pre-quantised checkpoint that cannot be held as it is", () => {
	const golden = goldenPath("prequantised/BF16");
	const state = `${Q}.weight.quant_state.bitsandbytes__nf4`;
	const change = (fields: object) => (t: Map<string, TensorData>) => {
		const bytes = t.get(state)?.data as Uint8Array;
		const text = new TextEncoder().encode(JSON.stringify({ ...JSON.parse(new TextDecoder().decode(bytes)), ...fields }));
		t.set(state, { dtype: "U8", shape: [text.length], data: text });
	};
	const rename = (to: string) => (t: Map<string, TensorData>) => {
		t.set(to, t.get(state) as TensorData);
		t.delete(state);
	};

	it.each<[string, string, (t: Map<string, TensorData>) => void]>([
		["FP4", "FP4", rename(`${Q}.weight.quant_state.bitsandbytes__fp4`)],
		["without double quantisation", "without double quantisation", (t) => t.delete(`${Q}.weight.nested_absmax`)],
		["blocks of 128", "blocksize 128", change({ blocksize: 128 })],
		["nested blocks of 512", "nested_blocksize 512", change({ nested_blocksize: 512 })],
		["a type that torch does not have", 'dtype "float8"', change({ dtype: "float8" })],
		["an offset that is no number", "nested_offset", change({ nested_offset: null })],
		["a shape that does not fit its codes", "U8", change({ shape: [64, 64] })],
		[
			"a map that is not NF4's",
			"quant_map",
			(t) => t.set(`${Q}.weight.quant_map`, { dtype: "F32", shape: [16], data: new Float32Array(16) }),
		],
		["a part missing", "absmax as nothing", (t) => t.delete(`${Q}.weight.absmax`)],
		["a state that is no JSON", "no JSON", (t) => t.set(state, { dtype: "U8", shape: [1], data: Uint8Array.of(0x7b) })],
	])("is refused by name: %s", async (_, message, damage) => {
		const tensors = await tensorsOf(golden);
		damage(tensors);
		const { liveBuffers } = device().memory();
		await expect(fromPretrained(await write(join(golden, "config.json"), tensors), { device: device() })).rejects.toMatchObject({
			name: "FormatError",
			code: "checkpoint/quantized",
			message: expect.stringContaining(message),
			hint: expect.any(String),
		});
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("is refused by name: 8 bits, other methods, and a model that holds its weights in f32", async () => {
		const config = goldenJson<Record<string, unknown>>("prequantised/BF16/config.json");
		for (const inner of [{ quant_method: "gptq" }, { quant_method: "bitsandbytes", load_in_8bit: true }]) {
			expect(() => parseConfig({ ...config, quantization_config: inner })).toThrow(expect.objectContaining({ code: "config/unsupported" }));
		}
		const plain = await tensorsOf(goldenPath("vaultgemma/plain"));
		plain.set(`${Q}.SCB`, { dtype: "F32", shape: [32], data: new Float32Array(32) });
		await expect(fromPretrained(await write(join(golden, "config.json"), plain), { device: device() })).rejects.toMatchObject({
			code: "checkpoint/quantized",
			message: expect.stringContaining("8 bits"),
		});
		const dense = new VaultGemmaForCausalLM(parseConfig(config));
		const checkpoint = await openCheckpoint(golden);
		await expect(loadWeights(dense, checkpoint, device(), golden)).rejects.toMatchObject({
			code: "checkpoint/quantized",
			hint: expect.stringContaining("quantizeLinears"),
		});
		await checkpoint.close();
	});
});
