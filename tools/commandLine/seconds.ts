/** `npm run wrong-input`: types every line of docs/command-line.md that has something wrong in it, and writes how long each took. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFlags } from "../flags.mjs";
import { cases, lineOf } from "./cases.ts";
import { answers } from "./run.ts";

const FILE = "tools/commandLine/seconds.json";

/** Processor seconds that each line took when it was last measured. */
export const readSeconds = (root: string): Readonly<Record<string, number>> =>
	JSON.parse(readFileSync(join(root, FILE), "utf8")) as Record<string, number>;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	readFlags(`npm run wrong-input   measures how long ${cases.length} wrong command lines take: ${FILE}, for docs/command-line.md`, {});
	const root = fileURLToPath(new URL("../..", import.meta.url));
	const seconds = (await answers(root)).map((one) => [lineOf(one), Number(one.seconds.toFixed(4))] as const);
	writeFileSync(join(root, FILE), `${JSON.stringify(Object.fromEntries(seconds), null, "\t")}\n`);
	console.log(`${seconds.length} lines, the longest ${Math.max(...seconds.map(([, s]) => s))} s of processor time: ${FILE}`);
}
