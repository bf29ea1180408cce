import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
	choiceAccuracy,
	type Distractors,
	distractorsOf,
	type EvaluateOptions,
	evaluate,
	type TokenizedRecord,
	textForm,
	tokenF1,
} from "@hushgrad/finetune";
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

		const asked = distractorsOf(records.map(({ record }) => record));
		let [right, rightPerToken, rightByInfo] = [0, 0, 0];
		for (const [i, { record }] of records.entries()) {
			const lossesAfter = ({ prompt }: { readonly prompt: string }) =>
				Promise.all(
					[record, ...(asked[i]?.wrong ?? [])].map(({ response }) => {
						const { ids, start } = options.form.example({ prompt, response });
						return tokenLosses(ids, start);
					}),
				);
			const [mine = [], ...others] = await lossesAfter(record);
			const [mineElsewhere = [], ...othersElsewhere] = await lossesAfter(asked[i]?.elsewhere ?? { prompt: "" });
			if (others.every((o) => sum(mine) < sum(o))) right++;
			if (others.every((o) => sum(mine) / mine.length < sum(o) / o.length)) rightPerToken++;
			if (others.every((o, j) => sum(mine) - sum(mineElsewhere) < sum(o) - sum(othersElsewhere[j] ?? []))) rightByInfo++;
		}
		const multipleChoice = { questions: 6, accuracy: right / 6, accuracyPerToken: rightPerToken / 6, accuracyMutualInfo: rightByInfo / 6 };
		expect(result.multipleChoice).toEqual(multipleChoice);

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
		const responses = (of: readonly Distractors<(typeof texts)[number]>[]) =>
			of.map(({ wrong, elsewhere }) => [...wrong, elsewhere].map(({ response }) => response));
		const asked = (of: typeof texts) => responses(distractorsOf(of).filter((one) => one !== undefined));
		const chosen = asked(texts);
		expect(chosen.length).toBe(9);
		for (const [i, of] of chosen.entries()) expect(new Set([...of, texts[i]?.response]).size).toBe(5);
		expect(asked([...texts].reverse()).reverse()).toEqual(chosen);
		expect(new Set(chosen.map(String)).size).toBeGreaterThan(4);
	});

	it("are none where there are too few", () => {
		expect(distractorsOf(texts.slice(0, 4))).toEqual([undefined, undefined, undefined, undefined]);
		expect(distractorsOf(texts.slice(0, 5))).not.toContain(undefined);
	});

	it("win ties, lose by a token where they are longer, and by what the question adds where they are likely anyhow", () => {
		const of = (loss: number, tokens: number, elsewhere: number) => ({
			...{ loss, elsewhere },
			example: { ids: new Int32Array(tokens + 1), start: 1 },
		});
		const scores = (accuracy: number, accuracyPerToken: number, accuracyMutualInfo: number) => ({
			...{ questions: 1, accuracy, accuracyPerToken, accuracyMutualInfo },
		});
		expect(choiceAccuracy([[of(2, 1, 2), of(2, 1, 2), of(3, 1, 3), of(4, 1, 4)]])).toEqual(scores(0, 0, 0));
		expect(choiceAccuracy([[of(4, 4, 4), of(3, 2, 3), of(9, 2, 9), of(9, 2, 9)]])).toEqual(scores(0, 1, 0));
		expect(choiceAccuracy([[of(9, 2, 12), of(1, 2, 1), of(9, 2, 11), of(9, 2, 8)]])).toEqual(scores(0, 0, 1));
		expect(choiceAccuracy([])).toBeUndefined();
	});
});

it("an answer that shares no word scores nothing", () => expect(tokenF1("", "")).toBe(0));
