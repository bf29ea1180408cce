import { createHash } from "node:crypto";
import { type Example, learnedTokens } from "@hushgrad/models";

/** Wrong answers beside the right one. */
export const DISTRACTORS = 3;

/** A question and its answer. */
interface Pair {
	readonly prompt: string;
	readonly response: string;
}

/** What a question is asked with. */
export interface Distractors<R> {
	/** Three records whose responses are the wrong answers. */
	readonly wrong: readonly R[];
	/** A record whose question is another one: after it, answers are as likely as they are by themselves. */
	readonly elsewhere: R;
}

/**
 * For each record three whose responses are wrong, and a fourth: those with the smallest SHA-256 of this prompt and that response, so that they
 * follow from the texts alone. Undefined where there are not four responses that differ from the right one and from each other.
 */
export function distractorsOf<R extends Pair>(records: readonly R[]): (Distractors<R> | undefined)[] {
	const first = new Map<string, R>();
	for (const record of records) if (!first.has(record.response)) first.set(record.response, record);
	return records.map(({ prompt, response }) => {
		const others = [...first.values()]
			.filter((other) => other.response !== response)
			.map((other) => ({ other, rank: hashOf(prompt, other.response) }))
			.sort((a, b) => (a.rank < b.rank ? -1 : 1))
			.map(({ other }) => other);
		const elsewhere = others[DISTRACTORS];
		return elsewhere && { wrong: others.slice(0, DISTRACTORS), elsewhere };
	});
}

const hashOf = (prompt: string, response: string): string =>
	createHash("sha256")
		.update(JSON.stringify([prompt, response]))
		.digest("hex");

/** How often the right answer was the likeliest. */
export interface ChoiceAccuracy {
	/** Questions with four answers. */
	readonly questions: number;
	/** Share in which the right answer is likelier than each of three others; 0.25 by chance. */
	readonly accuracy: number;
	/** The same by likelihood a token, the geometric mean, which short answers do not win by being short. */
	readonly accuracyPerToken: number;
	/**
	 * The same by how much likelier the question makes an answer, log p(answer | question) − log p(answer | another question): its pointwise
	 * mutual information, by which no answer wins because it is short or said often. Source: PMI of the domain, Holtzman et al. 2021,
	 * arXiv:2104.08315, whose premise is here the question of another record; `acc_mutual_info` of lm-evaluation-harness.
	 */
	readonly accuracyMutualInfo: number;
}

/** A question: its right answer first. */
export type Choices = readonly {
	/** Question and answer, as tokens. */
	readonly example: Example;
	/** Summed loss of the answer's tokens, in nats. */
	readonly loss: number;
	/** The same after another question. */
	readonly elsewhere: number;
}[];

/** Accuracy by the losses of the answers. An answer that only ties is not right. */
export function choiceAccuracy(questions: readonly Choices[]): ChoiceAccuracy | undefined {
	if (questions.length === 0) return undefined;
	const share = (lossOf: (choice: Choices[number]) => number): number => {
		const right = questions.filter(([own, ...others]) => own !== undefined && others.every((other) => lossOf(own) < lossOf(other)));
		return right.length / questions.length;
	};
	return {
		questions: questions.length,
		accuracy: share(({ loss }) => loss),
		accuracyPerToken: share(({ loss, example }) => loss / learnedTokens(example)),
		accuracyMutualInfo: share(({ loss, elsewhere }) => loss - elsewhere),
	};
}
