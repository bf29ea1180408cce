import { join } from "node:path";
import * as models from "@hushgrad/models";
import { loraConfig } from "@hushgrad/nn";
import { ones } from "@hushgrad/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const device = useDevice();

/** A value where its type excludes it. */
const wrong = (v: unknown): never => v as never;
const plain = goldenPath("vaultgemma/plain");

describe("an argument of the wrong kind is refused by the name of what was called", () => {
	let tokenizer: models.SentencePieceTokenizer;
	let model: models.VaultGemmaForCausalLM;
	let config: models.VaultGemmaConfig;

	beforeAll(async () => {
		tokenizer = await models.SentencePieceTokenizer.fromFile(join(import.meta.dirname, "../../assets/tiny-vaultgemma/tokenizer.model"));
		model = await models.fromPretrained(plain, { device: device() });
		config = await models.readConfig(plain);
	});

	it.each<[string, () => unknown]>([
		["fromPretrained: device is undefined, expected a device", () => models.fromPretrained(plain, wrong({}))],
		["fromPretrained: options is undefined, expected options", () => models.fromPretrained(plain, wrong(undefined))],
		["readConfig: directory is undefined, expected a string", () => models.readConfig(wrong(undefined))],
		["loadAdapter: model is 3, expected a Module", () => models.loadAdapter(wrong(3), plain, device())],
		["saveAdapter: r is ", () => models.saveAdapter(model, "x", { ...loraConfig({ target_modules: "all-linear" }), r: wrong("8") })],
		["weightsOf: dtype is undefined, expected", () => models.weightsOf(model, wrong({}))],
		["VaultGemmaModel: config is 3, expected options in an object", () => new models.VaultGemmaModel(wrong(3))],
		["VaultGemmaForCausalLM.step: ids is [1], expected a tensor", () => model.step(wrong([1]))],
		[
			"VaultGemmaForCausalLM.loss: weight is 1, expected a tensor",
			() => model.loss(wrong({ ids: ones(device(), [2], "i32"), targets: ones(device(), [2], "i32"), weight: 1 })),
		],
		["cachedTokens: cache is [an object], expected a cache", () => models.cachedTokens([wrong({ k: 1, v: 1 })])],
		['generate: prompt is "a", expected a list', () => models.generate(model, wrong("a"), { maxNewTokens: 1 }).next()],
		[
			"generateText: tokenizer is an object, expected a SentencePieceTokenizer",
			() => models.generateText(model, wrong({}), "a", { maxNewTokens: 1 }),
		],
		[
			"generateText: sample.key is undefined, expected a key",
			() => models.generateText(model, tokenizer, "a", { maxNewTokens: 1, sample: wrong({}) }),
		],
		["encodePrompt: prompt is 3, expected a string", () => models.encodePrompt(tokenizer, wrong(3))],
		["encodeChat: messages is [an object], expected a list of messages", () => models.encodeChat(tokenizer, [wrong({ role: "user" })])],
		[
			"encodeExample: maxLength is undefined, expected a number",
			() => models.encodeExample(tokenizer, { prompt: "a", response: "b" }, wrong({})),
		],
		[
			"padExample: example is an object, expected an example",
			() => models.padExample({ ids: Int32Array.of(1), start: 0 }, { length: 2, padId: 0 }),
		],
		["SentencePieceTokenizer.decode: ids is 3, expected a list of token ids", () => tokenizer.decode(wrong(3))],
	])("%s", async (message, call) => {
		const expected = { code: "call/argument", message: expect.stringContaining(message) };
		await expect((async () => device().scope(() => ({ result: call() })).result)()).rejects.toMatchObject(expected);
	});

	it("an option of sampling that stands beside sample", async () => {
		const options = wrong({ maxNewTokens: 1, temperature: 0.7 });
		await expect(models.generateText(model, tokenizer, "a", options)).rejects.toMatchObject({
			code: "call/option",
			message: "generateText: there is no option temperature, expected maxNewTokens, minNewTokens, eosTokenIds, repetitionPenalty, sample",
		});
	});

	it("a configuration that lacks a field, or has one that parseConfig refuses", () => {
		const { head_dim: _, ...rest } = config;
		expect(() => new models.VaultGemmaForCausalLM(wrong(rest))).toThrow("VaultGemmaForCausalLM: config.head_dim is undefined");
		expect(() => new models.VaultGemmaForCausalLM({ ...config, head_dim: 3 })).toThrow(
			"VaultGemmaForCausalLM: head_dim is 3, expected an even number",
		);
	});

	it("an id outside the vocabulary, by the name of what was called", () => {
		for (const [name, call] of [
			["SentencePieceTokenizer.decode", () => tokenizer.decode([-1])],
			["SentencePieceTokenizer.pieceOf", () => tokenizer.pieceOf(-1)],
			["TokenStream.push", () => new models.TokenStream(tokenizer).push(-1)],
		] as const) {
			expect(call).toThrow(expect.objectContaining({ code: "tokenizer/id", message: expect.stringContaining(`${name}: token id -1`) }));
		}
	});
});
