import { type Device, data, slice, type Tensor, ValueError } from "@hushgrad/tensor";
import type { VaultGemmaForCausalLM } from "./gemma/model.ts";
import { argmax, repetitionPenalty, sampleToken, softmaxProbabilities, temperature, topK, topP, withoutTokens } from "./logits.ts";

/** Names and neutral values as in transformers' GenerationConfig. */
export interface GenerateOptions {
	readonly maxNewTokens: number;
	/** Token ids that end the text; the one met is yielded last. */
	readonly eosTokenIds?: readonly number[];
	/** Tokens to write before an end token may come. */
	readonly minNewTokens?: number;
	/** Divides (multiplies, when negative) the logits of tokens already seen, prompt included; 1 is neutral. */
	readonly repetitionPenalty?: number;
	/** Draw from the distribution; the most likely token otherwise. */
	readonly sample?: SamplingOptions;
}

export interface SamplingOptions {
	/** The next uniform number in [0, 1). */
	readonly uniform: () => number;
	readonly temperature?: number;
	readonly topK?: number;
	readonly topP?: number;
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

function idsTensor(device: Device, ids: readonly number[]): Tensor {
	return device.fromHost(Int32Array.from(ids), [1, ids.length]);
}

/**
 * Yields the continuation of a prompt token by token, from a key-value cache: the prompt is read once, each new token
 * costs one position. Greedy unless `sample` is given.
 */
export async function* generate(model: VaultGemmaForCausalLM, prompt: readonly number[], options: GenerateOptions): AsyncGenerator<number> {
	if (prompt.length === 0) throw new ValueError("generate/prompt", "generate: the prompt is empty", { hint: "start with the <bos> token" });
	const { device } = model.model.embed_tokens.weight.value;
	const cache = model.newCache();
	const seen = [...prompt];
	try {
		let input = [...prompt];
		for (let n = 0; n < options.maxNewTokens; n++) {
			const last = device.scope<Tensor>(() => {
				const hidden = model.model.call(idsTensor(device, input), { cache });
				return model.logits(slice(hidden, 1, input.length - 1, input.length));
			});
			const logits = (await data(last)) as Float32Array;
			last.dispose();
			const token = nextToken(logits, seen, options, n);
			yield token;
			if (options.eosTokenIds?.includes(token)) return;
			seen.push(token);
			input = [token];
		}
	} finally {
		cache.dispose();
	}
}
