import { parseArgs } from "node:util";
import type { Given, GivenValue } from "./given.ts";
import { guess, typed } from "./names.ts";
import { type Shape, writtenAs } from "./shape.ts";

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** What a command line says. */
export interface Flags extends Given {
	/** Words that belong to no flag. */
	readonly positionals: readonly string[];
}

/** Reads flags by the names of a shape; `--config FILE` is one more. Nothing is checked but the writing. */
export function parseFlags(shape: Shape, args: readonly string[]): Flags {
	const names = new Map(Object.keys(shape).map((name) => [typed(name), name]));
	const kinds = new Map([...names].map(([flag, name]) => [flag, writtenAs(shape[name])]));
	const options = Object.fromEntries(
		[...kinds].map(([flag, kind]) => [flag, { type: kind === "boolean" ? ("boolean" as const) : ("string" as const) }]),
	);
	const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
	const values = new Map<string, GivenValue>();
	const faults: string[] = [];
	const positionals: string[] = [];
	let stranger = Number.NEGATIVE_INFINITY;
	for (const token of tokens) {
		// A word after an unknown flag is taken for its value.
		if (token.kind === "positional" && token.index !== stranger + 1) positionals.push(token.value);
		if (token.kind !== "option") continue;
		const isNo = token.name.startsWith("no-") && kinds.get(token.name.slice(3)) === "boolean";
		const flag = isNo ? token.name.slice(3) : token.name;
		const name = names.get(flag);
		const kind = kinds.get(flag);
		if (name === undefined) {
			stranger = token.index;
			faults.push(unknownFlag(token.rawName, [...kinds.keys()]));
		} else if (values.has(name)) {
			faults.push(`${token.rawName} is given twice`);
		} else if (kind === "boolean") {
			if (token.value === undefined) values.set(name, { value: !isNo, source: { from: "flag", where: token.rawName } });
			else faults.push(`${token.rawName} takes no value: write --${flag} or --no-${flag}`);
		} else if (token.value === undefined || (token.inlineValue !== true && token.value.startsWith("--"))) {
			faults.push(`${token.rawName} needs a value`);
		} else {
			values.set(name, { value: readValue(token.value, kind), source: { from: "flag", where: token.rawName } });
		}
	}
	return { values, faults, positionals };
}

function unknownFlag(rawName: string, known: readonly string[]): string {
	const word = rawName.replace(/^-+/, "");
	return `there is no flag ${rawName}${guess(word, [...known, "help"], "--")}`;
}

/** A text as what the setting is written as; a text that is no number stays one, and is refused by the schema. */
function readValue(text: string, kind: string | undefined): unknown {
	if (kind === "list") return text.split(",").map((entry) => entry.trim());
	return kind === "number" && NUMBER.test(text.trim()) ? Number(text) : text;
}
