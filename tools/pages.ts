/** `npm run pages`: writes the pages that are made from the sources; `-- --check` only says which of them are out of date. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { settingsJsonSchema } from "@hushgrad/finetune";
import * as commandLine from "./commandLine/page.ts";
import * as dictionary from "./dictionary/page.ts";
import * as errors from "./errors.ts";
import { readFlags } from "./flags.mjs";
import * as operations from "./operations.ts";
import * as names from "./reference/names.ts";

export interface GeneratedPage {
	/** From the repository's root. */
	readonly path: string;
	readonly text: string;
	/** What the sources lack to make it. */
	readonly faults: readonly string[];
}

/** Every page, as the sources have it. */
export async function generatedPages(root: string): Promise<GeneratedPage[]> {
	const report = errors.findErrors(errors.packageSources(root));
	return [
		{ path: errors.PAGE, text: errors.page(report), faults: report.faults },
		{ path: operations.PAGE, text: operations.page(await operations.readOperations(root)), faults: [] },
		{ path: names.PAGE, text: names.page(names.readNames(root)), faults: [] },
		{ path: dictionary.PAGE, text: dictionary.page(root), faults: [] },
		{ path: commandLine.PAGE, text: await commandLine.page(root), faults: [] },
		{ path: "packages/finetune/settings.schema.json", text: jsonText(settingsJsonSchema()), faults: [] },
	];
}

/** JSON as it is formatted here: lists of words on one line. */
const jsonText = (value: object): string =>
	`${JSON.stringify(value, null, "\t")}\n`.replaceAll(
		/\[\n\s*([^[\]{}]*?)\n\s*\]/g,
		(_, words: string) => `[${words.replaceAll(/\n\s*/g, " ")}]`,
	);

/** Lines that a page has and should not have (-), and that it lacks (+). */
export function difference(written: string, text: string): string[] {
	const [old, now] = [written.split("\n"), text.split("\n")];
	const [oldLines, lines] = [new Set(old), new Set(now)];
	const changed = [...old.filter((l) => !lines.has(l)).map((l) => `- ${l}`), ...now.filter((l) => !oldLines.has(l)).map((l) => `+ ${l}`)];
	return changed.length > 0 || written === text ? changed : ["the lines stand in another order"];
}

/** How a page differs from the file that was written. */
export function staleLines(root: string, { path, text }: GeneratedPage): string[] {
	const file = join(root, path);
	return difference(existsSync(file) ? readFileSync(file, "utf8") : "", text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const root = fileURLToPath(new URL("..", import.meta.url));
	const help = "npm run pages -- [--check]   writes the generated pages; --check only tells which lines differ";
	const { check: isCheck } = readFlags(help, { check: { type: "boolean", default: false } });
	for (const page of await generatedPages(root)) {
		const stale = staleLines(root, page);
		if (!isCheck && stale.length > 0) {
			mkdirSync(dirname(join(root, page.path)), { recursive: true });
			writeFileSync(join(root, page.path), page.text);
		}
		console.log(
			stale.length === 0 ? `${page.path} is up to date` : `${page.path}: ${stale.length} lines differ${isCheck ? "" : ", written"}`,
		);
		for (const line of isCheck ? stale : []) console.log(line);
		for (const fault of page.faults) console.error(fault);
		if (page.faults.length > 0 || (isCheck && stale.length > 0)) process.exitCode = 1;
	}
}
