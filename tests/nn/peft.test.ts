import {
	adapterKey,
	applyLora,
	Linear,
	loraConfig,
	loraLayers,
	Module,
	matchesTarget,
	parseLoraConfig,
	serializeLoraConfig,
	trainableParametersLine,
} from "@hushgrad/nn";
import { data, key } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

class Attention extends Module {
	readonly q_proj = new Linear(64, 32, { bias: false });
	readonly o_proj = new Linear(32, 64, { bias: false });
}

class Net extends Module {
	readonly attn = new Attention();
	readonly head = new Linear(64, 10, { bias: false });
}

const config = loraConfig({ r: 4, lora_alpha: 8, target_modules: ["q_proj", "o_proj"] });

describe("target_modules", () => {
	it.each([
		["model.layers.0.self_attn.q_proj", ["q_proj"], true],
		["q_proj", ["q_proj"], true],
		["model.my_q_proj", ["q_proj"], false],
		["model.q_proj.inner", ["q_proj"], false],
		["layers.3.q_proj", "layers\\.3\\..*", true],
		["layers.31.q_proj", "layers\\.3", false],
		["anything", "all-linear", true],
		["model.layers.0.self_attn.q_proj", ".*\\.(q_proj|v_proj)", true],
		["model.layers.0.self_attn.k_proj", ".*\\.(q_proj|v_proj)", false],
		["model.layers.12.mlp.up_proj", "(.*\\.)?layers\\.(1[0-9]|2)\\.mlp\\.(up|down)_proj", true],
		[
			"model.layers.3.self_attn.q_proj",
			"(?:.*?(?:language|text).*?(?:attn|mlp).*?(?:q_proj|k_proj).*?)|(?:\\bmodel\\.layers\\.[\\d]{1,}\\.(?:self_attn|mlp)\\.(?:(?:q_proj|k_proj)))",
			true,
		],
		["model.layers.0.self_attn.Q_PROJ", "(?i).*\\.q_proj", true],
		["model.layers.0.self_attn.q_proj", "(?i).*\\.Q_[A-P]ROJ", true],
		["a\nb", "a.b", false],
	] as const)("%s against %j: %s", (path, target, expected) => {
		expect(matchesTarget(path, target)).toBe(expected);
	});
});

describe("a regular expression in target_modules", () => {
	const atom = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\w", "\\d", "\\.", "\\b", "^", "$", "(a|b)", "(?:ab)", "(a|)", "(b*)");
	const repeats = fc.constantFrom("", "", "", "*", "+", "?", "*?", "{2}", "{0,2}", "{1,}");
	const part = fc.tuple(atom, repeats).map(([a, r]) => (/^(\\b|\^|\$)$/.test(a.replace("\\\\", "\\")) ? a : a + r));
	const pattern = fc
		.array(part, { maxLength: 4 })
		.chain((first) =>
			fc.array(part, { maxLength: 4 }).map((second) => (second.length === 0 ? first.join("") : `${first.join("")}|(${second.join("")})+`)),
		);

	it("matches what JavaScript's own engine matches, which is asked for the same", () => {
		fc.assert(
			fc.property(pattern, fc.string({ unit: fc.constantFrom("a", "b", ".", "1"), maxLength: 6 }), (source, path) => {
				expect(matchesTarget(path, source), `${source} on ${path}`).toBe(new RegExp(`^(?:${source})$`).test(path));
			}),
			{ numRuns: 3000, seed: 11 },
		);
	});

	it("may not nest without end", () => {
		expect(() => matchesTarget("a", "(".repeat(50_000))).toThrow(expect.objectContaining({ code: "lora/pattern" }));
	});

	it.each(["(a+)+$", "(a|a)*b", "(.*)*(.*)*(.*)*x", "((a*)*)*b", "(a{1,20}){1,20}b"])("cannot hang: %s", (source) => {
		const started = performance.now();
		expect(matchesTarget("a".repeat(400), source)).toBe(source === "(a+)+$");
		// The other engine takes 2^400 steps; this one some 400 times the states, at most 5000.
		expect(performance.now() - started).toBeLessThan(5000);
	});

	it.each([
		"(",
		")",
		"[a",
		"a)",
		"*a",
		"a**",
		"a{3,2}",
		"(?=a)",
		"(?!a)",
		"(?<=a)b",
		"(?<n>a)",
		"(a)\\1",
		"(?s)a",
		"a\\",
		"\\p{L}",
		"a{9999}",
	])("is refused by name where it is malformed or not read: %s", (source) => {
		expect(() => matchesTarget("a", source)).toThrow(expect.objectContaining({ name: "ValueError", code: "lora/pattern" }));
		const text = JSON.stringify({ ...JSON.parse(serializeLoraConfig(config)), target_modules: source });
		expect(() => parseLoraConfig(text, "a/adapter_config.json")).toThrow(
			expect.objectContaining({ name: "FormatError", code: "adapter/config", path: "a/adapter_config.json" }),
		);
	});
});

describe("adapter_config.json", () => {
	it("comes back as it was written", () => {
		const full = loraConfig({ ...config, lora_dropout: 0.05, use_rslora: true, base_model_name_or_path: "google/vaultgemma-1b" });
		expect(parseLoraConfig(serializeLoraConfig(full), "x")).toEqual({ config: full, warnings: [] });
	});

	it("has sorted keys and inference_mode true, as peft writes it", () => {
		const json = JSON.parse(serializeLoraConfig(config));
		expect(Object.keys(json)).toEqual(Object.keys(json).sort());
		expect(json).toMatchObject({ inference_mode: true, peft_type: "LORA", task_type: "CAUSAL_LM", bias: "none", r: 4, lora_alpha: 8 });
	});

	it("warns of unknown fields and refuses features it does not have", () => {
		const text = (extra: object) => JSON.stringify({ ...JSON.parse(serializeLoraConfig(config)), ...extra });
		expect(parseLoraConfig(text({ brand_new: 3, also_new: null }), "p").warnings).toEqual(["p: unknown field brand_new = 3 was left out"]);
		for (const bad of [
			{ use_dora: true },
			{ rank_pattern: { q: 3 } },
			{ bias: "all" },
			{ modules_to_save: ["head"] },
			{ peft_type: "IA3" },
			{ r: 0 },
			{ r: 1.5 },
			{ lora_alpha: "16" },
			{ lora_dropout: 1 },
			{ target_modules: [] },
			{ target_modules: null },
			{ init_lora_weights: "pissa" },
			{ init_lora_weights: "pissa_niter_16" },
			{ init_lora_weights: "olora" },
			{ init_lora_weights: "loftq" },
			{ lora_alpha: 1e300 },
		]) {
			expect(() => parseLoraConfig(text(bad), "p")).toThrow(expect.objectContaining({ code: "adapter/config" }));
		}
		expect(() => parseLoraConfig("{", "p")).toThrow(expect.objectContaining({ code: "adapter/config" }));
		expect(() => parseLoraConfig("3", "p")).toThrow(expect.objectContaining({ code: "adapter/config" }));
	});

	it("names the initialisation that changed the base, and takes those that did not", () => {
		const text = (init_lora_weights: unknown) => JSON.stringify({ ...JSON.parse(serializeLoraConfig(config)), init_lora_weights });
		expect(() => parseLoraConfig(text("pissa"), "p")).toThrow(expect.objectContaining({ message: expect.stringContaining('"pissa"') }));
		for (const init of [true, false, "gaussian", "eva", undefined]) expect(parseLoraConfig(text(init), "p").config).toEqual(config);
	});

	it("names tensors as peft does", () => {
		expect(adapterKey("model.layers.0.self_attn.q_proj", "A")).toBe("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
	});
});

describe("applyLora", () => {
	const device = useDevice();

	it("freezes the base, counts as peft counts and keeps the tree's names", () => {
		const net = new Net();
		const layers = applyLora(net, config);
		expect([...layers.keys()]).toEqual(["attn.q_proj", "attn.o_proj"]);
		// 2 layers of 4 (64 + 32) weights over 64*32*2 + 640 frozen ones.
		expect(trainableParametersLine(net)).toBe("trainable params: 768 || all params: 5,504 || trainable%: 13.9535");
		expect([...net.trainableParameters().keys()]).toEqual(
			["q_proj", "o_proj"].flatMap((p) => [`attn.${p}.lora_A.weight`, `attn.${p}.lora_B.weight`]),
		);
		expect(loraLayers(net).size).toBe(2);
	});

	it("starts A uniform in (-1/sqrt(in), 1/sqrt(in)) and B at zero", async () => {
		const layers = applyLora(new Net(), config, { device: device(), key: key(1) });
		for (const layer of layers.values()) {
			const a = (await data(layer.lora_A.weight.value)) as Float32Array;
			const bound = 1 / Math.sqrt(layer.base_layer.inFeatures);
			expect(Math.max(...a)).toBeLessThanOrEqual(bound);
			expect(Math.min(...a)).toBeGreaterThanOrEqual(-bound);
			// Uniform: the standard deviation is bound / sqrt(3), here of 128 or more values.
			const std = Math.sqrt(a.reduce((s, v) => s + v * v, 0) / a.length);
			expect(std / (bound / Math.sqrt(3))).toBeGreaterThan(0.8);
			expect((await data(layer.lora_B.weight.value)).every((v) => v === 0)).toBe(true);
		}
		const [q, o] = [...layers.values()];
		expect([...(await data(q.lora_A.weight.value))].slice(0, 8)).not.toEqual([...(await data(o.lora_A.weight.value))].slice(0, 8));
	});

	it("refuses a target that matches nothing, and rank 0", () => {
		expect(() => applyLora(new Net(), { ...config, target_modules: ["k_proj"] })).toThrow(
			expect.objectContaining({ code: "lora/targets" }),
		);
		expect(() => applyLora(new Net(), { ...config, r: 0 })).toThrow(expect.objectContaining({ code: "lora/rank" }));
		expect(() => applyLora(new Net(), { ...config, lora_alpha: Number.NaN })).toThrow(expect.objectContaining({ code: "lora/alpha" }));
	});

	it("leaves a model that it refuses as it was", () => {
		for (const bad of [{ target_modules: ["k_proj"] }, { r: 0 }, { lora_dropout: 2 }, { target_modules: "(" }]) {
			const net = new Net();
			expect(() => applyLora(net, { ...config, ...bad })).toThrow(expect.objectContaining({ name: "ValueError" }));
			expect(net.trainableParameters().size).toBe(3);
			expect(loraLayers(net).size).toBe(0);
		}
	});

	it("says that a linear layer by itself cannot be replaced in itself", () => {
		expect(() => applyLora(new Linear(8, 8, { bias: false }), { ...config, target_modules: "all-linear" })).toThrow(
			expect.objectContaining({ code: "lora/targets", hint: expect.stringContaining("field of a Module") }),
		);
	});
});
