import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Settings } from "../settings/settings.ts";
import { RunError } from "./errors.ts";
import { hashFiles } from "./files.ts";
import { VERSIONS } from "./versions.ts";

/** What a run is made of: it goes on with the same, and with nothing else. */
export interface Identity {
	/** SHA-256 of the data. */
	readonly data: string;
	/** SHA-256 of the base: its configuration, weights and tokenizer. */
	readonly base: string;
	/** Versions of the packages. */
	readonly code: Readonly<Record<string, string>>;
	/** The settings, but for where the run lies. */
	readonly settings: Omit<Settings, "output">;
}

const PARTS = /^(config\.json|generation_config\.json|tokenizer\.model|.*\.safetensors|.*\.safetensors\.index\.json)$/;

/** SHA-256 of a base model, its files by name; `onProgress` is told how much was read, in bytes. */
export async function hashBase(folder: string, onProgress?: (done: number, total: number) => void): Promise<string> {
	const paths = (await readdir(folder))
		.filter((name) => PARTS.test(name))
		.sort()
		.map((name) => join(folder, name));
	const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
	const total = sizes.reduce((a, b) => a + b, 0);
	let done = 0;
	return hashFiles(paths, (bytes) => {
		done += bytes;
		onProgress?.(done, total);
	});
}

/** The identity of a run. */
export function identityOf({ output: _, ...settings }: Settings, data: string, base: string): Identity {
	return { data, base, code: VERSIONS, settings };
}

/** @throws RunError naming all that is not as it was. */
export function checkIdentity(was: Identity, is: Identity, folder: string): void {
	const changes: string[] = [];
	if (was.data !== is.data) changes.push(`the data ${is.settings.data} (its SHA-256 was ${brief(was.data)}, now it is ${brief(is.data)})`);
	if (was.base !== is.base) changes.push(`the base ${is.settings.model} (its SHA-256 was ${brief(was.base)}, now it is ${brief(is.base)})`);
	changes.push(...differences(was.code, is.code).map(([name, a, b]) => `the version of ${name} (was ${a}, now it is ${b})`));
	changes.push(...differences(was.settings, is.settings).map(([name, a, b]) => `the setting ${name} (was ${a}, now it is ${b})`));
	if (changes.length === 0) return;
	throw new RunError("run/changed", `the run cannot go on: ${changes.join(", ")} changed since it was saved`, {
		path: folder,
		hint: "put back what it was, or begin a new run in another folder; what this one has spent stays in the ledger",
	});
}

const brief = (hash: string): string => `${hash.slice(0, 12)}…`;

function differences(was: object, is: object): [name: string, was: string, is: string][] {
	const [before, now] = [new Map(Object.entries(was)), new Map(Object.entries(is))];
	const text = (value: unknown): string => (value === undefined ? "not set" : JSON.stringify(value));
	return [...new Set([...before.keys(), ...now.keys()])]
		.map((name): [string, string, string] => [name, text(before.get(name)), text(now.get(name))])
		.filter(([, a, b]) => a !== b);
}
