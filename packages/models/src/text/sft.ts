import { IGNORE_INDEX, ValueError } from "@hushgrad/tensor";
import { encodeChat } from "./chat.ts";
import type { SentencePieceTokenizer } from "./tokenizer.ts";

/** A question and the answer to be learned. */
export interface PromptResponse {
	readonly prompt: string;
	readonly response: string;
}

/** One training text. */
export interface Example {
	readonly ids: Int32Array;
	/** Where the answer begins; everything from there on is learned, nothing before it. */
	readonly start: number;
}

/** Number of tokens that an example teaches. */
export function learnedTokens({ ids, start }: Example): number {
	return ids.length - start;
}

/** The prompt as one user turn, up to the opening of the model's turn. */
export function encodePrompt(tokenizer: SentencePieceTokenizer, prompt: string): number[] {
	return encodeChat(tokenizer, [{ role: "user", content: prompt }], { addGenerationPrompt: true });
}

/**
 * Prompt and response as one text, of which the response, the end of the turn and the end token are learned. Prompt
 * and response are encoded apart, so that no token straddles the border.
 * @throws ValueError for an empty response, and for a text of more than `maxLength` tokens: it is not cut.
 */
export function encodeExample(
	tokenizer: SentencePieceTokenizer,
	{ prompt, response }: PromptResponse,
	{ maxLength }: { readonly maxLength: number },
): Example {
	if (response.trim() === "") {
		throw new ValueError("sft/no-answer", `no response to ${quote(prompt)}`, { hint: "write one or remove the example" });
	}
	const before = encodePrompt(tokenizer, prompt);
	const answer = [...tokenizer.encode(response.trim()), tokenizer.idOf("<end_of_turn>"), tokenizer.eosId];
	const length = before.length + answer.length;
	if (length > maxLength) {
		throw new ValueError("sft/too-long", `${quote(prompt)} has ${length} tokens with its response, the limit is ${maxLength}`, {
			hint: "raise the maximum length or shorten the example",
		});
	}
	return { ids: Int32Array.from([...before, ...answer]), start: before.length };
}

export interface PadOptions {
	/** Rows of the batch; those beyond the examples are padding. */
	readonly rows: number;
	/** Columns of the batch. */
	readonly length: number;
	readonly padId: number;
}

/** Examples side by side, row-major, filled up on the right. P is the largest number of learned tokens of a row. */
export interface PaddedBatch {
	/** [rows, length] */
	readonly ids: Int32Array;
	/** [rows, P]: the positions before each learned token, whose logits predict it; 0 for padding. */
	readonly positions: Int32Array;
	/** [rows, P]: the learned tokens; -100 for padding. */
	readonly targets: Int32Array;
	/** 1 / learned tokens of each row, 0 for padding rows: turns a row's sum into its mean. */
	readonly weights: Float32Array;
	/** P */
	readonly learned: number;
}

/** @throws ValueError when the examples do not fit. */
export function padBatch(examples: readonly Example[], { rows, length, padId }: PadOptions): PaddedBatch {
	const longest = examples.reduce((n, e) => Math.max(n, e.ids.length), 0);
	if (examples.length > rows || longest > length) {
		throw new ValueError("sft/batch", `${examples.length} examples of up to ${longest} tokens do not fit [${rows}, ${length}]`);
	}
	const learned = examples.reduce((n, e) => Math.max(n, learnedTokens(e)), 1);
	const ids = new Int32Array(rows * length).fill(padId);
	const positions = new Int32Array(rows * learned);
	const targets = new Int32Array(rows * learned).fill(IGNORE_INDEX);
	const weights = new Float32Array(rows);
	examples.forEach((example, row) => {
		ids.set(example.ids, row * length);
		const answer = example.ids.subarray(example.start);
		positions.set(
			answer.map((_, i) => example.start - 1 + i),
			row * learned,
		);
		targets.set(answer, row * learned);
		weights[row] = 1 / answer.length;
	});
	return { ids, positions, targets, weights, learned };
}

const quote = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
