/** `npm run layers`: imports between packages point down, and no package's files import each other in a circle. */
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { readSources, type Source } from "./sources.ts";

/** What each package may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = { tensor: [], nn: ["tensor"], dp: ["tensor"], models: ["tensor", "nn"] };

interface Import {
	readonly from: string;
	readonly line: number;
	readonly target: string;
	readonly isTypeOnly: boolean;
}

/** Static imports and re-exports of a file, and import() of a literal. */
export function importsOf({ path, text }: Source): Import[] {
	const statement =
		/(?:^|\n)[ \t]*(import|export)\s+(type\s+)?(?:[\w*${},\s]*?\sfrom\s*)?["']([^"'\n]+)["']|\bimport\(\s*["']([^"'\n]+)["']\s*\)/g;
	return [...text.matchAll(statement)].map((m) => ({
		from: path,
		line: text.slice(0, m.index + m[0].length).split("\n").length,
		target: m[3] ?? m[4],
		isTypeOnly: m[2] !== undefined,
	}));
}

const packageOf = (path: string): string | undefined => /^packages\/([^/]+)\/src\//.exec(path)?.[1];

/** One line for each import that points up or sideways, and for each circle of imports. */
export function violations(sources: readonly Source[]): string[] {
	const imports = sources.filter((s) => packageOf(s.path) !== undefined).flatMap(importsOf);
	return [...imports.flatMap(faultOf), ...circles(imports)];
}

function faultOf({ from, line, target }: Import): string[] {
	const home = packageOf(from) as string;
	const at = `${from}:${line}`;
	const name = /^@hushgrad\/([^/]+)/.exec(target)?.[1];
	if (name !== undefined) return MAY_IMPORT[home]?.includes(name) ? [] : [`${at} imports ${target}: ${home} must not know ${name}`];
	if (!target.startsWith(".")) return [];
	const resolved = posix.join(posix.dirname(from), target);
	return packageOf(resolved) === home ? [] : [`${at} imports ${target}, which leaves its package: use @hushgrad/… instead`];
}

/** Types vanish when the program runs, so an `import type` closes no circle. */
function circles(imports: readonly Import[]): string[] {
	const next = new Map<string, string[]>();
	for (const { from, target, isTypeOnly } of imports) {
		if (isTypeOnly || !target.startsWith(".")) continue;
		next.set(from, [...(next.get(from) ?? []), posix.join(posix.dirname(from), target)]);
	}
	const done = new Set<string>();
	const found: string[] = [];
	const visit = (file: string, trail: readonly string[]): void => {
		const start = trail.indexOf(file);
		if (start >= 0) found.push(`a circle of imports: ${[...trail.slice(start), file].join(" -> ")}`);
		if (start >= 0 || done.has(file)) return;
		for (const target of next.get(file) ?? []) visit(target, [...trail, file]);
		done.add(file);
	};
	for (const file of next.keys()) visit(file, []);
	return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const sources = readSources(fileURLToPath(new URL("..", import.meta.url)));
	const faults = violations(sources);
	for (const fault of faults) console.error(fault);
	const count = sources.filter((s) => packageOf(s.path) !== undefined).length;
	if (faults.length === 0) console.log(`${count} files of ${Object.keys(MAY_IMPORT).length} packages: every import points down`);
	process.exit(faults.length === 0 ? 0 : 1);
}
