import { readFile } from "node:fs/promises";
import { FormatError, key, permutation } from "@hushgrad/tensor";

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

/** 90 % of the cards to train on, 10 % to evaluate on, in an order that the seed decides. */
export function splitCards(cards: readonly Card[], seed: number): Split {
	const shuffled = [...permutation(cards.length, key(seed))].map((i) => cards[i]!);
	const cut = Math.round(0.9 * cards.length);
	return { train: shuffled.slice(0, cut), heldOut: shuffled.slice(cut) };
}
