import { type Key, NumericError, uniformValues, ValueError } from "@hushgrad/tensor";
import { type ArgumentKind, expects, isCount, type Kind, named, optional, optionsOf, shown } from "@hushgrad/tensor/author";
import { type CausalLM, deviceOf, HOLDER } from "./causalLM.ts";
import { Decoder } from "./decoder.ts";
import { argmax, hasNaN, repetitionPenalty, sampleToken, softmaxProbabilities, temperature, topK, topP, withoutTokens } from "./logits.ts";
import { encodePrompt } from "./text/sft.ts";
import { type SentencePieceTokenizer, TOKENIZER, TokenStream } from "./text/tokenizer.ts";

/** How to continue a prompt; names and neutral values as in transformers' GenerationConfig. */
export interface GenerateOptions {
	/** Most tokens to write, a whole number above 0; the text may end before. */
	readonly maxNewTokens: number;
	/** Token ids that end the text; the one met is yielded last. None when left out. */
	readonly eosTokenIds?: readonly number[] | undefined;
	/** Tokens to write before an end token may come, a whole number; 0 when left out. */
	readonly minNewTokens?: number | undefined;
	/**
	 * Divides the logits of tokens already seen, prompt included, and multiplies those below 0; above 0; 1, the neutral value, when
	 * left out. Keskar et al. 2019.
	 */
	readonly repetitionPenalty?: number | undefined;
	/** Draw from the distribution; the most likely token otherwise. */
	readonly sample?: SamplingOptions | undefined;
}

/** How to draw a token. Filters apply in the order temperature, topK, topP. */
export interface SamplingOptions {
	/** Gives the next uniform number in [0, 1): one a token. */
	readonly uniform: () => number;
	/** Divides the logits; above 0; 1 when left out. The most likely token comes without `sample`. */
	readonly temperature?: number | undefined;
	/** Draw from the k most likely tokens, and those as likely as the k-th; 0 for all, 50 when left out, as in transformers. */
	readonly topK?: number | undefined;
	/**
	 * Draw from the fewest most likely tokens whose probabilities add up to p, at least one; in (0, 1]; 1, all, when left out.
	 * Holtzman et al. 2020.
	 */
	readonly topP?: number | undefined;
}

const DEFAULT_TOP_K = 50;

const isAbove0 = (v: unknown, max = Number.MAX_VALUE): boolean => typeof v === "number" && v > 0 && v <= max;

const OPTIONS: Readonly<Record<keyof GenerateOptions, ArgumentKind>> = {
	maxNewTokens: [(v) => isCount(v) && v > 0, "a whole number above 0"],
	minNewTokens: "count?",
	eosTokenIds: optional([(v) => Array.isArray(v) && v.every(isCount), "a list of token ids"]),
	repetitionPenalty: optional([(v) => isAbove0(v), "a number above 0; 1 changes nothing"]),
	sample: "options?",
};

const SAMPLE: Readonly<Record<keyof SamplingOptions, ArgumentKind>> = {
	uniform: "function",
	temperature: optional([(v) => isAbove0(v), "a number above 0; without sample comes the most likely token"]),
	topK: optional([isCount, "a whole number, 0 for all tokens"]),
	topP: optional([(v) => isAbove0(v, 1), "a number above 0, at most 1"]),
};
const UNIT: Kind = [(v) => typeof v === "number" && v >= 0 && v < 1, "a number in [0, 1)"];

/** @throws ValueError for an option that is not what it must be. */
function checkOptions(op: string, options: GenerateOptions): void {
	const { sample } = optionsOf(op, options, OPTIONS);
	if (sample !== undefined) optionsOf(op, sample, SAMPLE);
}

/** @throws ValueError unless these are the ids of one text. */
function checkPrompt(op: string, prompt: readonly number[], size = Number.POSITIVE_INFINITY): void {
	expects(op, { prompt }, { prompt: "list" });
	const wrong = prompt.findIndex((id) => !(isCount(id) && id < size));
	if (wrong < 0) return;
	const isBatch = Array.isArray(prompt[wrong]);
	throw new ValueError(
		"generate/prompt",
		`${op}: the prompt holds ${shown(prompt[wrong])} at ${wrong}, expected token ids${size < Number.POSITIVE_INFINITY ? ` below ${size}` : ""}`,
		{
			op,
			hint: isBatch ? "give one prompt; for a batch run model.step under vmap" : "does the tokenizer belong to the model?",
		},
	);
}

/**
 * The next token from one row of logits `[V]`, processed in transformers' order: penalty, minimum length, temperature, top-k,
 * top-p. `seen` are the ids of prompt and text so far, `written` counts the tokens generated so far; 0 when left out.
 * @throws ValueError for an option outside its domain; NumericError for logits that hold NaN.
 */
export function nextToken(logits: Float32Array, seen: readonly number[], options: GenerateOptions, written = 0): number {
	return tokenOf("nextToken", logits, seen, options, written);
}

function tokenOf(op: string, logits: Float32Array, seen: readonly number[], options: GenerateOptions, written: number): number {
	expects(op, { logits, seen, written }, { logits: "floats", seen: "list", written: "count" });
	checkOptions(op, options);
	if (hasNaN(logits)) {
		throw new NumericError("generate/not-finite", `${op}: the model gives NaN`, {
			op,
			hint: "its weights or its adapter hold NaN or numbers too large: did the training diverge?",
		});
	}
	const { repetitionPenalty: penalty = 1, minNewTokens = 0, eosTokenIds = [], sample } = options;
	let scores = penalty === 1 ? logits : repetitionPenalty(logits, seen, penalty);
	if (written < minNewTokens) scores = withoutTokens(scores, eosTokenIds);
	if (sample === undefined) return argmax(scores);
	scores = temperature(scores, sample.temperature ?? 1);
	scores = topK(scores, sample.topK ?? DEFAULT_TOP_K);
	const { topP: mass = 1 } = sample;
	if (mass < 1) scores = topP(scores, mass);
	const u = sample.uniform();
	expects(op, { "uniform()": u }, { "uniform()": UNIT });
	return sampleToken(softmaxProbabilities(scores), u);
}

const CAUSAL: Kind = [(v) => HOLDER[0](v) && typeof Reflect.get(v as object, "step") === "function", "a model with step and stateTensors"];

/**
 * Yields the continuation of a prompt of ids token by token, from a key-value cache: the prompt is read once, each new token
 * costs one position. Greedy unless `sample` is given. An iteration that is left early releases its memory, too.
 * @throws ValueError, before the first token, for an option outside its domain, a prompt that is empty or holds anything but ids of
 * the model's vocabulary, and a model without values; NumericError for logits that hold NaN; and as `model.step`, where prompt and
 * text become longer than the model takes.
 */
export function generate(model: CausalLM, prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number> {
	return tokens("generate", model, prompt, options);
}

async function* tokens(op: string, model: CausalLM, prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number> {
	expects(op, { model }, { model: CAUSAL });
	checkOptions(op, options);
	checkPrompt(op, prompt);
	if (prompt.length === 0)
		throw new ValueError("generate/prompt", `${op}: the prompt is empty`, { op, hint: "start with the <bos> token" });
	const device = named(op, deviceOf)(model);
	const seen = [...prompt];
	const decoder = new Decoder(model, device, prompt.length + options.maxNewTokens);
	try {
		let input: readonly number[] = prompt;
		for (let n = 0; n < options.maxNewTokens; n++) {
			const logits = await decoder.read(input);
			if (n === 0) checkPrompt(op, prompt, logits.length);
			const token = tokenOf(op, logits, seen, options, n);
			yield token;
			if (options.eosTokenIds?.includes(token)) return;
			seen.push(token);
			input = [token];
		}
	} finally {
		decoder.dispose();
	}
}

/**
 * How to answer a prompt: `GenerateOptions` with a key for randomness. eosTokenIds is the end token of the tokenizer when left
 * out.
 */
export interface TextOptions extends Omit<GenerateOptions, "sample"> {
	/** Draw each token at random, by this key; the likeliest one otherwise. */
	readonly sample?:
		| (Omit<SamplingOptions, "uniform"> & {
				/** Key of the draws. */
				readonly key: Key;
		  })
		| undefined;
	/** Texts that end the answer, before the first of them; none when left out. */
	readonly stop?: readonly string[] | undefined;
}

/**
 * What a model answers to one user turn of Gemma's chat format, or to the ids of a prompt that was made otherwise, piece by piece: text in,
 * text out, trimmed. It ends with an end
 * token, at the end of the model's turn (`<end_of_turn>`), before a text of `stop`, or after maxNewTokens. A piece comes as soon as
 * it is certain: what may be the beginning of a stop text, and spaces, wait for what follows. The same key gives the same draws.
 * @throws ValueError as `generate` and `encodePrompt`, and for a stop text that is empty.
 */
export function generateTextStream(
	model: CausalLM,
	tokenizer: SentencePieceTokenizer,
	prompt: string | readonly number[],
	options: TextOptions,
): AsyncGenerator<string> {
	return pieces("generateTextStream", model, tokenizer, prompt, options);
}

const TEXTS: Kind = [(v) => v === undefined || (Array.isArray(v) && v.every((s) => typeof s === "string" && s !== "")), "a list of texts"];

async function* pieces(
	op: string,
	model: CausalLM,
	tokenizer: SentencePieceTokenizer,
	prompt: string | readonly number[],
	all: TextOptions,
): AsyncGenerator<string> {
	expects(op, { tokenizer, options: all }, { tokenizer: TOKENIZER, options: "options" });
	expects(
		op,
		{ stop: all.stop, sample: all.sample, eosTokenIds: all.eosTokenIds },
		{ stop: TEXTS, sample: "options?", eosTokenIds: "list?" },
	);
	const { stop = [], sample, eosTokenIds = [tokenizer.eosId], ...options } = all;
	const how: GenerateOptions = {
		...options,
		eosTokenIds: [...eosTokenIds, tokenizer.idOf("<end_of_turn>")],
		sample: sample && drawn(op, sample),
	};
	const stream = new TokenStream(tokenizer);
	const end = new Ending(stop);
	const ids = Array.isArray(prompt) ? prompt : named(op, encodePrompt)(tokenizer, prompt as string);
	for await (const id of tokens(op, model, ids, how)) {
		const piece = end.push(stream.push(id));
		if (piece !== "") yield piece;
		if (end.isReached) return;
	}
	const rest = end.push(stream.flush()) + end.flush();
	if (rest !== "") yield rest;
}

/** Options of draws by a key. The numbers are made as they are asked for: a longer array of them begins with the shorter one. */
function drawn(op: string, { key, ...sample }: NonNullable<TextOptions["sample"]>): SamplingOptions {
	expects(op, { "sample.key": key }, { "sample.key": "key" });
	let numbers = uniformValues(key, 64);
	let next = 0;
	const uniform = (): number => {
		if (next === numbers.length) numbers = uniformValues(key, 2 * next);
		return numbers[next++];
	};
	return { ...sample, uniform };
}

/** Cuts a text that comes in pieces before the first stop text, and its spaces at both ends. */
class Ending {
	readonly #stop: readonly string[];
	#held = "";
	#hasBegun = false;
	/** Whether a stop text came. */
	isReached = false;

	constructor(stop: readonly string[]) {
		this.#stop = stop;
	}

	/** What is certain by now. */
	push(text: string): string {
		if (this.isReached) return "";
		this.#held += text;
		const first = Math.min(...this.#stop.map((s) => this.#held.indexOf(s)).filter((at) => at >= 0));
		if (first < Number.POSITIVE_INFINITY) {
			this.#held = this.#held.slice(0, first);
			const rest = this.flush();
			this.isReached = true;
			return rest;
		}
		return this.#take(this.#held.length - Math.max(0, ...this.#stop.map((s) => this.#overlap(s))));
	}

	/** The rest. */
	flush(): string {
		return this.#take(this.#held.length);
	}

	/** How many of the last characters may be the first ones of a stop text. */
	#overlap(stop: string): number {
		for (let n = Math.min(stop.length - 1, this.#held.length); n > 0; n--) if (this.#held.endsWith(stop.slice(0, n))) return n;
		return 0;
	}

	#take(count: number): string {
		const certain = this.#held.slice(0, count).trimEnd();
		this.#held = this.#held.slice(certain.length);
		const piece = this.#hasBegun ? certain : certain.trimStart();
		this.#hasBegun ||= piece !== "";
		return piece;
	}
}

/**
 * The whole answer of `generateTextStream`, as one text.
 * @throws ValueError as `generateTextStream`.
 */
export async function generateText(
	model: CausalLM,
	tokenizer: SentencePieceTokenizer,
	prompt: string | readonly number[],
	options: TextOptions,
): Promise<string> {
	let text = "";
	for await (const piece of pieces("generateText", model, tokenizer, prompt, options)) text += piece;
	return text;
}
