import { fileURLToPath } from "node:url";
import {
	type CausalLM,
	encodePrompt,
	fromPretrained,
	type GenerateOptions,
	generate,
	generateText,
	generateTextStream,
	type KVCache,
	SentencePieceTokenizer,
	type TextOptions,
	type VaultGemmaForCausalLM,
} from "@hushgrad/models";
import { type Device, key, type Tensor } from "@hushgrad/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const device = useDevice();

describe("what generate refuses, before it writes a token", () => {
	let model: VaultGemmaForCausalLM;
	beforeAll(async () => {
		model = await fromPretrained(goldenPath("vaultgemma/plain"), { device: device() });
	});
	const uniform = () => 0.5;
	const first = (prompt: unknown, options: unknown) => generate(model, prompt as number[], options as GenerateOptions).next();

	it.each<[string, unknown]>([
		["no maxNewTokens", {}],
		["maxNewTokens 0", { maxNewTokens: 0 }],
		["maxNewTokens 2.5", { maxNewTokens: 2.5 }],
		["maxNewTokens Infinity", { maxNewTokens: Number.POSITIVE_INFINITY }],
		["minNewTokens -1", { minNewTokens: -1 }],
		["penalty 0", { repetitionPenalty: 0 }],
		["penalty -1", { repetitionPenalty: -1 }],
		["penalty NaN", { repetitionPenalty: Number.NaN }],
		["eosTokenIds 1", { eosTokenIds: 1 }],
		["eosTokenIds of text", { eosTokenIds: ["1"] }],
		["temperature 0", { sample: { uniform, temperature: 0 } }],
		["temperature -1", { sample: { uniform, temperature: -1 } }],
		["temperature Infinity", { sample: { uniform, temperature: Number.POSITIVE_INFINITY } }],
		["topK -3", { sample: { uniform, topK: -3 } }],
		["topK 1.5", { sample: { uniform, topK: 1.5 } }],
		["topP 0", { sample: { uniform, topP: 0 } }],
		["topP 1.1", { sample: { uniform, topP: 1.1 } }],
		["no uniform", { sample: {} }],
		["uniform() 1", { sample: { uniform: () => 1 } }],
	])("%s", async (name, options) => {
		const all = name === "no maxNewTokens" ? options : { maxNewTokens: 3, ...(options as object) };
		await expect(first([2, 5], all)).rejects.toMatchObject({ name: "ValueError", code: "call/argument" });
	});

	it.each<[string, unknown]>([
		["an id outside the vocabulary", [2, 96]],
		["a negative id", [2, -1]],
		["half an id", [2, 1.5]],
		["NaN", [Number.NaN]],
		["text", ["2"]],
		["a batch", [[2, 5]]],
		["nothing", []],
	])("a prompt with %s", async (_, prompt) => {
		const { liveBuffers } = device().memory();
		await expect(first(prompt, { maxNewTokens: 3 })).rejects.toMatchObject({
			name: "ValueError",
			code: "generate/prompt",
			hint: expect.any(String),
		});
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("weights that give NaN", async () => {
		const broken = await fromPretrained(goldenPath("vaultgemma/plain"), { device: device() });
		const { weight } = broken.model.norm;
		weight.assign(device().fromHost(new Float32Array(weight.size).fill(Number.NaN), weight.shape));
		await expect(generate(broken, [2], { maxNewTokens: 3 }).next()).rejects.toMatchObject({
			name: "NumericError",
			code: "generate/not-finite",
		});
	});
});

/** Writes the tokens of a text, whatever it reads. */
class Recital implements CausalLM {
	readonly #state: Tensor;
	readonly #ids: readonly number[];
	readonly #size: number;
	#at = 0;

	constructor(of: Device, ids: readonly number[], size: number) {
		this.#state = of.fromHost(Float32Array.of(0), [1]);
		this.#ids = ids;
		this.#size = size;
	}

	step(ids: Tensor): { logits: Tensor; cache: KVCache } {
		const logits = new Float32Array(this.#size);
		logits[this.#ids[this.#at++]] = 1;
		return { logits: ids.device.fromHost(logits, [this.#size]), cache: [] };
	}

	*stateTensors(): Generator<Tensor> {
		yield this.#state;
	}
}

describe("generateTextStream", () => {
	let tokenizer: SentencePieceTokenizer;
	beforeAll(async () => {
		tokenizer = await SentencePieceTokenizer.fromFile(goldenPath("tokenizer/tiny.model"));
	});
	async function recite(text: string, options: Partial<TextOptions> = {}) {
		const ids = [...tokenizer.encode(text), tokenizer.eosId];
		const model = () => new Recital(device(), ids, tokenizer.vocabSize);
		const how = { maxNewTokens: ids.length, ...options };
		const pieces: string[] = [];
		for await (const piece of generateTextStream(model(), tokenizer, "Q", how)) pieces.push(piece);
		expect(pieces.join("")).toBe(await generateText(model(), tokenizer, "Q", how));
		expect(pieces.every((p) => p !== "")).toBe(true);
		return pieces;
	}

	it("gives a trimmed text out piece by piece, and no half character", async () => {
		const text = " \n The heart 🦙 beats,  and £5 is little. ";
		const pieces = await recite(text);
		expect(pieces.join("")).toBe(text.trim());
		expect(pieces.length).toBeGreaterThan(5);
		expect(pieces.some((p) => p.includes("\ufffd"))).toBe(false);
	});

	it("ends before the first stop text, though it comes in pieces, and gives out nothing of it", async () => {
		const text = "The heart beats.\n\nQuestion: and the lungs? Answer: they breathe.";
		expect((await recite(text, { stop: ["\n\nQuestion"] })).join("")).toBe("The heart beats.");
		expect((await recite(text, { stop: ["Answer", "and"] })).join("")).toBe("The heart beats.\n\nQuestion:");
		expect((await recite(text, { stop: ["T"] })).join("")).toBe("");
		expect((await recite(text, { stop: ["nowhere", "breathe.!"] })).join("")).toBe(text);
		// What only looks like the beginning of a stop text comes all the same.
		expect((await recite("aaab aab", { stop: ["aab aab!"] })).join("")).toBe("aaab aab");
		expect((await recite("xaaab", { stop: ["aab"] })).join("")).toBe("xa");
	});

	it("refuses stop texts that are none", async () => {
		for (const stop of [[""], "x", [1]]) {
			await expect(recite("a", { stop: stop as string[] })).rejects.toMatchObject({ code: "call/argument" });
		}
	});

	it("gives the same draws for the same key, and releases its memory when it is left", async () => {
		const folder = fileURLToPath(new URL("../../assets/tiny-vaultgemma", import.meta.url));
		const own = await SentencePieceTokenizer.fromFile(`${folder}/tokenizer.model`);
		const model = await fromPretrained(folder, { device: device(), quantization: "nf4" });
		const how = { maxNewTokens: 8, minNewTokens: 8, sample: { key: key(3), temperature: 0.8 } };
		const { liveBuffers } = device().memory();
		const [a, b] = [
			await generateText(model, own, "What does insulin do?", how),
			await generateText(model, own, "What does insulin do?", how),
		];
		expect(a).toBe(b);
		expect(a.length).toBeGreaterThan(0);
		expect(await generateText(model, own, encodePrompt(own, "What does insulin do?"), how)).toBe(a);
		for await (const piece of generateTextStream(model, own, "What does insulin do?", how)) {
			expect(a.startsWith(piece)).toBe(true);
			break;
		}
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});
});
