import { Template } from "@huggingface/jinja";
import { guess, typed } from "../settings/names.ts";
import type { Table } from "./table.ts";

/** Gives a text of a row; a fault in words where the row has none. */
export type ReadText = (values: Readonly<Record<string, unknown>>) => { readonly text: string } | { readonly fault: string };

/** Names that prompts and responses usually have, the first that is there is taken. */
const PAIRS: readonly (readonly [prompt: string, response: string])[] = [
	["prompt", "response"],
	["prompt", "completion"],
	["question", "answer"],
	["input", "output"],
	["instruction", "output"],
	["instruction", "response"],
	["front", "back"],
	["query", "answer"],
];

/** How prompt and response of a row are read; lines that say why not. */
export type Mapping =
	| { readonly prompt: ReadText; readonly response: ReadText; readonly isFound: string }
	| { readonly faults: readonly string[] };

/** Finds the columns of prompt and response, by what is asked for or by their usual names. */
export function mapColumns(table: Table, asked: { readonly prompt?: string | undefined; readonly response?: string | undefined }): Mapping {
	const { columns } = table;
	const names = new Map(columns.map((c) => [c.toLowerCase().trim(), c]));
	const usual = PAIRS.map((pair) => pair.map((name) => names.get(name))).find((pair) => pair.every((c) => c !== undefined));
	const faults: string[] = [];
	const find = (flag: "prompt" | "response", index: number): ReadText | undefined => {
		const given = asked[flag];
		if (given !== undefined) return readerOf(flag, given, columns, faults);
		const column = usual?.[index];
		const [instruction, input] = [names.get("instruction"), names.get("input")];
		if (flag === "prompt" && column === input && instruction !== undefined && input !== undefined) return joined(instruction, input);
		if (column !== undefined) return (values) => textOf(column, values[column]);
		faults.push(`no column is named as a ${flag} usually is: name it with --${flag}; ${columnsText(columns)}`);
		return undefined;
	};
	const prompt = find("prompt", 0);
	const response = find("response", 1);
	if (prompt === undefined || response === undefined) return { faults };
	return { prompt, response, isFound: usual === undefined ? "" : usual.join(" and ") };
}

/** A question in two columns, one of which may be empty: an instruction for all records, and an input. The form of Alpaca's data. */
const joined =
	(instruction: string, input: string): ReadText =>
	(values) => {
		const parts = [instruction, input].flatMap((column) => {
			const read = textOf(column, values[column]);
			return "text" in read ? [read.text] : [];
		});
		return checked(input, parts.join("\n\n"));
	};

function readerOf(flag: string, given: string, columns: readonly string[], faults: string[]): ReadText | undefined {
	if (columns.includes(given)) return (values) => textOf(given, values[given]);
	if (!/\{\{|\{%/.test(given)) {
		faults.push(
			`--${typed(flag)}: there is no column ${JSON.stringify(given)}${guess(given, shownColumns(columns))}; ${columnsText(columns)}`,
		);
		return undefined;
	}
	let template: Template;
	try {
		template = new Template(given);
	} catch (error) {
		faults.push(`--${flag} is no Jinja: ${(error as Error).message.split("\n")[0]}`);
		return undefined;
	}
	const used = [...given.matchAll(/\{\{-?\s*([\p{L}_][\p{L}\p{N}_]*)/gu)].map((m) => m[1]);
	const strangers = [...new Set(used)].filter((name) => !columns.includes(name));
	for (const name of strangers)
		faults.push(`--${flag}: there is no column ${JSON.stringify(name)}${guess(name, shownColumns(columns))}; ${columnsText(columns)}`);
	return strangers.length > 0 ? undefined : (values) => rendered(template, columns, values);
}

function rendered(template: Template, columns: readonly string[], values: Readonly<Record<string, unknown>>): ReturnType<ReadText> {
	const texts: Record<string, string> = {};
	for (const column of columns) {
		const read = textOf(column, values[column]);
		texts[column] = "text" in read ? read.text : "";
	}
	try {
		return checked("what the template gives", template.render(texts));
	} catch {
		return { fault: "the template refuses it" };
	}
}

/** The text of a cell: numbers count as texts, everything else does not. */
function textOf(column: string, value: unknown): ReturnType<ReadText> {
	const name = isName(column) ? column : "a column";
	if (value === undefined || value === null) return { fault: `${name} is absent` };
	if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return { text: String(value) };
	return typeof value === "string" ? checked(name, value) : { fault: `${name} is no text` };
}

const checked = (name: string, text: string): ReturnType<ReadText> => (text.trim() === "" ? { fault: `${name} is empty` } : { text });

/** Whether a column's name is one, and not a record that stands where the header should: it may be shown then. */
const isName = (name: string): boolean => /^[\p{L}\p{N}_][\p{L}\p{N} _./-]{0,31}$/u.test(name);

const shownColumns = (columns: readonly string[]): readonly string[] => (columns.every(isName) ? columns : []);

/** The columns that there are. Where one looks like a text, none is shown: the first row may be a record. */
function columnsText(columns: readonly string[]): string {
	if (!columns.every(isName))
		return `its ${columns.length} columns are not shown, for they do not look like names: does the file lack a header?`;
	const more = columns.length > 20 ? `, and ${columns.length - 20} more` : "";
	return `the columns are ${columns.slice(0, 20).join(", ")}${more}`;
}
