import { z } from "zod";

const share = z.number().min(0).max(1);
const count = z.int().min(0);

const evaluation = z.object({
	/** Records that were evaluated. */
	records: count,
	/** Mean loss of a token of the responses, in nats; undefined where there is no record. */
	lossPerToken: z.number().optional(),
	/** The right answer among four; undefined with fewer than five different responses. */
	multipleChoice: z
		.object({
			/** Questions with four answers. */
			questions: count,
			/** Share of them whose right answer was the likeliest. */
			accuracy: share,
			/** The same by likelihood a token, so that length does not count. */
			accuracyPerToken: share,
			/** The same by how much likelier the question makes the answer than another question does; runs of before do not have it. */
			accuracyMutualInfo: share.optional(),
		})
		.optional(),
	/** Scores of greedy answers, the likeliest token each time. */
	answers: z
		.object({
			/** How many there are. */
			count,
			/** Mean of `tokenF1`. */
			tokenF1: share,
			/** Mean of `exactMatch`. */
			exactMatch: share,
			/** Share without a word. */
			empty: share,
			/** Share with a sign that is none (U+FFFD): bytes that make no letter. */
			garbled: share,
		})
		.optional(),
	/** A public text, about which nothing was learned: what was forgotten. */
	publicText: z
		.object({
			/** Tokens of it. */
			tokens: count,
			/** Mean loss of one, in nats. */
			lossPerToken: z.number(),
		})
		.optional(),
	/** Whether the records are public; others say something of people. */
	isPublic: z.boolean().optional(),
	/** Whether ε covers these numbers: those of public records, and no others. */
	covered: z.boolean().optional(),
	/** Prompts with expected and given answers, as many as were asked for; of public or consented records. */
	examples: z
		.array(
			z.object({
				/** What the model was asked. */
				prompt: z.string(),
				/** What it should answer. */
				response: z.string(),
				/** What it answered. */
				answer: z.string(),
			}),
		)
		.optional(),
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
