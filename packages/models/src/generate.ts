import { type Device, data, type Key, type Tensor, uniformValues, ValueError } from "@hushgrad/tensor";
import { disposeCache, type KVCache } from "./gemma/cache.ts";
import { argmax, repetitionPenalty, sampleToken, softmaxProbabilities, temperature, topK, topP, withoutTokens } from "./logits.ts";
import { encodePrompt } from "./text/sft.ts";
import type { SentencePieceTokenizer } from "./text/tokenizer.ts";

/** How to continue a prompt; names and neutral values as in transformers' GenerationConfig. */
export interface GenerateOptions {
	/** Most tokens to write; the text may end before. */
	readonly maxNewTokens: number;
	/** Token ids that end the text; the one met is yielded last. None when left out. */
	readonly eosTokenIds?: readonly number[] | undefined;
	/** Tokens to write before an end token may come; 0 when left out. */
	readonly minNewTokens?: number | undefined;
	/**
	 * Divides (multiplies, when negative) the logits of tokens already seen, prompt included; 1, the neutral value, when left out.
	 * Keskar et al. 2019.
	 */
	readonly repetitionPenalty?: number | undefined;
	/** Draw from the distribution; the most likely token otherwise. */
	readonly sample?: SamplingOptions | undefined;
}

/** How to draw a token. Filters apply in the order temperature, topK, topP. */
export interface SamplingOptions {
	/** Gives the next uniform number in [0, 1): one a token. */
	readonly uniform: () => number;
	/** Divides the logits; above 0, which is not checked; 1 when left out. The most likely token comes without `sample`. */
	readonly temperature?: number | undefined;
	/** Draw from the k most likely tokens, and those as likely as the k-th; 0 for all, 50 when left out, as in transformers. */
	readonly topK?: number | undefined;
	/**
	 * Draw from the fewest most likely tokens whose probabilities add up to p, at least one; 1, all, when left out. Holtzman et al.
	 * 2020.
	 */
	readonly topP?: number | undefined;
}

const DEFAULT_TOP_K = 50;

/**
 * The next token from one row of logits `[V]`, processed in transformers' order: penalty, minimum length, temperature, top-k,
 * top-p. `seen` are the ids of prompt and text so far, `written` counts the tokens generated so far; 0 when left out.
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
	/** Reads further tokens, i32 `[T]`, after those in the cache; a longer cache has tensors of its own. */
	step(
		ids: Tensor,
		cache?: KVCache,
	): {
		/** Of the next token, f32 `[V]`. */
		readonly logits: Tensor;
		/** Keys and values of all tokens so far. */
		readonly cache: KVCache;
	};
	/** The tensors of its weights and buffers. */
	stateTensors(): Iterable<Tensor>;
}

/**
 * The device that a model's weights are on.
 * @throws ValueError for a model without values.
 */
export function deviceOf(model: Pick<CausalLM, "stateTensors">): Device {
	for (const { device } of model.stateTensors()) return device;
	throw new ValueError("model/empty", "the model has no values yet", { hint: "load it with fromPretrained" });
}

/**
 * Yields the continuation of a prompt of ids token by token, from a key-value cache: the prompt is read once, each new token
 * costs one position. Greedy unless `sample` is given. An iteration that is left early releases its memory, too.
 * @throws ValueError, with the first token, for an empty prompt or a model without values; and as `model.step`, where prompt and
 * text become longer than the model takes.
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
}

/**
 * What a model answers to one user turn of Gemma's chat format: text in, text out, trimmed. It ends with an end token, at the end
 * of the model's turn (`<end_of_turn>`), or after maxNewTokens. The same key gives the same draws.
 * @throws ValueError as `generate` and `encodePrompt`.
 */
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
