/** docs/errors.md: every error code that the packages throw, with its class and its text. */
import { readSources, type Source } from "./sources.ts";

export const PAGE = "docs/errors.md";

/** One way in which a code is thrown. */
export interface ThrownError {
	readonly code: string;
	readonly type: string;
	/** What it says, with … for what differs from call to call. */
	readonly text: string;
	/** The file, without "packages/". */
	readonly place: string;
}

export interface ErrorReport {
	readonly errors: readonly ThrownError[];
	/** Errors whose code does not stand in the source, and codes of two classes. */
	readonly faults: readonly string[];
}

/** What the parameters of a function stand for in one call of it. */
type Given = Readonly<Record<string, string>>;

/** The end of the string, the template or the bracket that begins at `at`. */
function endOf(text: string, at: number): number {
	const open = text[at];
	const isQuote = /["'`]/.test(open);
	let i = at + 1;
	while (i < text.length) {
		const c = text[i];
		if (c === "\\") i += 2;
		else if (isQuote && c === open) return i + 1;
		else if (open === "`" && c === "$" && text[i + 1] === "{") i = endOf(text, i + 1);
		else if (!isQuote && /[)\]}]/.test(c)) return i + 1;
		else if (!isQuote && /["'`([{]/.test(c)) i = endOf(text, i);
		else i++;
	}
	return i;
}

/** The arguments between the brackets that begin at `at`, as they stand in the source. */
function argumentsAt(text: string, at: number): string[] {
	const end = endOf(text, at) - 1;
	const found: string[] = [];
	let start = at + 1;
	for (let i = start; i <= end; i++) {
		if (i === end || text[i] === ",") {
			found.push(text.slice(start, i).trim());
			start = i + 1;
		} else if (/["'`([{]/.test(text[i])) i = endOf(text, i) - 1;
	}
	return found.filter((a) => a !== "");
}

/** The values of the literals in an expression (both branches of a choice); undefined where it is none. */
function wordingOf(expression: string, given: Given): string | undefined {
	const first = expression.search(/["'`]/);
	if (first > 0) {
		const choices = literalsOf(expression).map((l) => wordingOf(l, given));
		return /\?[^:]*:/s.test(expression) ? choices.join(" / ") : undefined;
	}
	if (first < 0) return given[expression] ?? undefined;
	if (endOf(expression, 0) !== expression.length) return undefined;
	let value = "";
	for (let i = 1; i < expression.length - 1; i++) {
		if (expression[0] === "`" && expression.startsWith("${", i)) {
			const end = endOf(expression, i + 1);
			value += given[expression.slice(i + 2, end - 1)] ?? "…";
			i = end - 1;
		} else if (expression[i] === "\\") value += expression[++i] === "n" ? " " : expression[i];
		else value += expression[i];
	}
	return value;
}

function literalsOf(expression: string): string[] {
	const found: string[] = [];
	for (let i = 0; i < expression.length; i++) {
		if (!/["'`]/.test(expression[i])) continue;
		const end = endOf(expression, i);
		found.push(expression.slice(i, end));
		i = end - 1;
	}
	return found;
}

interface Around {
	readonly name: string;
	readonly parameters: readonly string[];
	readonly isExported: boolean;
}

/** The innermost function with a name that a place lies in: a declaration, or an arrow in a constant. */
function functionAround(text: string, at: number): Around | undefined {
	const heads = [...text.slice(0, at).matchAll(/(export )?\b(?:function (\w+)(?:<[^>]*>)?|const (\w+) = )\(/g)];
	for (const { index, 0: head, 1: isExported, 2: declared, 3: constant } of heads.reverse()) {
		const open = index + head.length - 1;
		const close = endOf(text, open);
		if (declared === undefined && !/^\s*(?::[^=;]*)?=>/.test(text.slice(close))) continue;
		if (bodyEnd(text, close) <= at) continue;
		const parameters = argumentsAt(text, open).map((p) => /^\w*/.exec(p)?.[0] ?? "");
		return { name: declared ?? constant, parameters, isExported: isExported !== undefined };
	}
	return undefined;
}

/** The end of the function whose parameters end at `at`. Its type may stand in braces too. */
function bodyEnd(text: string, at: number): number {
	const arrow = /^\s*(?::[^=;]*)?=>\s*(?!\{)[^;]*/.exec(text.slice(at));
	if (arrow !== null) return at + arrow[0].length;
	const end = endOf(text, text.indexOf("{", at));
	return /^\s*\{/.test(text.slice(end)) ? bodyEnd(text, end) : end;
}

/** A variable that holds the text, where it was given its value. */
function variableBefore(text: string, at: number, name: string): string | undefined {
	const last = [...text.slice(0, at).matchAll(new RegExp(`\\b(?:const|let) ${name} =\\s*(?=["'\`])`, "g"))].at(-1);
	if (last === undefined) return undefined;
	const start = last.index + last[0].length;
	return text.slice(start, endOf(text, start));
}

const packageOf = (path: string): string => path.split("/")[1];
const CODE = /^[a-z][\w-]*(?:\/[\w-]+)+$/i;

/** Finds the errors in sources of the packages. */
export function findErrors(sources: readonly Source[]): ErrorReport {
	const declared = sources.flatMap(({ text }) => [...text.matchAll(/\bclass (\w+Error) extends HushgradError\b/g)].map((m) => m[1]));
	const errors: ThrownError[] = [];
	const faults: string[] = [];

	/** Follows what a throw takes from the parameters of the function around it to the calls of that function. */
	const follow = (
		source: Source,
		at: number,
		make: (given: Given) => readonly [code: string, text: string],
		type: string,
		depth = 0,
	): void => {
		const [code, text] = make({});
		const isCode = CODE.test(code);
		const around = functionAround(source.text, at);
		const calls = around === undefined || depth > 3 || (isCode && text !== "…") ? [] : callsOf(sources, source, around);
		if (calls.length === 0) {
			if (isCode) errors.push({ code, type, text: text.replaceAll(/\s+/g, " "), place: source.path.replace(/^packages\//, "") });
			else faults.push(`${source.path}: the code of a ${type} is not in the source`);
		}
		for (const call of calls) {
			const bind = (outer: Given): Given => {
				const bound = (around?.parameters ?? []).map((p, i) => [p, call.given[i] && wordingOf(call.given[i], outer)]);
				return Object.fromEntries(bound.filter(([, value]) => value !== undefined));
			};
			follow(call.source, call.at, (outer) => make(bind(outer)), type, depth + 1);
		}
	};

	for (const source of sources) {
		for (const match of source.text.matchAll(/\bnew (\w+)\(/g)) {
			if (!declared.includes(match[1])) continue;
			const [code, text = ""] = argumentsAt(source.text, match.index + match[0].length - 1);
			const wording = /^\w+$/.test(text) ? (variableBefore(source.text, match.index, text) ?? text) : text;
			follow(source, match.index, (given) => [wordingOf(code, given) ?? "…", wordingOf(wording, given) ?? "…"], match[1]);
		}
	}
	return { errors, faults: [...faults, ...twoClasses(errors)] };
}

interface CallSite {
	readonly source: Source;
	readonly at: number;
	readonly given: readonly string[];
}

/** The calls of a function: in its package, or in its file where that keeps it to itself. */
function callsOf(sources: readonly Source[], home: Source, { name, isExported }: Around): CallSite[] {
	const inReach = ({ path }: Source): boolean => (isExported ? packageOf(path) === packageOf(home.path) : path === home.path);
	return sources.filter(inReach).flatMap((source) =>
		[...source.text.matchAll(new RegExp(`(?<!function )(?<![.\\w#])${name}\\(`, "g"))].map((match) => ({
			source,
			at: match.index,
			given: argumentsAt(source.text, match.index + match[0].length - 1),
		})),
	);
}

function twoClasses(errors: readonly ThrownError[]): string[] {
	const types = new Map<string, Set<string>>();
	for (const { code, type } of errors) types.set(code, new Set([...(types.get(code) ?? []), type]));
	return [...types].filter(([, set]) => set.size > 1).map(([code, set]) => `${code} is thrown as ${[...set].join(" and ")}`);
}

const LONGEST = 100;
const short = (text: string): string => (text.length <= LONGEST ? text : `${text.slice(0, LONGEST).trimEnd()}…`);

/** The page: one line for each code and wording. */
export function page({ errors }: ErrorReport): string {
	const lines = errors.map(({ code, type, text, place }) => `| \`${code}\` | ${type} | ${short(text).replaceAll("|", "\\|")} | ${place} |`);
	const rows = [...new Set(lines)].sort((a, b) => (a < b ? -1 : 1));
	const codes = new Set(errors.map((e) => e.code)).size;
	return `# Errors

Every error that the packages throw on purpose is a \`HushgradError\` with a \`code\`, a text that says what was expected and
what came, and mostly a \`hint\` with the cure. These are the ${codes} codes. Written by \`npm run pages\`.

| code | class | text begins | thrown in |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
}

/** The sources of the packages below the repository's root. */
export const packageSources = (root: string): Source[] => readSources(root).filter(({ path }) => /^packages\/[^/]+\/src\//.test(path));
