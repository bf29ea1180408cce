/**
 * What the pages may show, and how it is held to be true:
 * - A block of ```ts is a complete program. It is compiled with every strict flag of TypeScript against the declarations of
 *   the packages, then run, and writes nothing to stderr.
 * - A program that is meant to fail says so where it does, `// throws CODE`: it ends with a HushgradError of that code.
 * - A block of ```text shows what the program directly before it prints. Numbers are rounded to the digits shown, … stands for
 *   anything, and white space does not count.
 * - Commands, and nothing else, stand in ```sh or are indented. Their scripts, programs and paths exist.
 * - Any other block is refused, so that nothing escapes. Scripts that the prose names exist too.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Page {
	/** From the repository's root. */
	readonly path: string;
	readonly text: string;
}

export interface Block {
	readonly page: string;
	/** Of its first line, from 1. */
	readonly line: number;
	/** Of the fence or the line that ends it. */
	readonly end: number;
	/** The words behind the fence; "indented" where there is none. */
	readonly tag: string;
	readonly code: string;
}

/** A program on a page, with what it is to throw and to print. */
export interface Program extends Block {
	readonly throws: string | undefined;
	readonly prints: string | undefined;
}

/** What pages may mention. */
export interface Known {
	readonly scripts: ReadonlySet<string>;
	/** Whether a file, a folder or, for `npx`, a program is there; paths are from the root. */
	readonly exists: (path: string) => boolean;
	/** How code begins that is no program, and that another test compiles and runs. */
	readonly fragments: readonly string[];
}

/** Every page that git knows or would add. */
export function readPages(root: string): Page[] {
	const list = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], { cwd: root, encoding: "utf8" });
	const paths = list.split("\n").filter((p) => p !== "" && existsSync(join(root, p)));
	return paths.sort().map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

/** The operations that CONTRIBUTING.md adds: tests/docs/contributing.test.ts takes them from there. */
const FRAGMENTS = ["/** x / (1 + |x|). */\nexport const softsign = ", "export const centerKernel = "];

/** What the repository has. What it ignores is written by a command, and need not be there yet. */
export function knownIn(root: string): Known {
	const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
	// Commands of the packages themselves, whose programs are built.
	const own = ["node_modules/.bin/hushgrad"];
	const exists = (path: string): boolean => /^out(\/|$)|\/dist(\/|$)/.test(path) || own.includes(path) || existsSync(join(root, path));
	return { scripts: new Set(Object.keys(scripts)), exists, fragments: FRAGMENTS };
}

/** The blocks of a page: fenced ones, and those that are indented by four columns behind an empty line. */
export function blocksOf({ path, text }: Page): Block[] {
	const lines = text.split("\n");
	const blocks: Block[] = [];
	let inList = false;
	for (let i = 0; i < lines.length; i++) {
		const line = lines[i];
		const [, indent, fence, tag] = /^(\s*)(`{3,}|~{3,})\s*([^`]*)$/.exec(line) ?? [];
		const start = i + 1;
		if (fence !== undefined) {
			while (++i < lines.length && !lines[i].trim().startsWith(fence));
			const body = lines.slice(start, i).map((l) => (l.startsWith(indent) ? l.slice(indent.length) : l));
			blocks.push({ page: path, line: start + 1, end: i + 1, tag: tag.trim(), code: body.join("\n") });
		} else if (!inList && isIndented(line) && (i === 0 || lines[i - 1].trim() === "")) {
			while (i + 1 < lines.length && (isIndented(lines[i + 1]) || (lines[i + 1] === "" && isIndented(lines[i + 2] ?? "")))) i++;
			const body = lines.slice(start - 1, i + 1).map((l) => l.replace(/^( {4}|\t)/, ""));
			blocks.push({ page: path, line: start, end: i + 1, tag: "indented", code: body.join("\n") });
		} else if (/^\S/.test(line)) inList = /^([-*+]|\d+[.)])\s/.test(line);
	}
	return blocks;
}

const isIndented = (line: string): boolean => /^( {4}|\t)\s*\S/.test(line);

/** The programs of a page. */
export function programsOf(page: Page): Program[] {
	const blocks = blocksOf(page);
	return blocks.flatMap((block, i) => {
		if (block.tag !== "ts") return [];
		const [next] = blocks.slice(i + 1, i + 2);
		const prints = next !== undefined && isOutput(page, block, next) ? next.code : undefined;
		return [{ ...block, throws: /\/\/ throws (\S+)/.exec(block.code)?.[1], prints }];
	});
}

/** Whether a block of text stands directly below a program. */
function isOutput({ text }: Page, program: Block, { tag, line }: Block): boolean {
	const between = text.split("\n").slice(program.end, line - 2);
	return tag === "text" && between.every((l) => l.trim() === "");
}

/** What is wrong with a page, as far as one can see without running it. */
export function faultsOf(page: Page, known: Known): string[] {
	const blocks = blocksOf(page);
	const at = ({ page: path, line }: Block, fault: string): string => `${path}:${line}: ${fault}`;
	const unknown = blocks.flatMap((block, i) => {
		if (["ts", "sh", "indented"].includes(block.tag)) return [];
		if (block.tag !== "text") return [at(block, `a block of "${block.tag}" is neither ts, sh nor text`)];
		const before = blocks[i - 1];
		return before?.tag === "ts" && isOutput(page, before, block) ? [] : [at(block, "no program stands directly above this text")];
	});
	const commands = blocks.filter(({ tag }) => tag === "sh" || tag === "indented");
	const missing = commands
		.filter(({ code }) => !known.fragments.some((start) => code.startsWith(start)))
		.flatMap((block) => [...strayIn(block.code), ...missingIn(block.code, known)].map((fault) => at(block, fault)));
	const named = [...page.text.matchAll(/`npm run ([\w:-]+)/g)].map((m) => m[1]).filter((name) => !known.scripts.has(name));
	return [...unknown, ...missing, ...named.map((name) => `${page.path}: there is no script ${name}`)];
}

/** Lines that do not begin with a program that we know, a variable for it, or a comment. */
function strayIn(commands: string): string[] {
	const lines = commands.replaceAll(/\\\n/g, " ").split("\n");
	const isCommand = (line: string): boolean => /^(\w+=\S+ )*(npm|npx|node|git|cd|bash|python3?) |^#|^$/.test(line);
	return lines.filter((line) => !isCommand(line.trim())).map((line) => `"${line}" is no command`);
}

/** Scripts, programs and paths of commands that do not exist. */
export function missingIn(commands: string, { scripts, exists }: Known): string[] {
	const run = [...commands.matchAll(/\bnpm run (?:-\S+ )*([\w:-]+)/g)].map((m) => m[1]);
	if (/\bnpm (?:t|test)\b/.test(commands)) run.push("test");
	const programs = [...commands.matchAll(/\bnpx (?:-\S+ )*([\w-]+)/g)].map((m) => m[1]);
	const words = commands.split(/[\s"'`=(),;]+/).map((word) => word.replace(/[.:]+$/, "").replace(/^\.\//, ""));
	const paths = words.filter((word) => /^[\w.-]+(\/[\w.-]+)+\/?$|^[\w-]+\.(ts|mjs|js|json|md|py|sh)$/.test(word));
	return [
		...run.filter((name) => !scripts.has(name)).map((name) => `there is no script ${name}`),
		...programs.filter((name) => !exists(`node_modules/.bin/${name}`)).map((name) => `there is no program ${name}`),
		...paths.filter((path) => !exists(path)).map((path) => `${path} is not there`),
	];
}

const NUMBER = /(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?/g;

/** What a program printed, held against what its page shows; undefined where they agree. */
export function disagreement(shown: string, printed: string): string | undefined {
	const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
	const words = shown.trim().split(/(\s+|…)/);
	const pattern = words.map((w) => (w === "…" ? "[\\s\\S]*?" : /^\s+$/.test(w) ? "\\s+" : asPattern(w, escaped))).join("");
	const found = new RegExp(`^${pattern}$`).exec(printed.trim());
	const numbers = [...shown.matchAll(NUMBER)].map(([n]) => n);
	if (found === null) return `printed\n${printed.trim()}\ninstead of\n${shown.trim()}`;
	const wrong = numbers.findIndex((n, i) => Math.abs(Number(n) - Number(found[i + 1])) > (unitOf(n) / 2) * (1 + 1e-6));
	return wrong < 0 ? undefined : `printed ${found[wrong + 1]} instead of ${numbers[wrong]}`;
}

/** A word of the page: its numbers may differ in digits, the rest may not. */
function asPattern(word: string, escaped: (text: string) => string): string {
	let pattern = "";
	let end = 0;
	for (const { 0: number, index } of word.matchAll(NUMBER)) {
		pattern += `${escaped(word.slice(end, index))}(${NUMBER.source})`;
		end = index + number.length;
	}
	return pattern + escaped(word.slice(end));
}

/** One unit of the last digit that a number shows; 0 for whole numbers, which are exact. */
function unitOf(number: string): number {
	const [, decimals, exponent = "0"] = /^[-+]?\d+(?:\.(\d+))?(?:e([-+]?\d+))?$/.exec(number) ?? [];
	return decimals === undefined && exponent === "0" ? 0 : 10 ** (Number(exponent) - (decimals?.length ?? 0));
}
