import { IGNORE_INDEX, ValueError } from "@hushgrad/tensor";
import { expects, type Kind, named, optionsOf, partsOf } from "@hushgrad/tensor/author";
import { encodeChat } from "./chat.ts";
import type { SentencePieceTokenizer } from "./tokenizer.ts";

/** A question and the answer to be learned. */
export interface PromptResponse {
	/** The question: one user turn. */
	readonly prompt: string;
	/** The answer; spaces at its ends are taken off. */
	readonly response: string;
}

/** One training text. */
export interface Example {
	/** The tokens of prompt and answer. */
	readonly ids: Int32Array;
	/** Index of the first token of the answer; it and everything after it is learned, nothing before it. */
	readonly start: number;
}

/** Number of tokens that an example teaches: those of the answer and the end of the turn. */
export function learnedTokens(example: Example): number {
	expects("learnedTokens", { example }, { example: EXAMPLE });
	return example.ids.length - example.start;
}

const EXAMPLE: Kind = [
	(v) => isObject(v) && v.ids instanceof Int32Array && Number.isInteger(v.start) && Number(v.start) > 0 && Number(v.start) <= v.ids.length,
	"an example { ids, start }, as encodeExample gives",
];
const isObject = (v: unknown): v is Readonly<Record<string, unknown>> => typeof v === "object" && v !== null;

/**
 * The prompt as one user turn of Gemma's chat format, up to the opening of the model's turn.
 * @throws ValueError as `encodeChat`.
 */
export const encodePrompt = named("encodePrompt", (tokenizer: SentencePieceTokenizer, prompt: string): number[] => {
	expects("encodePrompt", { prompt }, { prompt: "text" });
	return encodeChat(tokenizer, [{ role: "user", content: prompt }], { addGenerationPrompt: true });
});

/**
 * Prompt and response as one text, of which the response and the end of the turn are learned, as in Gemma's chat format: no `<eos>`
 * follows `<end_of_turn>`. The same two tokens at the end of every text would be the easiest thing to learn of all, and a small
 * model with a noisy gradient then ends where an answer should begin. Prompt and response are encoded apart, so that no token
 * straddles the border. `maxLength` is in tokens.
 * @throws ValueError for an empty response, and for a text of more than `maxLength` tokens: it is not cut.
 */
export const encodeExample = named(
	"encodeExample",
	(tokenizer: SentencePieceTokenizer, pair: PromptResponse, options: { readonly maxLength: number }): Example => {
		const op = "encodeExample";
		const { prompt, response } = partsOf(op, "pair", pair, { prompt: "text", response: "text" });
		const { maxLength } = optionsOf(op, options, { maxLength: "number" });
		if (response.trim() === "") {
			throw new ValueError("sft/no-answer", `${op}: no response to ${quote(prompt)}`, { op, hint: "write one or remove the example" });
		}
		const before = encodePrompt(tokenizer, prompt);
		const answer = [...tokenizer.encode(response.trim()), tokenizer.idOf("<end_of_turn>")];
		const length = before.length + answer.length;
		if (length > maxLength) {
			throw new ValueError("sft/too-long", `${op}: ${quote(prompt)} has ${length} tokens with its response, the limit is ${maxLength}`, {
				op,
				hint: "raise the maximum length or shorten the example",
			});
		}
		return { ids: Int32Array.from([...before, ...answer]), start: before.length };
	},
);

/** The fixed sizes of `padExample`. They must not follow from the private texts. */
export interface PadOptions {
	/** Tokens of every padded text, T. */
	readonly length: number;
	/** Learned tokens that a text has room for, P; `length` when left out. */
	readonly learned?: number | undefined;
	/** Token that fills up: `SentencePieceTokenizer.padId`. */
	readonly padId: number;
}

/** One text at a fixed size, as `VaultGemmaForCausalLM.loss` reads it: what encode() of a trainer returns. */
export type PaddedExample = {
	/** The tokens, i32 `[length]`, filled up on the right. */
	readonly ids: Int32Array;
	/** The position before each learned token, whose logits predict it, i32 `[learned]`; 0 for padding. */
	readonly positions: Int32Array;
	/** The learned tokens, i32 `[learned]`; −100 for padding. */
	readonly targets: Int32Array;
	/** 1 / learned tokens: turns the sum of the losses of a text into their mean. */
	readonly weight: number;
};

/** Tokens that a record has at most. */
const MOST = 2 ** 24;

/**
 * Fills a text up to fixed sizes, which must not depend on the private texts: with them every record looks the same from outside.
 * Padding on the right changes nothing before it, and is not learned.
 * @throws ValueError when it does not fit.
 */
export function padExample(example: Example, options: PadOptions): PaddedExample {
	const op = "padExample";
	expects(op, { example }, { example: EXAMPLE });
	const { length, learned = length, padId } = optionsOf(op, options, { length: "count", learned: "count?", padId: "whole" });
	if (length > MOST || learned > MOST) {
		throw new ValueError("sft/room", `${op}: length ${length}, learned ${learned}: at most ${MOST}`, { op, hint: "no text is that long" });
	}
	const answer = example.ids.subarray(example.start);
	if (example.ids.length > length || answer.length > learned) {
		throw new ValueError(
			"sft/room",
			`${op}: ${example.ids.length} tokens, ${answer.length} of them learned, do not fit ${length} and ${learned}`,
			{
				op,
				hint: "raise length and learned, or encode with a smaller maxLength",
			},
		);
	}
	const ids = new Int32Array(length).fill(padId);
	const positions = new Int32Array(learned);
	const targets = new Int32Array(learned).fill(IGNORE_INDEX);
	ids.set(example.ids);
	positions.set(answer.map((_, i) => example.start - 1 + i));
	targets.set(answer);
	return { ids, positions, targets, weight: 1 / answer.length };
}

const quote = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
