const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Characters that take two columns: those of East Asian scripts, their punctuation and full-width forms (Unicode TR 11, W and F). */
const WIDE =
	/^[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18aff}\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]/u;
const EMOJI = /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f)/u;
const NOTHING = /^[\p{Mark}\p{Default_Ignorable_Code_Point}\p{Cc}]+$/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
const COLORS = /\x1b\[[0-9;]*m/g;

/** The characters of a text as a reader counts them. */
export const charactersOf = (text: string): string[] => Array.from(segmenter.segment(text), ({ segment }) => segment);

/** Columns that a text takes on a terminal; colours take none. */
export function displayWidth(text: string): number {
	let width = 0;
	for (const segment of charactersOf(text.replaceAll(COLORS, ""))) {
		width += NOTHING.test(segment) ? 0 : WIDE.test(segment) || EMOJI.test(segment) ? 2 : 1;
	}
	return width;
}

/** A text filled up with spaces to so many columns. */
export const padTo = (text: string, columns: number): string => text + " ".repeat(Math.max(0, columns - displayWidth(text)));

/**
 * The lines of a text, broken at spaces so that none takes more columns; a word that takes more is broken inside. What goes on of a line stands
 * below its own beginning: that of an entry of a list below its text, that of a named value below the value, that of any other `hang` columns
 * further in.
 */
export function wrap(text: string, columns: number, hang = 0): string[] {
	return text.split("\n").flatMap((line) => wrapLine(line, Math.max(1, columns), hang));
}

function wrapLine(text: string, columns: number, hang: number): string[] {
	const lines: string[] = [];
	const [indent = ""] = /^ */.exec(text) ?? [];
	const [head = ""] = /^ *(?:- |\S+(?: \S+)* {2,})/.exec(text) ?? [];
	const below = " ".repeat(head !== "" && 2 * head.length <= columns ? head.length : Math.min(indent.length + hang, columns >> 1));
	let line = indent;
	for (const word of text
		.slice(indent.length)
		.split(BETWEEN_WORDS)
		.flatMap((w) => broken(w, Math.max(1, columns - below.length)))) {
		const isEmpty = line === indent || line === below;
		const joined = isEmpty ? line + word : `${line} ${word}`;
		if (displayWidth(joined) <= columns || isEmpty) {
			line = joined;
		} else {
			lines.push(line);
			line = below + word;
		}
	}
	return [...lines, line];
}

/** A word in parts of so many columns. */
export function broken(word: string, columns: number): string[] {
	if (displayWidth(word) <= columns || word.includes("\x1b")) return [word];
	const parts: string[] = [];
	let part = "";
	for (const segment of charactersOf(word)) {
		if (part !== "" && displayWidth(part + segment) > columns) {
			parts.push(part);
			part = "";
		}
		part += segment;
	}
	return [...parts, part];
}

/** Where a line may be broken: not beside an equals sign, which stands between what belongs together. */
const BETWEEN_WORDS = /(?<! =) (?!= )/;

/** A text cut to so many columns, with "…" where something is missing. */
export function shorten(text: string, columns: number): string {
	if (displayWidth(text) <= columns) return text;
	let out = "";
	for (const segment of charactersOf(text.replaceAll(COLORS, ""))) {
		if (displayWidth(out + segment) > columns - 1) break;
		out += segment;
	}
	return `${out}…`;
}
