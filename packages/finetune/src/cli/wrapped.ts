import { broken, charactersOf, displayWidth } from "./width.ts";

const NEWLINE = /^\r?\n$/;
const TAB = "    ";
const CONTROL = /^\p{Cc}$/u;

/**
 * A text that comes in pieces, with lines broken at spaces so that none takes more columns; a word that takes more is broken inside. A word
 * comes once it is whole, a character of two columns at once: a line may be broken behind it. Control characters are left out, so that no text
 * can move the cursor or change what stands above.
 */
export async function* wrapped(pieces: AsyncIterable<string>, columns: number): AsyncGenerator<string> {
	let column = 0;
	let gap = "";
	let word = "";
	/** The word that is whole now, with what stands before it: spaces, or the end of a line. */
	const placed = (): string => {
		if (word === "") return "";
		const fits = column + gap.length + displayWidth(word) <= columns;
		const before = fits ? gap : column > 0 ? "\n" : "";
		const parts = broken(word, columns);
		column = (fits ? column + gap.length : 0) + displayWidth(parts.at(-1) ?? "");
		gap = "";
		word = "";
		return before + parts.join("\n");
	};
	for await (const piece of pieces) {
		let out = "";
		for (const character of charactersOf(piece)) {
			if (NEWLINE.test(character)) {
				out += `${placed()}\n`;
				column = 0;
				gap = "";
			} else if (character === " " || character === "\t") {
				out += placed();
				gap += character === "\t" ? TAB : character;
			} else if (!CONTROL.test(character)) {
				word += character;
				if (displayWidth(character) > 1) out += placed();
			}
		}
		if (out !== "") yield out;
	}
	const last = placed();
	if (last !== "") yield last;
}
