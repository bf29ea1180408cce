import { ValueError } from "@hushgrad/tensor";
import { z } from "zod";
import { readSettingsFile } from "./file.ts";
import { parseFlags } from "./flags.ts";
import type { GivenValue } from "./given.ts";
import { guess, typed } from "./names.ts";
import { expected, type Shape, wordsOf } from "./shape.ts";
import type { Source } from "./sources.ts";

/** What a command line, and the file that it names, say: checked, defaults of the schema put in. */
export interface Arguments<S extends Shape> {
	/** By name. */
	readonly values: z.output<z.ZodObject<S>>;
	/** Where each value comes from that was given. */
	readonly given: Readonly<Record<string, Source>>;
	/** Words that belong to no flag, as many as were asked for. */
	readonly positionals: readonly string[];
}

/** What a command takes beside its flags. */
export interface ArgumentOptions {
	/** Names of the words without a flag, all required; none when left out. */
	readonly positionals?: readonly string[] | undefined;
	/** Whether `--config FILE` is one of the flags; false when left out. */
	readonly config?: boolean | undefined;
}

const CONFIG = { config: z.string().min(1).optional() };

/**
 * Reads the command line of a command by the types of its flags. A flag goes before the same setting in the file.
 * @throws ValueError (`cli/arguments`) that lists everything that is wrong at once; FormatError for a settings file that is none.
 */
export async function readArguments<S extends Shape>(
	shape: S,
	args: readonly string[],
	options: ArgumentOptions = {},
): Promise<Arguments<S>> {
	const { positionals: wanted = [], config = false } = options;
	const flags = parseFlags(config ? { ...shape, ...CONFIG } : shape, args);
	const path = config ? flags.values.get("config")?.value : undefined;
	const file = typeof path === "string" && path !== "" ? await readSettingsFile(shape, path) : undefined;
	const merged = new Map<string, GivenValue>([...(file?.values ?? []), ...flags.values]);
	merged.delete("config");
	const faults = [...flags.faults, ...(file?.faults ?? []), ...positionalFaults(flags.positionals, wanted)];
	if (path === "") faults.push("--config needs a value");
	const parsed = z.object(shape).safeParse(Object.fromEntries([...merged].map(([name, { value }]) => [name, value])));
	if (!parsed.success) faults.push(...issueLines(shape, parsed.error.issues, merged));
	refuseAll(faults);
	return {
		values: parsed.data as z.output<z.ZodObject<S>>,
		given: Object.fromEntries([...merged].map(([name, { source }]) => [name, source])),
		positionals: flags.positionals,
	};
}

function positionalFaults(found: readonly string[], wanted: readonly string[]): string[] {
	const missing = wanted.slice(found.length).map((name) => `${name.toUpperCase()} is missing`);
	const extra = found.slice(wanted.length).map((word) => `${JSON.stringify(word)} belongs to no flag`);
	return [...missing, ...extra];
}

/** A line for each setting that the schema refuses. */
function issueLines(shape: Shape, issues: readonly z.core.$ZodIssue[], merged: ReadonlyMap<string, GivenValue>): string[] {
	const names = new Set(issues.map(({ path }) => String(path[0])));
	return [...names].map((name) => {
		const given = merged.get(name);
		if (given === undefined) return `--${typed(name)} is missing: ${expected(shape[name])}`;
		const { value, source } = given;
		const where = source.from === "file" ? `${source.where}: ${typed(name)}` : `--${typed(name)}`;
		const wrong = (Array.isArray(value) ? value : [value]).find((v) => typeof v === "string" && !wordsOf(shape[name]).includes(v));
		const hint = typeof wrong === "string" ? guess(wrong, wordsOf(shape[name])) : "";
		return `${where} is ${shownValue(value)}, expected ${expected(shape[name])}${hint}`;
	});
}

function shownValue(value: unknown): string {
	const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
	return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** @throws ValueError that lists all of them, if there are any. */
export function refuseAll(faults: readonly string[], hint = "--help explains each flag"): void {
	if (faults.length === 0) return;
	const text = faults.length === 1 ? faults[0] : `${faults.length} things are wrong:\n  ${faults.join("\n  ")}`;
	throw new ValueError("cli/arguments", text, { hint });
}
