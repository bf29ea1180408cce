import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endIds, parseConfig, readConfig, readGenerationConfig } from "@hushgrad/models";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkConfig, serializeConfig } from "../../packages/models/src/gemma/config.ts";

/** What transformers' VaultGemmaConfig() has where config.json says nothing. */
const DEFAULTS = {
	...{ vocab_size: 256000, hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 26 },
	...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, query_pre_attn_scalar: 256 },
	...{ attn_logit_softcapping: 50, final_logit_softcapping: 30, sliding_window: 4096, rms_norm_eps: 1e-6 },
	...{ rope_theta: 10000, max_position_embeddings: 8192, pad_token_id: 0, bos_token_id: 2, eos_token_id: 1 },
	layer_types: Array.from({ length: 26 }, (_, i) => ["sliding_attention", "full_attention"][i % 2]),
};

const parse = (fields: object, path?: string) => parseConfig({ model_type: "vaultgemma", ...fields }, path);
const refusal = (code: string, message: string, hint: string, path = "config.json") =>
	expect.objectContaining({ name: "FormatError", code, path, hint, message: `parseConfig: ${message}\n  in ${path}\n  Hint: ${hint}` });
const FIELD_HINT = "use the config.json that belongs to the weights";

describe("parseConfig", () => {
	it("takes the defaults of transformers for what is absent", () => {
		expect(parse({})).toEqual(DEFAULTS);
		expect(() => parseConfig({})).toThrow(
			refusal("config/unsupported", 'model_type is absent, expected "vaultgemma"', "only VaultGemma checkpoints can be loaded"),
		);
	});

	it("takes nothing from the prototype of what it reads", () => {
		expect(parseConfig(Object.assign(Object.create({ hidden_size: 3 }), { model_type: "vaultgemma" })).hidden_size).toBe(2304);
	});

	const SIZES = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"];

	it.each([...SIZES, "head_dim", "max_position_embeddings"])("takes a whole number from 1 to 2^31 for %s", (name) => {
		const others = { num_key_value_heads: 1, pad_token_id: null };
		for (const size of name === "head_dim" ? [2, 2 ** 31] : name === "num_hidden_layers" ? [1, 3] : [1, 2 ** 31]) {
			expect(parse({ ...others, num_attention_heads: 2 ** 31, [name]: size })).toMatchObject({ [name]: size });
		}
		for (const bad of [0, -1, 1.5, 2 ** 31 + 1, "3", true, [3]]) {
			expect(() => parse({ [name]: bad })).toThrow(
				refusal("config/field", `${name} is ${JSON.stringify(bad)}, expected a whole number above 0`, FIELD_HINT),
			);
		}
		expect(parse({ ...others, [name]: null })).toHaveProperty(name, name in others ? 4 : DEFAULTS[name as "hidden_size"]);
	});

	it.each(["query_pre_attn_scalar", "rms_norm_eps", "rope_theta", "attn_logit_softcapping", "final_logit_softcapping", "sliding_window"])(
		"takes a number above 0 for %s",
		(name) => {
			for (const good of [0.5, 1e-30, 7]) expect(parse({ [name]: good })).toMatchObject({ [name]: good });
			for (const bad of [0, -1, "3", true]) {
				expect(() => parse({ [name]: bad })).toThrow(
					refusal("config/field", `${name} is ${JSON.stringify(bad)}, expected a number above 0`, FIELD_HINT),
				);
			}
			for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
				expect(() => parse({ [name]: bad })).toThrow(`${name} is null, expected a number above 0`);
			}
		},
	);

	it("keeps a null where it has a meaning", () => {
		const none = {
			attn_logit_softcapping: null,
			final_logit_softcapping: null,
			pad_token_id: null,
			bos_token_id: null,
			eos_token_id: null,
		};
		expect(parse(none)).toEqual({ ...DEFAULTS, ...none });
		expect(parse({ query_pre_attn_scalar: null, rms_norm_eps: null, rope_theta: null, layer_types: null })).toEqual(DEFAULTS);
	});

	it("takes one token id or none, and of end tokens several", () => {
		expect(parse({ pad_token_id: 255999, bos_token_id: 0, eos_token_id: [] })).toMatchObject({
			...{ pad_token_id: 255999, bos_token_id: 0, eos_token_id: [] },
		});
		expect(parse({ eos_token_id: [1, 0, 106] }).eos_token_id).toEqual([1, 0, 106]);
		for (const bad of ["1", -1, 0.5, [1, "2"]]) {
			expect(() => parse({ eos_token_id: bad })).toThrow(
				refusal("config/field", `eos_token_id is ${JSON.stringify(bad)}, expected a token id, a list of them or null`, FIELD_HINT),
			);
		}
		expect(() => parse({ bos_token_id: [2] })).toThrow(
			refusal("config/field", "bos_token_id is [2], expected a token id or null", FIELD_HINT),
		);
	});

	it("takes a type of attention for each layer", () => {
		const layer_types = ["full_attention", "full_attention", "sliding_attention"];
		expect(parse({ num_hidden_layers: 3, layer_types }).layer_types).toEqual(layer_types);
		const full = { num_hidden_layers: 1, layer_types: ["full_attention"], sliding_window: null };
		expect(parse(full).sliding_window).toBeNull();
		expect(() => parse({ num_hidden_layers: 2, layer_types: "ab" })).toThrow('layer_types is "ab", expected one of "full_attention" and');
		for (const bad of [layer_types, 3, ["full_attention", "chunked_attention"], { length: 2 }]) {
			expect(() => parse({ num_hidden_layers: 2, layer_types: bad })).toThrow(
				'expected one of "full_attention" and "sliding_attention" for each of 2 layers',
			);
		}
	});

	it.each<[string, object]>([
		["num_key_value_heads is 3, expected a divisor of num_attention_heads, 8", { num_key_value_heads: 3 }],
		["head_dim is 5, expected an even number, for rotary positions", { head_dim: 5 }],
		["pad_token_id is 10, expected an id below vocab_size, 10", { pad_token_id: 10, vocab_size: 10 }],
		["sliding_window is null, expected a number, because layer_types has sliding layers", { sliding_window: null }],
	])("refuses what does not go together: %s", (message, fields) => {
		expect(() => parse(fields, "x/config.json")).toThrow(refusal("config/field", message, FIELD_HINT, "x/config.json"));
	});

	it.each<[string, string, object]>([
		['model_type is "llama", expected "vaultgemma"', "only VaultGemma checkpoints can be loaded", { model_type: "llama" }],
		['hidden_activation is "gelu", expected "gelu_pytorch_tanh"', "only the tanh form of GELU is built", { hidden_activation: "gelu" }],
		["attention_bias is true, expected false", "attention without bias is built", { attention_bias: true }],
		["tie_word_embeddings is false, expected true", "the head of this family is its embedding", { tie_word_embeddings: false }],
		["attention_dropout is 0.1, expected 0", "set it to 0", { attention_dropout: 0.1 }],
	])("refuses what is not built: %s", (message, hint, fields) => {
		expect(() => parse(fields)).toThrow(refusal("config/unsupported", message, hint));
	});

	it("takes what is built, written out", () => {
		const built = { hidden_activation: "gelu_pytorch_tanh", attention_bias: false, tie_word_embeddings: true, attention_dropout: 0 };
		expect(parse(built)).toEqual(DEFAULTS);
	});

	it("takes what bitsandbytes quantised to four bits, and nothing else", () => {
		for (const quantization_config of [
			...[null, {}, { quant_method: "bitsandbytes", load_in_4bit: true }],
			...[{ load_in_8bit: false }, { load_in_8bit: null }],
		]) {
			expect(parse({ quantization_config })).toEqual(DEFAULTS);
		}
		const hint = 'load the checkpoint that was quantised, with quantization: "nf4" to save memory';
		const path = "config.json: quantization_config";
		expect(() => parse({ quantization_config: { quant_method: "gptq" } })).toThrow(
			refusal("config/unsupported", 'quant_method is "gptq", expected "bitsandbytes"', hint, path),
		);
		expect(() => parse({ quantization_config: { load_in_8bit: true } })).toThrow(
			refusal("config/unsupported", "load_in_8bit is true, expected false or null", hint, path),
		);
		expect(() => parse({ quantization_config: "nf4" })).toThrow(expect.objectContaining({ code: "config/object", path }));
	});

	it("takes rotary positions that are not scaled, of transformers 4 and 5", () => {
		for (const [theta, fields] of [
			[10000, { rope_scaling: null, rope_parameters: null }],
			[7, { rope_theta: 7, rope_type: "default" }],
			[7, { rope_theta: 7, rope_scaling: { rope_type: "default", type: null } }],
			[7, { rope_theta: 7, rope_scaling: { type: "default" } }],
			[7, { rope_theta: 7, rope_scaling: { rope_type: null } }],
			[7, { rope_theta: 7, rope_parameters: {} }],
			[8, { rope_theta: 7, rope_parameters: { rope_theta: 8, rope_type: "default" } }],
			[8, { rope_theta: 7, rope_parameters: { rope_theta: 8, full_attention: null } }],
			[10000, { rope_theta: 7, rope_parameters: { rope_theta: 8, full_attention: {} } }],
			[9, { rope_parameters: { sliding_attention: { rope_theta: 9 } } }],
			[9, { rope_parameters: { full_attention: { rope_theta: 9 }, sliding_attention: { rope_theta: 9 } } }],
		] as const) {
			expect(parse(fields).rope_theta, JSON.stringify(fields)).toBe(theta);
		}
	});

	it.each<[string, string, object]>([
		['rope_type is "linear", expected "default" or null', "config.json", { rope_type: "linear" }],
		['rope_type is "linear", expected "default" or null', "config.json: rope_scaling", { rope_scaling: { rope_type: "linear" } }],
		[
			'type is "linear", expected "default" or null',
			"config.json: rope_scaling",
			{ rope_scaling: { type: "linear", rope_type: "default" } },
		],
		['type is absent, expected "default"', "config.json: rope_scaling", { rope_scaling: { factor: 2 } }],
		['type is null, expected "default"', "config.json: rope_scaling", { rope_scaling: { type: null } }],
		['rope_type is "yarn", expected "default" or null', "config.json: rope_parameters", { rope_parameters: { rope_type: "yarn" } }],
		[
			'rope_type is "yarn", expected "default" or null',
			"config.json: rope_parameters.full_attention",
			{ rope_parameters: { full_attention: { rope_type: "yarn" } } },
		],
	])("refuses scaled rotary positions: %s in %s", (message, path, fields) => {
		expect(() => parse(fields)).toThrow(refusal("config/unsupported", message, "scaled rotary positions are not built", path));
	});

	it("refuses one base of rotary positions for each type of layer", () => {
		const rope_parameters = { full_attention: { rope_theta: 8 }, sliding_attention: {} };
		expect(() => parse({ rope_parameters })).toThrow(
			refusal(
				"config/unsupported",
				"rope_theta is 8 and 10000 by layer type, expected one for all",
				"a VaultGemma has one table of rotary positions",
				"config.json: rope_parameters",
			),
		);
	});

	it("refuses what is no object, and a path that is no text", () => {
		const hint = "the file is damaged: save or download it again";
		for (const bad of [null, undefined, 3, "x", []]) {
			expect(() => parseConfig(bad)).toThrow(refusal("config/object", "expected a JSON object", hint));
		}
		expect(() => parseConfig({}, 3 as unknown as string)).toThrow("parseConfig: path is 3, expected a string");
	});

	it("shows a value in as many as 60 characters, also one that no JSON text holds", () => {
		const shownAs = (value: unknown, expected: string) =>
			expect(() => parse({ hidden_size: value })).toThrow(`hidden_size is ${expected}, expected a whole number above 0`);
		shownAs("x".repeat(58), `"${"x".repeat(58)}"`);
		shownAs("x".repeat(59), `"${"x".repeat(59)}…`);
		shownAs({ a: [null, true] }, '{"a":[null,true]}');
		shownAs({ a: undefined }, '{"a":"undefined"}');
		shownAs(3n, '"3"');
		shownAs({ a: () => 3, b: new Map() }, '{"a":"a function","b":"an object"}');
		shownAs(Symbol("s"), '"Symbol(s)"');
	});
});

describe("serializeConfig", () => {
	const made = () => parse({ num_hidden_layers: 2, rope_theta: 500, eos_token_id: [1, 106] });

	it("writes the fields of transformers in the order of their names", () => {
		const config = made();
		const text = serializeConfig(config, { dtype: "BF16" });
		const { rope_theta: _, ...rest } = config;
		const written = JSON.parse(text);
		expect(written).toEqual({
			...rest,
			...{ architectures: ["VaultGemmaForCausalLM"], model_type: "vaultgemma", hidden_activation: "gelu_pytorch_tanh" },
			...{ attention_bias: false, attention_dropout: 0, tie_word_embeddings: true, dtype: "bfloat16" },
			rope_parameters: { rope_theta: 500, rope_type: "default" },
		});
		expect(Object.keys(written)).toEqual(Object.keys(written).sort());
		expect(text).toBe(`${JSON.stringify(written, null, 2)}\n`);
		expect(parseConfig(written)).toEqual(config);
	});

	it("names the type of the weights as torch does, and how they were quantised", () => {
		const config = made();
		const types = (["F32", "F16", "BF16"] as const).map((dtype) => JSON.parse(serializeConfig(config, { dtype })).dtype);
		expect(types).toEqual(["float32", "float16", "bfloat16"]);
		const quantised = JSON.parse(serializeConfig(config, { dtype: "F32", quantization: "nf4" }));
		expect(quantised.quantization_config).toEqual({
			...{ quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4", bnb_4bit_use_double_quant: true },
		});
		expect(parseConfig(quantised)).toEqual(config);
	});
});

describe("checkConfig", () => {
	it("gives a whole configuration back", () => {
		const config = parse({});
		expect(checkConfig("Model", config)).toEqual(config);
	});

	it("refuses one that lacks a field, or has one that parseConfig refuses", () => {
		const config = parse({});
		const { head_dim: _, ...rest } = config;
		const refused = (message: string) =>
			expect.objectContaining({
				...{ name: "ValueError", code: "model/config", op: "Model", hint: "readConfig and parseConfig give a configuration" },
				message: `${message}\n  Hint: readConfig and parseConfig give a configuration`,
			});
		expect(() => checkConfig("Model", rest as typeof config)).toThrow(refused("Model: config.head_dim is undefined"));
		const odd = "Model: head_dim is 3, expected an even number, for rotary positions";
		expect(() => checkConfig("Model", { ...config, head_dim: 3 })).toThrow(refused(odd));
		expect(() => checkConfig("Model", { ...config, head_dim: 3 })).toThrow(
			expect.objectContaining({ cause: expect.objectContaining({ code: "config/field", path: "config.json" }) }),
		);
		const broken = Object.assign([...config.layer_types], {
			every: () => {
				throw new RangeError("not the config's fault");
			},
		});
		expect(() => checkConfig("Model", { ...config, layer_types: broken })).toThrow(new RangeError("not the config's fault"));
		expect(() => checkConfig("Model", null as unknown as typeof config)).toThrow("Model: config is null, expected options in an object");
	});
});

describe("endIds", () => {
	it("is a list, whatever the file holds", () => {
		expect([endIds(null), endIds(3), endIds([3, 4])]).toEqual([[], [3], [3, 4]]);
		for (const bad of [-1, "1", ["1"], [1, 0.5], undefined]) {
			expect(() => endIds(bad as number)).toThrow(
				expect.objectContaining({
					code: "call/argument",
					message: expect.stringMatching(/^endIds: eos is .*, expected a token id, a list of them or null/),
				}),
			);
		}
	});
});

describe("files of a model", () => {
	let folder = "";
	beforeAll(async () => {
		folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
	});
	afterAll(() => rm(folder, { recursive: true }));

	const write = (name: string, text: string) => writeFile(join(folder, name), text);
	const missing = { name: "FormatError", code: "file/missing", hint: "name a directory as save_pretrained writes it" };

	it("readConfig reads config.json", async () => {
		await write("config.json", JSON.stringify({ model_type: "vaultgemma", head_dim: 8 }));
		expect((await readConfig(folder)).head_dim).toBe(8);
		await write("config.json", JSON.stringify({ model_type: "vaultgemma", head_dim: 7 }));
		const path = join(folder, "config.json");
		await expect(readConfig(folder)).rejects.toMatchObject({ path, code: "config/field" });
		await write("config.json", "{");
		await expect(readConfig(folder)).rejects.toMatchObject({
			...{ name: "FormatError", code: "file/json", path, hint: "the file is damaged: save or download it again" },
			...{ message: expect.stringContaining("config.json is not JSON: "), cause: expect.any(SyntaxError) },
		});
		await rm(path);
		await expect(readConfig(folder)).rejects.toMatchObject({
			...{ ...missing, path, op: "readConfig", message: expect.stringContaining("readConfig: config.json cannot be read") },
			cause: { code: "ENOENT" },
		});
		await expect(readConfig(3 as unknown as string)).rejects.toThrow("readConfig: directory is 3, expected a string");
	});

	it("readConfig reads as much as 16 MiB", async () => {
		const text = JSON.stringify({ model_type: "vaultgemma" }).padEnd(2 ** 24);
		await write("config.json", text);
		expect(await readConfig(folder)).toEqual(DEFAULTS);
		await write("config.json", `${text} `);
		await expect(readConfig(folder)).rejects.toMatchObject({
			...{ name: "FormatError", code: "file/size", path: join(folder, "config.json") },
			message: expect.stringContaining("config.json has 16777217 bytes, expected at most 16777216"),
		});
	});

	it("readGenerationConfig reads generation_config.json, and config.json only where there is none", async () => {
		await write("config.json", JSON.stringify({ model_type: "vaultgemma", eos_token_id: [5, 6] }));
		expect(await readGenerationConfig(folder)).toEqual({ eosTokenIds: [5, 6] });
		for (const [text, eosTokenIds] of [
			['{"eos_token_id": [1, 107]}', [1, 107]],
			['{"eos_token_id": 7}', [7]],
			["{}", []],
		] as const) {
			await write("generation_config.json", text);
			expect(await readGenerationConfig(folder)).toEqual({ eosTokenIds });
		}
		await write("generation_config.json", "[]");
		await expect(readGenerationConfig(folder)).rejects.toMatchObject({
			code: "config/object",
			path: join(folder, "generation_config.json"),
		});
		await write("generation_config.json", "{");
		await expect(readGenerationConfig(folder)).rejects.toMatchObject({ code: "file/json" });
		await expect(readGenerationConfig(join(folder, "none"))).rejects.toMatchObject(missing);
		await expect(readGenerationConfig(3 as unknown as string)).rejects.toThrow("readGenerationConfig: directory is 3, expected a string");
	});
});
