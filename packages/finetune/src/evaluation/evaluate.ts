import { type Example, generate, learnedTokens, type SentencePieceTokenizer, type VaultGemmaForCausalLM } from "@hushgrad/models";
import type { TextRecord } from "../data/records.ts";
import type { TextForm } from "../data/textForm.ts";
import type { TokenizedRecord } from "../data/tokenizeRecords.ts";
import { exactMatch, normalizeAnswer, tokenF1 } from "./answerScores.ts";
import type { AnsweredExample, AnswerScores, Evaluation } from "./evaluation.ts";
import { summedLosses } from "./losses.ts";
import { type ChoiceAccuracy, type Choices, choiceAccuracy, distractorsOf } from "./multipleChoice.ts";
import { PUBLIC_TEXT } from "./publicText.ts";

/** How a model is evaluated. */
export interface EvaluateOptions {
	/** How prompts and responses become tokens: as in training. */
	readonly form: TextForm;
	/** Declares the records public: their numbers say nothing of anybody. False when left out. */
	readonly isPublic?: boolean | undefined;
	/** Texts on the GPU at a time; 8 when left out. */
	readonly physicalBatchSize?: number | undefined;
	/** Tokens of an answer, at most; 48 when left out. */
	readonly maxNewTokens?: number | undefined;
	/** Records that are answered, the first ones; all when left out. */
	readonly answered?: number | undefined;
	/** Answers that are kept as examples: of public records, or of people who agreed. None when left out. */
	readonly keptExamples?: number | undefined;
	/** Public texts to see by what was forgotten; those of this library when left out. */
	readonly publicTexts?: readonly string[] | undefined;
	/** Is told what is being done, how much of it is, and of how much. */
	readonly onProgress?: ((what: EvaluationPart, done: number, total: number) => void) | undefined;
	/** Once aborted, the evaluation throws its reason. */
	readonly signal?: AbortSignal | undefined;
}

/** A part of an evaluation. */
export type EvaluationPart = "losses" | "choices" | "answers" | "public text";

/**
 * Loss of the response tokens, the right answer among four by likelihood, token F1 and exact match of greedy answers, and the loss of public
 * text. Deterministic. It takes the memory of a physical batch without gradients: logits are held of one token at a time at most.
 *
 * Not covered by any ε, unless the records are public: the result says so.
 */
export async function evaluate(
	model: VaultGemmaForCausalLM,
	tokenizer: SentencePieceTokenizer,
	records: readonly TokenizedRecord[],
	options: EvaluateOptions,
): Promise<Evaluation> {
	const { form, isPublic = false, physicalBatchSize = 8, onProgress, signal } = options;
	const lossesOf = (what: EvaluationPart, examples: readonly Example[]): Promise<Float64Array> =>
		summedLosses(model, examples, {
			physicalBatchSize,
			padId: tokenizer.padId,
			onProgress: (done) => {
				signal?.throwIfAborted();
				onProgress?.(what, done, examples.length);
			},
		});
	const own = await lossesOf(
		"losses",
		records.map(({ example }) => example),
	);
	const tokens = records.reduce((sum, { example }) => sum + learnedTokens(example), 0);
	const longest = model.config.max_position_embeddings;
	const multipleChoice = await choices(records, own, form, longest, (examples) => lossesOf("choices", examples));
	const given = await answers(model, tokenizer, records, options);
	const publicTexts = (options.publicTexts ?? PUBLIC_TEXT).map((text) => wholeText(tokenizer, text, longest));
	const publicLosses = await lossesOf("public text", publicTexts);
	const publicTokens = publicTexts.reduce((sum, text) => sum + learnedTokens(text), 0);
	return {
		records: records.length,
		lossPerToken: records.length === 0 ? undefined : total(own) / tokens,
		multipleChoice,
		answers: scoresOf(given),
		publicText: publicTokens === 0 ? undefined : { tokens: publicTokens, lossPerToken: total(publicLosses) / publicTokens },
		isPublic,
		covered: isPublic,
		examples: options.keptExamples === undefined ? undefined : given.slice(0, options.keptExamples),
	};
}

const total = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);

/** A text of which every token but the first is learned. */
function wholeText(tokenizer: SentencePieceTokenizer, text: string, longest: number): Example {
	return { ids: Int32Array.from([tokenizer.bosId, ...tokenizer.encode(text)].slice(0, longest)), start: 1 };
}

/** Accuracy among four answers. Questions one of whose answers makes a text too long for the model are passed over. */
async function choices(
	records: readonly TokenizedRecord[],
	own: Float64Array,
	form: TextForm,
	longest: number,
	lossesOf: (examples: readonly Example[]) => Promise<Float64Array>,
): Promise<ChoiceAccuracy | undefined> {
	const distractors = distractorsOf(records.map(({ record }) => record));
	const asked = records.flatMap(({ record, example }, i) => {
		const { wrong, elsewhere } = distractors[i] ?? {};
		if (wrong === undefined || elsewhere === undefined) return [];
		const after = ({ prompt }: TextRecord, of: readonly TextRecord[]): Example[] =>
			of.map(({ response }) => form.example({ prompt, response }));
		const question = { answers: [example, ...after(record, wrong)], elsewhere: after(elsewhere, [record, ...wrong]) };
		return [...question.answers, ...question.elsewhere].every(({ ids }) => ids.length <= longest) ? [{ i, ...question }] : [];
	});
	const losses = (await lossesOf(asked.flatMap(({ answers: [, ...wrong], elsewhere }) => [...wrong, ...elsewhere]))).values();
	const next = (): number => losses.next().value ?? Number.NaN;
	return choiceAccuracy(
		asked.map(({ i, answers }): Choices => {
			const found = answers.map((example, j) => ({ example, loss: j === 0 ? (own[i] ?? Number.NaN) : next() }));
			return found.map((choice) => ({ ...choice, elsewhere: next() }));
		}),
	);
}

async function answers(
	model: VaultGemmaForCausalLM,
	tokenizer: SentencePieceTokenizer,
	records: readonly TokenizedRecord[],
	{ form, maxNewTokens = 48, answered = records.length, onProgress, signal }: EvaluateOptions,
): Promise<AnsweredExample[]> {
	const given: AnsweredExample[] = [];
	for (const { record } of records.slice(0, answered)) {
		signal?.throwIfAborted();
		const prompt = form.prompt(record.prompt);
		const room = Math.min(maxNewTokens, model.config.max_position_embeddings - prompt.length);
		const ids: number[] = [];
		if (room > 0) {
			for await (const id of generate(model, prompt, { maxNewTokens: room, eosTokenIds: [...form.endIds] })) ids.push(id);
		}
		const text = ids.filter((id) => !form.endIds.includes(id));
		given.push({ prompt: record.prompt, response: record.response, answer: tokenizer.decode(text).trim() });
		onProgress?.("answers", given.length, Math.min(answered, records.length));
	}
	return given;
}

function scoresOf(given: readonly AnsweredExample[]): AnswerScores | undefined {
	if (given.length === 0) return undefined;
	const mean = (score: (of: AnsweredExample) => number): number => given.reduce((sum, of) => sum + score(of), 0) / given.length;
	return {
		count: given.length,
		tokenF1: mean(({ answer, response }) => tokenF1(answer, response)),
		exactMatch: mean(({ answer, response }) => exactMatch(answer, response)),
		empty: mean(({ answer }) => (normalizeAnswer(answer) === "" ? 1 : 0)),
		garbled: mean(({ answer }) => (answer.includes("\ufffd") ? 1 : 0)),
	};
}
