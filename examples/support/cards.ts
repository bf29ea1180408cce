import { readFile } from "node:fs/promises";
import { recordKey } from "@hushgrad/dp";
import { FormatError, key, ValueError } from "@hushgrad/tensor";

/** The cards of this repository. */
const SHIPPED = "assets/flashcards.json";

/** A question and its answer, as in the medical flashcards data set. */
export interface Card {
	readonly instruction: string;
	readonly input: string;
	readonly output: string;
}

/** Reads a JSON list of cards. @throws FormatError naming the card and the field at fault. */
export async function readCards(path: string): Promise<Card[]> {
	const text = await readFile(path, "utf8").catch((cause) => {
		throw new FormatError("cards/missing", "the cards cannot be read", { path, hint: "name a JSON file with --data", cause });
	});
	let cards: unknown;
	try {
		cards = JSON.parse(text);
	} catch (cause) {
		throw new FormatError("cards/json", `the cards are not JSON: ${(cause as Error).message}`, {
			path,
			hint: "expected [{instruction, input, output}, …]",
			cause,
		});
	}
	if (!Array.isArray(cards) || cards.length < 10) {
		throw new FormatError("cards/list", "expected a JSON list of at least 10 cards", {
			path,
			hint: "expected [{instruction, input, output}, …]",
		});
	}
	cards.forEach((card, i) => {
		for (const field of ["instruction", "input", "output"]) {
			const value = card?.[field];
			if (typeof value !== "string" || (field !== "instruction" && value.trim() === "")) {
				throw new FormatError("cards/field", `card ${i}: ${field} is ${JSON.stringify(value) ?? "absent"}, expected text`, {
					path,
					hint:
						field === "output"
							? "a card without an answer teaches nothing: write one or remove the card"
							: "every card has instruction, input and output",
				});
			}
		}
	});
	return cards;
}

/** What the model is asked. */
export const questionOf = ({ instruction, input }: Card): string => (instruction === "" ? input : `${instruction}\n\n${input}`);

export interface Split {
	readonly train: readonly Card[];
	readonly heldOut: readonly Card[];
}

/**
 * About 90 % of the cards to train on, 10 % to evaluate on. Which side a card is on follows from its own text and the seed, so that taking
 * one card from the file moves no other.
 */
export function splitCards(cards: readonly Card[], seed: number): Split {
	const isHeldOut = (card: Card): boolean => recordKey(key(seed), textOf(card)).k0 < 0.1 * 2 ** 32;
	const heldOut = cards.filter(isHeldOut);
	if (heldOut.length === 0) {
		throw new FormatError("cards/held-out", "no card is held out", { hint: "there are few cards: another --seed holds out others" });
	}
	return { train: cards.filter((c) => !isHeldOut(c)), heldOut };
}

const textOf = ({ instruction, input, output }: Card) => ({
	text: new TextEncoder().encode(`${instruction}\n${input}\n${output}`),
});

/** N, as it was declared. @throws ValueError for cards of one's own without one. */
export function declaredSize({ records, data }: { readonly records: number; readonly data: string }): number {
	if (records > 0) return records;
	if (data === SHIPPED) return 400;
	throw new ValueError(
		"cards/declared",
		"--records is not given: how many cards there are is private, and nothing here counts them for you",
		{
			hint: "declare a round number near nine tenths of the cards in the file, one that may be published: --records 400",
		},
	);
}
