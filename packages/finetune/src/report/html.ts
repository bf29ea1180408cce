/** Markup that is safe to stand in a page: only `html` makes it from texts, which it escapes, and `trusted` from what a library drew. */
export class Html {
	/** The markup. */
	readonly text: string;

	/** For `html` and `trusted`. */
	constructor(text: string) {
		this.text = text;
	}
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;" };
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
const UNPRINTABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** A text in which nothing is markup, and nothing is invisible or turns the direction of what follows. */
export const escapeText = (text: string): string =>
	text.replaceAll(UNPRINTABLE, "\ufffd").replaceAll(/[&<>"'`]/g, (c) => ENTITIES[c] ?? "");

type Part = Html | string | number | readonly Html[];

const partText = (part: Part): string => {
	if (part instanceof Html) return part.text;
	return typeof part === "object" ? part.map(({ text }) => text).join("") : escapeText(String(part));
};

/** Markup with values in it; all but `Html` are escaped. An attribute's value must stand in double quotes. */
export const html = (strings: TemplateStringsArray, ...parts: readonly Part[]): Html =>
	new Html(strings.map((s, i) => (i === 0 ? s : partText(parts[i - 1] as Part) + s)).join(""));

/** Markup that a drawing library made. */
export const trusted = (markup: string): Html => new Html(markup);

/** Nothing. */
export const nothing = new Html("");
