import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromPretrained, loadAdapter, saveAdapter, type TrainingRecord } from "@hushgrad/models";
import { adapterKey, applyLora, loraConfig, trainableParametersLine } from "@hushgrad/nn";
import { data, key, normal, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, goldenPath, goldenTensors, relativeError } from "../support/goldens.ts";

interface Expected {
	readonly ids: number[][];
	readonly targets: number[][];
}

/** The bound; peft's own f32 run is about 2e-6 from f64 on this model. */
const TOLERANCE = 1e-4;

describe("adapters of peft", () => {
	const device = useDevice();
	const expected = goldenJson<Expected>("lora/expected.json");
	const upload = (rows: number[][]): Tensor => device().fromHost(Int32Array.from(rows.flat()), [rows.length, rows[0].length]);
	const load = async (adapter: string) => {
		const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device() });
		const { config } = await loadAdapter(model, adapter, device());
		return { model, config };
	};
	let folder: string;
	beforeAll(async () => {
		folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
	});
	afterAll(() => rm(folder, { recursive: true }));

	it.each([
		["adapter", "logits"],
		["adapter_rslora", "logits_rslora"],
	])("load, and give peft's logits: %s", async (directory, name) => {
		const tensors = await goldenTensors("lora/expected.safetensors");
		const { model } = await load(goldenPath(`lora/${directory}`));
		const logits = device().scope<Tensor>(() => vmap((ids: Tensor) => model.call(ids))(upload(expected.ids)));
		expect(relativeError(await data(logits), tensors.get(name) as Float32Array)).toBeLessThan(TOLERANCE);
	});

	it("train with peft's gradients, one record at a time", async () => {
		const tensors = await goldenTensors("lora/expected.safetensors");
		const { model } = await load(goldenPath("lora/adapter"));
		const rows = expected.ids.length;
		const weights = Float32Array.from(expected.targets, (row) => 1 / row.filter((t) => t !== -100).length);
		const trainable = model.trainableParameters();
		const { value, grads } = vmap((record: TrainingRecord) => valueAndGrad(() => model.loss(record), [...trainable.values()]))({
			ids: upload(expected.ids),
			targets: upload(expected.targets),
			weight: device().fromHost(weights, [rows]),
		});
		expect(relativeError(await data(value), tensors.get("losses") as Float32Array)).toBeLessThan(TOLERANCE);
		for (const [i, path] of [...trainable.keys()].entries()) {
			const golden = tensors.get(`persample/base_model.model.${path}`) as Float32Array;
			expect(relativeError(await data(grads[i]), golden), path).toBeLessThan(TOLERANCE);
		}
		expect([...tensors.keys()].filter((k) => k.startsWith("persample/")).length).toBe(trainable.size);
	});

	it("are counted in peft's words", async () => {
		const { model } = await load(goldenPath("lora/adapter"));
		expect(JSON.stringify(goldenJson("lora/expected.json"))).toContain(trainableParametersLine(model));
	});

	it("come back bit for bit after saving, under peft's names", async () => {
		const config = loraConfig({ r: 3, lora_alpha: 5, target_modules: ["q_proj", "down_proj"] });
		const base = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device(), quantization: "nf4" });
		const layers = applyLora(base, config, { device: device(), key: key(2) });
		for (const { lora_B } of layers.values()) lora_B.weight.assign(normal(device(), lora_B.weight.shape, key(3)));
		const saved = join(folder, "new", "adapter");
		await saveAdapter(base, saved, config);
		expect((await readdir(saved)).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);

		const again = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device(), quantization: "nf4" });
		expect(await loadAdapter(again, saved, device())).toEqual({ config, warnings: [] });
		const [a, b] = [base, again].map((m) => device().scope<Tensor>(() => vmap((ids: Tensor) => m.call(ids))(upload(expected.ids))));
		expect(await data(a)).toEqual(await data(b));
	});

	it("are refused when they do not fit", async () => {
		const broken = async (name: string, change: (directory: string) => Promise<void>) => {
			const directory = join(folder, name);
			await cp(goldenPath("lora/adapter"), directory, { recursive: true });
			await change(directory);
			const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device() });
			return loadAdapter(model, directory, device()).then(
				() => "loaded",
				(error) => `${error.name} ${error.code}`,
			);
		};
		const config = async (directory: string, fields: object) => {
			const path = join(directory, "adapter_config.json");
			await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...fields }));
		};
		expect(await broken("rank", (d) => config(d, { r: 5 }))).toBe("FormatError adapter/shape");
		expect(await broken("fewer", (d) => config(d, { target_modules: ["q_proj"] }))).toBe("FormatError adapter/extra");
		expect(await broken("dora", (d) => config(d, { use_dora: true }))).toBe("FormatError adapter/config");
		expect(await broken("pissa", (d) => config(d, { init_lora_weights: "pissa" }))).toBe("FormatError adapter/config");
		expect(await broken("alpha", (d) => config(d, { lora_alpha: 1e300 }))).toBe("FormatError adapter/config");
		expect(await broken("pattern", (d) => config(d, { target_modules: "(" }))).toBe("FormatError adapter/config");
		expect(await broken("hanging", (d) => config(d, { target_modules: "(.*)*(.*)*(.*)*!" }))).toBe("FormatError adapter/extra");
		expect(
			await broken("nan", async (d) => {
				const path = join(d, "adapter_model.safetensors");
				const bytes = await readFile(path);
				bytes.writeFloatLE(Number.NaN, bytes.length - 8);
				await writeFile(path, bytes);
			}),
		).toBe("FormatError adapter/not-finite");
		expect(await broken("none", (d) => config(d, { target_modules: ["nothing"] }))).toBe("FormatError adapter/extra");
		expect(await broken("more", (d) => config(d, { target_modules: "all-linear" }))).toBe("loaded");
		expect(await broken("no-config", (d) => rm(join(d, "adapter_config.json")))).toBe("FormatError adapter/config");
		expect(await broken("no-weights", (d) => rm(join(d, "adapter_model.safetensors")))).toBe("FormatError file/missing");
		expect(
			await broken("short", async (d) => {
				const path = join(d, "adapter_model.safetensors");
				await writeFile(path, (await readFile(path)).subarray(0, -10));
			}),
		).toBe("FormatError safetensors/length");
	});

	it("tell the caller of fields that were left out", async () => {
		const directory = join(folder, "unknown");
		await cp(goldenPath("lora/adapter"), directory, { recursive: true });
		const path = join(directory, "adapter_config.json");
		await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), lora_magic: 2 }));
		const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device() });
		const { warnings } = await loadAdapter(model, directory, device());
		expect(warnings).toEqual([`${path}: unknown field lora_magic = 2 was left out`]);
	});

	it("name every tensor", () => {
		expect(adapterKey("model.layers.1.mlp.down_proj", "B")).toBe("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight");
	});
});
