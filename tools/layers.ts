/** `npm run layers`: imports point down, between packages and from the folders around them, and never in a circle. */
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { readFlags } from "./flags.mjs";
import { type Import, importsOf } from "./imports.ts";
import { readSources, type Source } from "./sources.ts";

/** What each package may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
	tensor: [],
	nn: ["tensor"],
	dp: ["tensor"],
	models: ["tensor", "nn"],
	finetune: ["tensor", "nn", "dp", "models"],
};

/** A package's sources, or a folder of the root. */
interface Place {
	readonly folder: string;
	readonly isPackage: boolean;
}

function placeOf(path: string): Place {
	const name = /^packages\/([^/]+)\/src\//.exec(path)?.[1];
	return name === undefined ? { folder: path.split("/")[0], isPackage: false } : { folder: name, isPackage: true };
}

/** One line for each import that points up, sideways or into a package by path, and for each circle of imports. */
export function violations(sources: readonly Source[]): string[] {
	const imports = sources.flatMap(importsOf);
	return [...imports.flatMap(faultOf), ...circles(imports)];
}

/** Type-only imports count too: to know a type is to know the package. */
function faultOf({ from, line, target }: Import): string[] {
	const fault = target.startsWith(".") ? faultOfPath(from, target) : faultOfName(from, target);
	return fault === undefined ? [] : [`${from}:${line} imports ${target}: ${fault}`];
}

function faultOfName(from: string, target: string): string | undefined {
	const home = placeOf(from);
	const name = /^@hushgrad\/([^/]+)/.exec(target)?.[1];
	if (name === undefined || !home.isPackage || MAY_IMPORT[home.folder]?.includes(name)) return undefined;
	return `${home.folder} must not know ${name}`;
}

/** Tests may reach into anything by path; nothing may reach into tests. */
function faultOfPath(from: string, target: string): string | undefined {
	const home = placeOf(from);
	const there = placeOf(posix.join(posix.dirname(from), target));
	if (there.folder === home.folder && there.isPackage === home.isPackage) return undefined;
	if (home.isPackage) return `this leaves the package, import it by name`;
	if (home.folder === "tests") return undefined;
	if (there.isPackage) return `only tests reach into a package, import it by name`;
	return there.folder === "tests" ? "only tests import tests" : undefined;
}

/** Types vanish when the program runs, so an `import type` closes no circle. */
function circles(imports: readonly Import[]): string[] {
	const next = new Map<string, Import[]>();
	for (const one of imports) {
		if (!one.isTypeOnly && one.target.startsWith(".")) next.set(one.from, [...(next.get(one.from) ?? []), one]);
	}
	const done = new Set<string>();
	const found: string[] = [];
	const visit = (file: string, trail: readonly Import[]): void => {
		const start = trail.findIndex((step) => step.from === file);
		if (start >= 0) {
			const circle = [...trail.slice(start).map((step) => step.from), file].join(" -> ");
			found.push(`${file}:${trail[start].line} starts a circle of imports: ${circle}`);
			return;
		}
		if (done.has(file)) return;
		for (const step of next.get(file) ?? []) visit(posix.join(posix.dirname(file), step.target), [...trail, step]);
		done.add(file);
	};
	for (const file of next.keys()) visit(file, []);
	return found;
}

/** Packages and the folders that use them. */
const isChecked = ({ path }: Source): boolean => placeOf(path).isPackage || /^(examples|assets|bench|tests|tools)\//.test(path);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	readFlags("npm run layers   names imports that do not point down", {});
	const sources = readSources(fileURLToPath(new URL("..", import.meta.url))).filter(isChecked);
	const faults = violations(sources);
	for (const fault of faults) console.error(fault);
	if (faults.length === 0) console.log(`${sources.length} files, ${sources.flatMap(importsOf).length} imports: all point down`);
	process.exit(faults.length === 0 ? 0 : 1);
}
