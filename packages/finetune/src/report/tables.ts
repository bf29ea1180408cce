import { type Html, html, nothing } from "./html.ts";

/** A name and its value. */
export type Pair = readonly [name: string, value: string | Html];

/** A table of names and values, with a caption for who does not see where it stands. */
export function pairTable(caption: string, pairs: readonly Pair[]): Html {
	if (pairs.length === 0) return nothing;
	const rows = pairs.map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>\n`);
	return html`<table class="pairs"><caption>${caption}</caption><tbody>\n${rows}</tbody></table>\n`;
}

/** A table with a heading over each column; the first cell of a row names it. */
export function columnTable(caption: string, columns: readonly string[], rows: readonly (readonly string[])[]): Html {
	const heads = columns.map((name) => html`<th scope="col">${name}</th>`);
	const body = rows.map(([name = "", ...cells]) => {
		const rest = cells.map((cell) => html`<td class="number">${cell}</td>`);
		return html`<tr><th scope="row">${name}</th>${rest}</tr>\n`;
	});
	return html`<table><caption>${caption}</caption><thead><tr>${heads}</tr></thead><tbody>\n${body}</tbody></table>\n`;
}

/** A part of the page, with its heading. */
export const section = (id: string, title: string, ...parts: readonly Html[]): Html =>
	html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>\n${parts}</section>\n`;

/** Leaves of a nested value with their paths, as they are read by people: "device description". */
export function leaves(value: unknown, path: readonly string[] = []): Pair[] {
	if (typeof value === "object" && value !== null) {
		return Object.entries(value).flatMap(([name, inner]) => leaves(inner, [...path, spaced(name)]));
	}
	return value === undefined || value === "" ? [] : [[path.join(" "), String(value)]];
}

/** hasF16 → has f16. */
const spaced = (name: string): string => (name.startsWith("@") ? name : name.replaceAll(/(?<=[a-z])[A-Z]/g, (c) => ` ${c.toLowerCase()}`));
