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
	if (columns.length === 0) return { faults: [`no ${table.placeName} has values with names`] };
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
	const column = columns.find((name) => name === given) ?? columns.find((name) => name.trim() === given.trim());
	if (column !== undefined) return (values) => textOf(column, values[column]);
	const isMissing = (name: string): void => {
		faults.push(
			`--${typed(flag)}: there is no column ${JSON.stringify(name)}${guess(name, shownColumns(columns))}; ${columnsText(columns)}`,
		);
	};
	if (!/\{\{|\{%/.test(given)) {
		isMissing(given);
		return undefined;
	}
	const source = quotedNames(given, columns);
	let template: Template;
	try {
		template = new Template(source);
	} catch {
		faults.push(`--${flag} is a template that cannot be read (Jinja): {{ column }} stands for what a column has`);
		return undefined;
	}
	const named = source.matchAll(/\{\{-?\s*([\p{L}_][\p{L}\p{N}_]*)\s*(-?\}\})?/gu);
	const used = Array.from(named, ([, name = "", end]) => ({ name, isWhole: end !== undefined })).filter(({ name }) => name !== BY_NAME);
	const known = new Set(columns.map((name) => name.trim()));
	const strangers = [...new Set(used.map(({ name }) => name))].filter((name) => !known.has(name));
	for (const name of strangers) isMissing(name);
	const whole = used.flatMap(({ name, isWhole }) => (isWhole ? [name] : []));
	return strangers.length > 0 ? undefined : (values) => rendered(template, whole, values);
}

/** What a template has the values of all columns by, also of those whose names are none in Jinja. */
const BY_NAME = "__columns";

/** A template in which columns whose names have blanks stand as Jinja writes them. */
function quotedNames(template: string, columns: readonly string[]): string {
	const names = columns.map((name) => name.trim()).filter((name) => !/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name));
	return template.replaceAll(/(\{\{-?)(.*?)(-?\}\})/gs, (whole, open: string, inside: string, close: string) =>
		names.includes(inside.trim()) ? `${open} ${BY_NAME}[${JSON.stringify(inside.trim())}] ${close}` : whole,
	);
}

/** The text of a template; `whole` are columns that stand in it as they are, and have to be texts. */
function rendered(template: Template, whole: readonly string[], values: Readonly<Record<string, unknown>>): ReturnType<ReadText> {
	const named = Object.fromEntries(Object.entries(values).map(([name, value]) => [name.trim(), plain(value)]));
	const part = whole.find((name) => isComposed(named[name]));
	if (part !== undefined) return textOf(part, named[part]);
	try {
		return checked("what the template gives", template.render({ [BY_NAME]: named, ...named }));
	} catch {
		return { fault: "the template refuses it" };
	}
}

/** A value as a template takes it: numbers and yes or no as texts. */
const plain = (value: unknown): unknown => {
	if (isComposed(value)) return value;
	return value === undefined || value === null ? "" : String(value);
};

const isComposed = (value: unknown): value is object => typeof value === "object" && value !== null;

/** The text of a cell: numbers count as texts, everything else does not. */
function textOf(column: string, value: unknown): ReturnType<ReadText> {
	const name = isName(column) ? column : "a column";
	if (value === undefined || value === null) return { fault: `${name} is absent` };
	if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return { text: String(value) };
	if (typeof value === "string") return checked(name, value);
	return {
		fault: Array.isArray(value)
			? `${name} is a list: name a part of it, as {{ ${name}[0] }}`
			: `${name} has parts: name one, as {{ ${name}.NAME }}`,
	};
}

const checked = (name: string, text: string): ReturnType<ReadText> => (text.trim() === "" ? { fault: `${name} is empty` } : { text });

/** Whether a column's name is one, and not a record that stands where the header should: it may be shown then. */
const isName = (name: string): boolean => /^[\p{L}\p{N}_][\p{L}\p{N} _./-]{0,31}$/u.test(name);

const shownColumns = (columns: readonly string[]): readonly string[] => (columns.every(isName) ? columns : []);

/** The columns that there are. Where one looks like a text, none is shown: the first row may be a record. */
function columnsText(columns: readonly string[]): string {
	if (!columns.every(isName)) {
		const [whose, look] =
			columns.length === 1
				? ["one column is", "it does not look like a name"]
				: [`${columns.length} columns are`, "they do not look like names"];
		return `its ${whose} not shown, for ${look}: does the file lack a header?`;
	}
	const more = columns.length > 20 ? `, and ${columns.length - 20} more` : "";
	return `the columns are ${columns.slice(0, 20).join(", ")}${more}`;
}
