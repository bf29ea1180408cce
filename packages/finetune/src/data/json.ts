import { FormatError } from "@hushgrad/tensor";
import { LineCounter, parseDocument } from "yaml";
import type { Row, Table } from "./table.ts";

const HINT = 'expected [{"question": …, "answer": …}, …], or the same list under "data"';

const isObject = (v: unknown): v is Readonly<Record<string, unknown>> => typeof v === "object" && v !== null && !Array.isArray(v);

/** Reads a JSON list of objects, or { "data": [ … ] }. @throws FormatError, which holds nothing of the text. */
export function readJsonTable(text: string, path: string): Table {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		// The reader's own message quotes the text, which is private.
		throw new FormatError("data/json", `the data is not JSON${lineOfFault(text)}`, { path, hint: HINT });
	}
	const list = Array.isArray(value) ? value : isObject(value) && Array.isArray(value.data) ? value.data : undefined;
	if (list === undefined) throw new FormatError("data/json", "the data is JSON, but no list of records", { path, hint: HINT });
	return tableOf(
		list.map((values, i) => ({ place: i + 1, values: isObject(values) ? values : "is no object" })),
		"record",
	);
}

/** Reads a JSON object from each line; empty lines are passed over. */
export function readJsonLines(text: string): Table {
	const rows = text.split("\n").flatMap((line, i): Row[] => (line.trim() === "" ? [] : [{ place: i + 1, values: lineValues(line) }]));
	return tableOf(rows, "line");
}

function lineValues(line: string): Row["values"] {
	try {
		const value: unknown = JSON.parse(line);
		return isObject(value) ? value : "is no object";
	} catch {
		return "is not JSON";
	}
}

/** A table whose columns are all names that rows have. */
export function tableOf(rows: readonly Row[], placeName: string): Table {
	const columns = new Set<string>();
	for (const { values } of rows) if (typeof values !== "string") for (const name of Object.keys(values)) columns.add(name);
	return { columns: [...columns], rows, placeName };
}

/** ": line 12", where the fault can be found. YAML's reader tells places, and JSON is a part of YAML. */
function lineOfFault(text: string): string {
	if (text.length > 2 ** 22) return "";
	const lines = new LineCounter();
	const [error] = parseDocument(text, { lineCounter: lines, prettyErrors: false, schema: "json" }).errors;
	return error === undefined ? "" : `: see line ${lines.linePos(error.pos[0]).line}`;
}
