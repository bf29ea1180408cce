import { generateTextStream, type TextOptions } from "@hushgrad/models";
import { foldIn, key, ValueError } from "@hushgrad/tensor";
import { z } from "zod";
import { settingsSchema } from "../settings/schema.ts";
import type { Answerer } from "./tuned.ts";

const fraction = z.number().gt(0).max(1);

/** Flags that say which model answers, and where. */
export const tunedFlags = {
	model: z.string().min(1).optional().meta({ description: "folder of the base, where it is not where it was" }),
	adapter: z.string().min(1).optional().meta({ description: "another adapter or run, to be put on the same base" }),
	template: z.string().min(1).optional().meta({ description: "as of train; an adapter that lies in no run may need it" }),
	gpu: settingsSchema.shape.gpu,
};

/** Flags that say how an answer is written. */
export const answerFlags = {
	/** Tokens of an answer, at most. */
	maxNewTokens: z.int().min(1).default(64).meta({ description: "tokens of an answer, at most" }),
	/** Of the draws; 0 always takes the likeliest token. */
	temperature: z.number().min(0).default(0.7).meta({ description: "of the draws; 0 always takes the likeliest token" }),
	/** Draw from the likeliest tokens that hold this much probability. */
	topP: fraction.default(0.9).meta({ description: "draw from the likeliest tokens that hold this much probability" }),
	/** Divides the logits of tokens that were there before. */
	repetitionPenalty: z.number().positive().default(1.2).meta({ description: "divides the logits of tokens that were there before" }),
	/** Of the draws: the same seed gives the same answer. */
	seed: z.int().min(0).default(0).meta({ description: "of the draws: the same seed gives the same answer" }),
};

/** How an answer is written. */
export type AnswerSettings = { readonly [N in keyof typeof answerFlags]: z.output<(typeof answerFlags)[N]> };

/**
 * The answer to a prompt that is given as ids, piece by piece; `n` counts the answers of a conversation, each of which has draws of its own.
 * @throws ValueError for a prompt that leaves no room for an answer.
 */
export function answer(
	{ model, tokenizer, endIds }: Answerer,
	ids: readonly number[],
	settings: AnswerSettings,
	n = 0,
): AsyncGenerator<string> {
	const { temperature, topP, repetitionPenalty, seed } = settings;
	const longest = model.config.max_position_embeddings;
	const maxNewTokens = Math.min(settings.maxNewTokens, longest - ids.length);
	if (maxNewTokens < 1) {
		throw new ValueError("generate/room", `the prompt has ${ids.length} tokens, and the model reads ${longest}, its answer included`, {
			hint: "shorten the prompt",
		});
	}
	const sample: TextOptions["sample"] = temperature === 0 ? undefined : { key: foldIn(key(seed), n), temperature, topP };
	return generateTextStream(model, tokenizer, ids, { maxNewTokens, repetitionPenalty, eosTokenIds: endIds, sample });
}
