import { FormatError } from "@hushgrad/tensor";
import { CsvError, parse } from "csv-parse/sync";
import type { Row, Table } from "./table.ts";

const HINT =
	"the first row names the columns; a text with the separator, a quote or a line break stands in double quotes, its quotes doubled";

/** Reads CSV or TSV (RFC 4180); the separator is a tab, a comma, a semicolon or a bar, whichever the header has most of; in TSV a tab where it has one. */
export function readCsvTable(text: string, path: string, format: ".csv" | ".tsv" = ".csv"): Table {
	const header = text.slice(0, text.search(/\r|\n|$/));
	const separator = format === ".tsv" && header.includes("\t") ? "\t" : separatorOf(header);
	const all = cells(text, path, separator);
	const [names = [], ...rest] = all;
	const columns = names.map((name) => name.trim());
	const double = columns.findIndex((name, i) => columns.indexOf(name) !== i);
	if (double >= 0) {
		throw new FormatError("data/csv", `columns ${columns.indexOf(columns[double]) + 1} and ${double + 1} have the same name`, {
			path,
			hint: HINT,
		});
	}
	const rows = rest.flatMap((row, i): Row[] =>
		row.length === 1 && row[0].trim() === "" ? [] : [{ place: i + 2, values: valuesOf(columns, row) }],
	);
	return { columns, rows, placeName: "row" };
}

function valuesOf(columns: readonly string[], row: readonly string[]): Row["values"] {
	if (row.length !== columns.length) return `has ${row.length} of ${columns.length} columns`;
	return Object.fromEntries(columns.map((name, i) => [name, row[i]]));
}

/** @throws FormatError, which holds nothing of the text. */
function cells(text: string, path: string, delimiter: string): string[][] {
	try {
		return parse(text, { delimiter, relax_column_count: true });
	} catch (error) {
		if (!(error instanceof CsvError)) throw error;
		const lines = "lines" in error ? ` near line ${error.lines}` : "";
		const what = error.code === "CSV_QUOTE_NOT_CLOSED" ? "a quote is not closed" : "a quote stands where none may";
		throw new FormatError("data/csv", `the data is not CSV: ${what}${lines}`, { path, hint: HINT });
	}
}

const separatorOf = (header: string): string => {
	const count = (c: string): number => header.split(c).length;
	return [",", ";", "\t", "|"].reduce((a, b) => (count(b) > count(a) ? b : a));
};
