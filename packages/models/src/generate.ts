import { type Device, data, type Key, type Tensor, uniformValues, ValueError } from "@hushgrad/tensor";
import { disposeCache, type KVCache } from "./gemma/cache.ts";
import { argmax, repetitionPenalty, sampleToken, softmaxProbabilities, temperature, topK, topP, withoutTokens } from "./logits.ts";
import { encodePrompt } from "./text/sft.ts";
import type { SentencePieceTokenizer } from "./text/tokenizer.ts";

/** Names and neutral values as in transformers' GenerationConfig. */
export interface GenerateOptions {
	readonly maxNewTokens: number;
	/** Token ids that end the text; the one met is yielded last. */
	readonly eosTokenIds?: readonly number[] | undefined;
	/** Tokens to write before an end token may come. */
	readonly minNewTokens?: number | undefined;
	/** Divides (multiplies, when negative) the logits of tokens already seen, prompt included; 1 is neutral. */
	readonly repetitionPenalty?: number | undefined;
	/** Draw from the distribution; the most likely token otherwise. */
	readonly sample?: SamplingOptions | undefined;
}

export interface SamplingOptions {
	/** The next uniform number in [0, 1). */
	readonly uniform: () => number;
	readonly temperature?: number | undefined;
	readonly topK?: number | undefined;
	readonly topP?: number | undefined;
}

const DEFAULT_TOP_K = 50;

/**
 * The next token from one row of logits, processed in transformers' order: penalty, minimum length, temperature, top-k,
 * top-p. `written` counts the tokens generated so far.
 */
export function nextToken(logits: Float32Array, seen: readonly number[], options: GenerateOptions, written = 0): number {
	const { repetitionPenalty: penalty = 1, minNewTokens = 0, eosTokenIds = [], sample } = options;
	let scores = penalty === 1 ? logits : repetitionPenalty(logits, seen, penalty);
	if (written < minNewTokens) scores = withoutTokens(scores, eosTokenIds);
	if (sample === undefined) return argmax(scores);
	scores = temperature(scores, sample.temperature ?? 1);
	scores = topK(scores, sample.topK ?? DEFAULT_TOP_K);
	if ((sample.topP ?? 1) < 1) scores = topP(scores, sample.topP as number);
	return sampleToken(softmaxProbabilities(scores), sample.uniform());
}

/** A model that reads tokens one after the other: what generation needs of it. */
export interface CausalLM {
	/** Reads further tokens, i32 [T], after those in the cache: logits [V] of the next token, and the longer cache. */
	step(ids: Tensor, cache?: KVCache): { readonly logits: Tensor; readonly cache: KVCache };
	stateTensors(): Iterable<Tensor>;
}

/** The device that a model's weights are on. @throws ValueError for a model without values. */
export function deviceOf(model: Pick<CausalLM, "stateTensors">): Device {
	for (const { device } of model.stateTensors()) return device;
	throw new ValueError("model/empty", "the model has no values yet", { hint: "load it with fromPretrained" });
}

/**
 * Yields the continuation of a prompt token by token, from a key-value cache: the prompt is read once, each new token
 * costs one position. Greedy unless `sample` is given.
 */
export async function* generate(model: CausalLM, prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number> {
	if (prompt.length === 0) throw new ValueError("generate/prompt", "generate: the prompt is empty", { hint: "start with the <bos> token" });
	const device = deviceOf(model);
	const seen = [...prompt];
	let cache: KVCache = [];
	try {
		let input = [...prompt];
		for (let n = 0; n < options.maxNewTokens; n++) {
			const step = device.scope(() => {
				const { logits, cache: longer } = model.step(device.fromHost(Int32Array.from(input), [input.length]), cache);
				for (const { k, v } of longer) for (const t of [k, v]) device.keep(t);
				return { logits: device.keep(logits), cache: longer };
			});
			disposeCache(cache);
			cache = step.cache;
			const logits = (await data(step.logits)) as Float32Array;
			step.logits.dispose();
			const token = nextToken(logits, seen, options, n);
			yield token;
			if (options.eosTokenIds?.includes(token)) return;
			seen.push(token);
			input = [token];
		}
	} finally {
		disposeCache(cache);
	}
}

export interface TextOptions extends Omit<GenerateOptions, "sample"> {
	/** Draw each token at random, by this key; the likeliest one otherwise. */
	readonly sample?: (Omit<SamplingOptions, "uniform"> & { readonly key: Key }) | undefined;
}

/** What a model answers to one user turn: text in, text out. Ends with the model's turn. */
export async function generateText(
	model: CausalLM,
	tokenizer: SentencePieceTokenizer,
	prompt: string,
	options: TextOptions,
): Promise<string> {
	const { sample, eosTokenIds = [tokenizer.eosId] } = options;
	const draws = sample && uniformValues(sample.key, options.maxNewTokens).values();
	const ids: number[] = [];
	const how: GenerateOptions = {
		...options,
		eosTokenIds: [...eosTokenIds, tokenizer.idOf("<end_of_turn>")],
		sample: sample && { ...sample, uniform: () => draws?.next().value as number },
	};
	for await (const id of generate(model, encodePrompt(tokenizer, prompt), how)) ids.push(id);
	return tokenizer.decode(ids).trim();
}
