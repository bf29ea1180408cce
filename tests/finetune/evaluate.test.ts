import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { choiceAccuracy, distractorsOf, type EvaluateOptions, evaluate, type TokenizedRecord, textForm, tokenF1 } from "@hushgrad/finetune";
import { fromPretrained, SentencePieceTokenizer, type VaultGemmaForCausalLM } from "@hushgrad/models";
import { data } from "@hushgrad/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const folder = fileURLToPath(new URL("../../assets/tiny-vaultgemma", import.meta.url));
const cards = JSON.parse(readFileSync(new URL("../../assets/flashcards.json", import.meta.url), "utf8")) as {
	readonly input: string;
	readonly output: string;
}[];
const device = useDevice();
const PUBLIC = ["The river is wide.", "Bread is made of flour."];

let tokenizer: SentencePieceTokenizer;
let model: VaultGemmaForCausalLM;
let records: TokenizedRecord[];
let options: EvaluateOptions;

beforeAll(async () => {
	tokenizer = await SentencePieceTokenizer.fromFile(`${folder}/tokenizer.model`);
	model = await fromPretrained(folder, { device: device() });
	const form = textForm(tokenizer, "gemma");
	records = cards.slice(0, 6).map(({ input, output }, i) => {
		const record = { prompt: input, response: output, place: i + 1 };
		return { record, example: form.example(record) };
	});
	options = { form, maxNewTokens: 12, publicTexts: PUBLIC, physicalBatchSize: 4 };
});

/** −ln p of each token after the first `start`, in float64, from the logits of the whole text. */
async function tokenLosses(ids: Int32Array, start: number): Promise<number[]> {
	const logits = device().scope(() => model.call(device().fromHost(ids, [ids.length])));
	const values = (await data(logits)) as Float32Array;
	logits.dispose();
	const V = model.config.vocab_size;
	return Array.from({ length: ids.length - start }, (_, i) => {
		const row = values.subarray((start + i - 1) * V, (start + i) * V);
		const top = row.reduce((a, b) => Math.max(a, b));
		return top + Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0)) - (row[ids[start + i] ?? 0] ?? Number.NaN);
	});
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

describe("evaluate", () => {
	it("gives the losses, choices and answers that the logits give in float64, and the same again", async () => {
		const result = await evaluate(model, tokenizer, records, { ...options, keptExamples: 2 });
		const own = await Promise.all(records.map(({ example }) => tokenLosses(example.ids, example.start)));
		expect(result.lossPerToken).toBeCloseTo(sum(own.flat()) / own.flat().length, 5);
		const plain = await Promise.all(PUBLIC.map((t) => tokenLosses(Int32Array.from([tokenizer.bosId, ...tokenizer.encode(t)]), 1)));
		expect(result.publicText).toEqual({
			tokens: plain.flat().length,
			lossPerToken: expect.closeTo(sum(plain.flat()) / plain.flat().length, 5),
		});

		const wrong = distractorsOf(records.map(({ record }) => record));
		let [right, rightPerToken] = [0, 0];
		for (const [i, { record }] of records.entries()) {
			const others = await Promise.all(
				(wrong[i] ?? []).map(async (j) => {
					const { ids, start } = options.form.example({ prompt: record.prompt, response: records[j]?.record.response ?? "" });
					return tokenLosses(ids, start);
				}),
			);
			const mine = own[i] ?? [];
			if (others.every((o) => sum(mine) < sum(o))) right++;
			if (others.every((o) => sum(mine) / mine.length < sum(o) / o.length)) rightPerToken++;
		}
		expect(result.multipleChoice).toEqual({ questions: 6, accuracy: right / 6, accuracyPerToken: rightPerToken / 6 });

		expect(result.examples?.length).toBe(2);
		expect(result.answers?.count).toBe(6);
		for (const { prompt, answer } of result.examples ?? []) {
			const ids = options.form.prompt(prompt);
			const length = ids.length;
			while (ids.length < length + 12) {
				const logits = device().scope(() => model.call(device().fromHost(Int32Array.from(ids), [ids.length])));
				const last = ((await data(logits)) as Float32Array).subarray(-model.config.vocab_size);
				logits.dispose();
				const next = last.indexOf(last.reduce((a, b) => Math.max(a, b)));
				if (options.form.endIds.includes(next)) break;
				ids.push(next);
			}
			expect(answer).toBe(tokenizer.decode(ids.slice(length)).trim());
		}
		const { liveBuffers } = device().memory();
		expect(await evaluate(model, tokenizer, records, { ...options, keptExamples: 2 })).toEqual(result);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("says that no ε covers private records, and keeps no answer of theirs unasked", async () => {
		const some = { ...options, answered: 1 };
		const result = await evaluate(model, tokenizer, records.slice(0, 2), some);
		expect(result).toMatchObject({ isPublic: false, covered: false, examples: undefined, multipleChoice: undefined });
		expect(await evaluate(model, tokenizer, records.slice(0, 2), { ...some, isPublic: true })).toMatchObject({
			isPublic: true,
			covered: true,
		});
	});

	it("stops when it is interrupted", async () => {
		const controller = new AbortController();
		const onProgress = () => controller.abort();
		await expect(evaluate(model, tokenizer, records, { ...options, onProgress, signal: controller.signal })).rejects.toThrow(/abort/i);
	});

	it("measures nothing of no records", async () => {
		const result = await evaluate(model, tokenizer, [], options);
		expect(result).toMatchObject({ records: 0, lossPerToken: undefined, multipleChoice: undefined, answers: undefined });
	});
});

describe("wrong answers", () => {
	const texts = Array.from({ length: 9 }, (_, i) => ({ prompt: `Question ${i}`, response: `Answer ${i % 7}` }));

	it("are three others, which follow from the texts and not from their order", () => {
		const chosen = distractorsOf(texts).map((of) => of?.map((i) => texts[i]?.response));
		for (const [i, of] of chosen.entries()) {
			expect(new Set([...(of ?? []), texts[i]?.response]).size).toBe(4);
		}
		const turned = distractorsOf([...texts].reverse()).map((of) => of?.map((i) => [...texts].reverse()[i]?.response));
		expect(turned.reverse()).toEqual(chosen);
		expect(new Set(chosen.map(String)).size).toBeGreaterThan(4);
	});

	it("are none where there are too few", () => {
		expect(distractorsOf(texts.slice(0, 3))).toEqual([undefined, undefined, undefined]);
	});

	it("win ties, and lose by a token where they are longer", () => {
		const of = (loss: number, tokens: number) => ({ loss, example: { ids: new Int32Array(tokens + 1), start: 1 } });
		expect(choiceAccuracy([[of(2, 1), of(2, 1), of(3, 1), of(4, 1)]])).toEqual({ questions: 1, accuracy: 0, accuracyPerToken: 0 });
		expect(choiceAccuracy([[of(4, 4), of(3, 2), of(9, 2), of(9, 2)]])).toEqual({ questions: 1, accuracy: 0, accuracyPerToken: 1 });
		expect(choiceAccuracy([])).toBeUndefined();
	});
});

it("an answer that shares no word scores nothing", () => expect(tokenF1("", "")).toBe(0));
