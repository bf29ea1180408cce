import { readFile } from "node:fs/promises";
import { FormatError } from "@hushgrad/tensor";
import { isMap, isScalar, LineCounter, type Pair, parseDocument } from "yaml";
import type { Given, GivenValue } from "./given.ts";
import { guess, typed } from "./names.ts";
import type { Shape } from "./shape.ts";

const MOST_BYTES = 2 ** 20;
const HINT = "a settings file is YAML or JSON: a line `name: value` for each setting";

/** Reads a settings file, YAML or JSON, by the names of a shape in kebab-case. @throws FormatError for a file that cannot be read as one. */
export async function readSettingsFile(shape: Shape, path: string): Promise<Given> {
	const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
		const what = cause.code === "EISDIR" ? "is a folder" : cause.code === "ENOENT" ? "does not exist" : `cannot be read (${cause.code})`;
		throw new FormatError("settings/file", `the settings file ${what}`, { path, hint: HINT, cause });
	});
	if (bytes.length > MOST_BYTES) {
		throw new FormatError("settings/file", `the settings file has ${bytes.length} bytes, at most ${MOST_BYTES} are read`, {
			path,
			hint: HINT,
		});
	}
	return parseSettings(shape, bytes.toString("utf8"), path);
}

/** The same of a text; `path` is for messages. @throws FormatError */
export function parseSettings(shape: Shape, text: string, path: string): Given {
	const lines = new LineCounter();
	const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
	const lineOf = (offset: number | undefined): string => `${path}:${lines.linePos(offset ?? 0).line}`;
	const [error] = document.errors;
	if (error !== undefined) {
		throw new FormatError("settings/syntax", `${lineOf(error.pos[0])} is neither YAML nor JSON: ${firstLine(error.message)}`, {
			hint: HINT,
		});
	}
	if (document.contents === null) return { values: new Map(), faults: [] };
	if (!isMap(document.contents))
		throw new FormatError("settings/syntax", "the settings file holds no names with values", { path, hint: HINT });
	const names = new Map(Object.keys(shape).map((name) => [typed(name), name]));
	const values = new Map<string, GivenValue>();
	const faults: string[] = [];
	for (const { key, value } of document.contents.items as Pair[]) {
		const where = lineOf(isScalar(key) ? key.range?.[0] : 0);
		const word = String(isScalar(key) ? key.value : key);
		const name = names.get(word);
		if (name === undefined && word === "$schema") continue;
		if (name === undefined) faults.push(`${where}: there is no setting ${JSON.stringify(word)}${guess(word, [...names.keys()])}`);
		else values.set(name, { value: toJs(value), source: { from: "file", where } });
	}
	return { values, faults };
}

const firstLine = (text: string): string => text.split("\n")[0];

/** A node of the document as a plain value; an empty one is null. */
function toJs(node: unknown): unknown {
	if (node === null || typeof node !== "object" || !("toJSON" in node) || typeof node.toJSON !== "function") return node;
	return node.toJSON();
}
