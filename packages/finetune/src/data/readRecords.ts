import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { extname } from "node:path";
import { recordKey } from "@hushgrad/dp";
import { FormatError, key } from "@hushgrad/tensor";
import { type Mapping, mapColumns } from "./columns.ts";
import { readCsvTable } from "./csv.ts";
import { decodeText } from "./decode.ts";
import { fromHub, isHubName } from "./hub.ts";
import { readJsonLines, readJsonTable } from "./json.ts";
import { readParquetTable } from "./parquet.ts";
import type { BrokenRecord, Records, TextRecord } from "./records.ts";
import type { Table } from "./table.ts";

/** Settings that say what is read of which file. */
export interface DataSettings {
	/** Path of the file, or `hub:owner/name` for a data set of the Hugging Face Hub. */
	readonly data: string;
	/** Column or template of the prompt; found by name when left out. */
	readonly prompt?: string | undefined;
	/** Column or template of the response; found by name when left out. */
	readonly response?: string | undefined;
	/** Column that names whom a record belongs to. */
	readonly unit?: string | undefined;
	/** What becomes of records that cannot be used. */
	readonly broken: "stop" | "drop";
	/** Share kept for evaluation. */
	readonly heldOut: number;
	/** Of the split. */
	readonly seed: number;
}

const FORMATS = [".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"];
const MOST_BYTES = 2 ** 30;
/** Broken records that a message names, at most. */
const NAMED = 20;

/**
 * Reads, maps and splits the records of a file. A message names records by place and never holds a word of their text.
 * @throws FormatError for a file that cannot be read, a column that is not there, and, where `broken` is "stop", broken records: all of them.
 */
export async function readRecords(settings: DataSettings): Promise<Records> {
	const path = isHubName(settings.data) ? await fromHub(settings.data) : settings.data;
	const bytes = await readBytes(path);
	const table = await readTable(bytes, path);
	const mapping = mapColumns(table, settings);
	const { unit } = settings;
	const unitFault = unit === undefined || table.columns.includes(unit) ? [] : [`--unit: there is no column ${JSON.stringify(unit)}`];
	const faults = [...("faults" in mapping ? mapping.faults : []), ...unitFault];
	if ("faults" in mapping || faults.length > 0) {
		throw new FormatError("data/column", faults.join("\n  "), {
			path: settings.data,
			hint: "--prompt and --response name columns, or texts with {{ columns }}",
		});
	}
	const { records, broken } = recordsOf(table, mapping, unit);
	if (broken.length > 0 && (settings.broken === "stop" || records.length === 0)) throw brokenError(broken, table, settings.data);
	if (records.length === 0)
		throw new FormatError("data/empty", "the data has no record", { path: settings.data, hint: "each needs a prompt and a response" });
	const isHeldOut = splitter(settings);
	const { placeName } = table;
	const fingerprint = createHash("sha256").update(bytes).digest("hex");
	return { train: records.filter((r) => !isHeldOut(r)), heldOut: records.filter(isHeldOut), broken, placeName, fingerprint };
}

/** Number of records to train on. Of private data it is private: declare one instead. @throws as `readRecords`. */
export const countRecords = async (settings: DataSettings): Promise<number> => (await readRecords(settings)).train.length;

async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
	const refuse = (what: string, cause?: unknown): never => {
		throw new FormatError("data/missing", `the data ${what}`, { path, hint: `--data names a file: ${FORMATS.join(", ")}`, cause });
	};
	const info = await stat(path).catch((cause: NodeJS.ErrnoException) =>
		refuse(cause.code === "ENOENT" ? "does not exist" : `cannot be read (${cause.code})`, cause),
	);
	if (info.isDirectory()) refuse("is a folder");
	if (!info.isFile()) refuse("is no file");
	if (info.size > MOST_BYTES) refuse(`has ${info.size} bytes, at most ${MOST_BYTES} are read`);
	if (!FORMATS.includes(extname(path).toLowerCase())) refuse(`has the ending ${JSON.stringify(extname(path))}, which tells no format`);
	return (await readFile(path).catch((cause: NodeJS.ErrnoException) =>
		refuse(`cannot be read (${cause.code})`, cause),
	)) as Uint8Array<ArrayBuffer>;
}

async function readTable(bytes: Uint8Array<ArrayBuffer>, path: string): Promise<Table> {
	const format = extname(path).toLowerCase();
	if (format === ".parquet") return readParquetTable(bytes, path);
	const text = decodeText(bytes, path);
	if (format === ".json") return readJsonTable(text, path);
	return format === ".csv" || format === ".tsv" ? readCsvTable(text, path, format) : readJsonLines(text);
}

type Found = Exclude<Mapping, { readonly faults: readonly string[] }>;

function recordsOf(
	table: Table,
	{ prompt, response }: Found,
	unit: string | undefined,
): { readonly records: TextRecord[]; readonly broken: BrokenRecord[] } {
	const records: TextRecord[] = [];
	const broken: BrokenRecord[] = [];
	for (const { place, values } of table.rows) {
		if (typeof values === "string") {
			broken.push({ place, fault: values });
			continue;
		}
		const [question, answer] = [prompt(values), response(values)];
		const owner = unit === undefined ? undefined : values[unit];
		const faults = [question, answer].flatMap((read) => ("fault" in read ? [read.fault] : []));
		if (unit !== undefined && (owner === undefined || owner === null || owner === "")) faults.push("it belongs to nobody");
		if ("fault" in question || "fault" in answer || faults.length > 0) broken.push({ place, fault: faults.join(", ") });
		else records.push({ prompt: question.text, response: answer.text, ...(unit === undefined ? {} : { unit: String(owner) }), place });
	}
	return { records, broken };
}

function brokenError(broken: readonly BrokenRecord[], { rows, placeName }: Table, path: string): FormatError {
	const named = broken.slice(0, NAMED).map(({ place, fault }) => `${placeName} ${place}: ${fault}`);
	const more = broken.length > NAMED ? [`and ${broken.length - NAMED} more`] : [];
	const [verb, noun] = broken.length === 1 ? ["is", "record"] : ["are", "records"];
	return new FormatError("data/broken", [`${broken.length} of ${rows.length} ${noun} ${verb} broken:`, ...named, ...more].join("\n  "), {
		path,
		hint: "mend them, or leave them out with --broken drop",
	});
}

/**
 * Whether a record is held out. It follows from the seed and the record's own text, or from its owner where one is named, and so never from
 * the other records.
 */
function splitter({ heldOut, seed }: DataSettings): (record: TextRecord) => boolean {
	const encoder = new TextEncoder();
	const root = key(seed);
	return ({ prompt, response, unit }) => recordKey(root, { text: encoder.encode(unit ?? `${prompt}\n${response}`) }).k0 < heldOut * 2 ** 32;
}
