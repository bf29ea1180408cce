/** `npm run size`: fails for a source file of more than 400 lines. */
import { fileURLToPath } from "node:url";
import { readFlags } from "./flags.mjs";
import { readSources, type Source } from "./sources.ts";

export const LIMIT = 400;

export interface SizeReport {
	readonly longest: readonly { readonly path: string; readonly lines: number }[];
	readonly tooLong: readonly string[];
}

export function measure(sources: readonly Source[]): SizeReport {
	const sized = sources.map(({ path, text }) => ({ path, lines: text.replace(/\n$/, "").split("\n").length }));
	const longest = sized.sort((a, b) => b.lines - a.lines);
	return { longest: longest.slice(0, 5), tooLong: longest.filter((f) => f.lines > LIMIT).map((f) => f.path) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	readFlags(`npm run size   names source files of more than ${LIMIT} lines`, {});
	const sources = readSources(fileURLToPath(new URL("..", import.meta.url)));
	const { longest, tooLong } = measure(sources);
	console.log(`${sources.length} source files; the longest: ${longest.map((f) => `${f.path} ${f.lines}`).join(", ")}`);
	for (const path of tooLong) console.error(`${path} has more than ${LIMIT} lines: split it`);
	process.exit(tooLong.length === 0 ? 0 : 1);
}
