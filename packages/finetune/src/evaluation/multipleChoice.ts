import { createHash } from "node:crypto";
import { type Example, learnedTokens } from "@hushgrad/models";

/** Wrong answers beside the right one. */
export const DISTRACTORS = 3;

/** A question and its answer. */
interface Pair {
	readonly prompt: string;
	readonly response: string;
}

/**
 * For each record three responses of others, as their indices: those with the smallest SHA-256 of this prompt and that response, so that they
 * follow from the texts alone. Undefined where there are not three that differ from the right one and from each other.
 */
export function distractorsOf(records: readonly Pair[]): (readonly number[] | undefined)[] {
	const first = new Map<string, number>();
	for (const [i, { response }] of records.entries()) if (!first.has(response)) first.set(response, i);
	return records.map(({ prompt, response }) => {
		const others = [...first.values()].filter((i) => records[i]?.response !== response);
		if (others.length < DISTRACTORS) return undefined;
		const rank = new Map(others.map((i) => [i, hashOf(prompt, records[i]?.response ?? "")]));
		return others.sort((a, b) => ((rank.get(a) ?? "") < (rank.get(b) ?? "") ? -1 : 1)).slice(0, DISTRACTORS);
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
}

/** A question: its right answer first. */
export type Choices = readonly {
	/** Question and answer, as tokens. */
	readonly example: Example;
	/** Summed loss of the answer's tokens, in nats. */
	readonly loss: number;
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
	};
}
