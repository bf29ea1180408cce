import { z } from "zod";

const share = z.number().min(0).max(1);
const count = z.int().min(0);

const evaluation = z.object({
	/** Records that were evaluated. */
	records: count,
	/** Mean loss of a token of the responses, in nats; undefined where there is no record. */
	lossPerToken: z.number().optional(),
	/** The right answer among four; undefined with fewer than four different responses. `accuracyPerToken` is by likelihood a token. */
	multipleChoice: z.object({ questions: count, accuracy: share, accuracyPerToken: share }).optional(),
	/**
	 * Of the likeliest answers, token by token: how many; means of `tokenF1` and `exactMatch`; the share without a word, and with a sign that
	 * is none (U+FFFD): bytes that make no letter.
	 */
	answers: z.object({ count, tokenF1: share, exactMatch: share, empty: share, garbled: share }).optional(),
	/** A public text, about which nothing was learned: what was forgotten. */
	publicText: z.object({ tokens: count, lossPerToken: z.number() }).optional(),
	/** Whether the records are public; others say something of people. */
	isPublic: z.boolean().optional(),
	/** Whether ε covers these numbers: those of public records, and no others. */
	covered: z.boolean().optional(),
	/** Prompts with expected and given answers, as many as were asked for; of public or consented records. */
	examples: z.array(z.object({ prompt: z.string(), response: z.string(), answer: z.string() })).optional(),
});

/** The file evaluation.json: of the base, before the first step, and of the adapter, after the last one. */
export const evaluationSchema = z.object({ before: evaluation.optional(), after: evaluation.optional() });

/** What a model makes of records that it was not trained on. */
export type Evaluation = Readonly<z.output<typeof evaluation>>;
/** Scores of greedy answers. */
export type AnswerScores = NonNullable<Evaluation["answers"]>;
/** An answer, beside the one that was expected. */
export type AnsweredExample = NonNullable<Evaluation["examples"]>[number];
/** Evaluations of a run. */
export type EvaluationPair = Readonly<z.output<typeof evaluationSchema>>;
