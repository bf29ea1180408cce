/**
 * `npm run stryker -- PART…`: StrykerJS on every source file whose path holds one of the parts, with the tests that are about it, and
 * docs/mutation.md from what it found. `npm run stryker -- --page` writes the page alone.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readLine, refuse } from "./flags.mjs";
import { EQUIVALENT } from "./stryker.equivalents.ts";
import { TARGETS } from "./stryker.targets.ts";

interface Position {
	readonly line: number;
	readonly column: number;
}

/** A mutant in the report of StrykerJS, after mutation-testing-elements' schema. */
export interface Mutant {
	readonly location: { readonly start: Position; readonly end: Position };
	readonly replacement: string;
	readonly status: string;
}

/** What was found about a file. */
export interface Outcome {
	/** Day on which it was found, UTC. */
	readonly date: string;
	/** Mutants that a test notices. */
	readonly killed: number;
	/** Mutants that no test notices, each as the line that it makes. */
	readonly left: readonly string[];
}

/** By file, the lines of mutants that cannot be noticed, with the reason. */
export type Equivalents = Readonly<Record<string, Readonly<Record<string, string>>>>;

const one = (text: string): string => text.replace(/\s+/g, " ").trim();

/** The line of the source that a mutant makes. */
export function lineOf(source: string, { location: { start, end }, replacement }: Mutant): string {
	const lines = source.split("\n");
	return one(lines[start.line - 1].slice(0, start.column - 1) + replacement + lines[end.line - 1].slice(end.column - 1));
}

/** What a report says of a file. */
export function outcomeOf(source: string, mutants: readonly Mutant[], date: string): Outcome {
	const of = (...statuses: readonly string[]) => mutants.filter((m) => statuses.includes(m.status));
	return { date, killed: of("Killed", "Timeout").length, left: of("Survived", "NoCoverage").map((m) => lineOf(source, m)) };
}

/** A text as code, between more back-ticks than it has in a row. */
function code(text: string): string {
	const longest = Math.max(0, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
	const fence = "`".repeat(longest + 1);
	return longest === 0 ? `${fence}${text}${fence}` : `${fence} ${text} ${fence}`;
}

/** docs/mutation.md. */
export function page(outcomes: Readonly<Record<string, Outcome>>, equivalents: Equivalents): string {
	const files = Object.keys(outcomes)
		.sort()
		.map((file) => {
			const { killed, left, date } = outcomes[file];
			const known = equivalents[file] ?? {};
			return {
				file,
				killed,
				date,
				equivalent: left.filter((line) => line in known),
				survived: left.filter((line) => !(line in known)),
				known,
			};
		});
	const rows = files.map(({ file, killed, equivalent, survived, date }) => {
		const score = `${Math.floor((1000 * killed) / (killed + survived.length)) / 10} %`;
		return `| ${[file.replace(/^packages\//, ""), killed, equivalent.length, survived.length, score, date].join(" | ")} |`;
	});
	const sections = files.flatMap(({ file, equivalent, survived, known }) => {
		const lines = [...survived.map((line) => `- survived: ${code(line)}`), ...equivalent.map((line) => `- ${code(line)}: ${known[line]}`)];
		return lines.length === 0 ? [] : [`### ${file}`, "", ...lines, ""];
	});
	return [
		"# Mutation testing",
		"",
		"[StrykerJS](https://stryker-mutator.io) changes a source file in one place at a time, and runs the tests that are about it: a change",
		"that no test notices is a line that nothing checks. Each file stands with the day of its last run; `npm run stryker -- FILE` runs one",
		"again, and writes this page. `tools/stryker.targets.ts` says which tests are about which file.",
		"",
		"The score is the share of mutants that were killed, of those that are not equivalent. A mutant that runs into the time limit counts as",
		"killed. An equivalent one does what the source does; its reason stands below, and in `tools/stryker.equivalents.ts`.",
		"",
		"| File | Killed | Equivalent | Survived | Score | Day |",
		"|---|---|---|---|---|---|",
		...rows,
		"",
		"## Survivors and equivalents",
		"",
		"Each as the line that the mutant makes.",
		"",
		...sections,
	]
		.join("\n")
		.trimEnd()
		.concat("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const root = fileURLToPath(new URL("..", import.meta.url));
	const results = `${root}tools/stryker.json`;
	const known = () => JSON.parse(readFileSync(results, "utf8")) as Record<string, Outcome>;
	const help = `npm run stryker -- [PART…]   the source files whose path holds one of the parts; all of them when left out
  --page   only writes docs/mutation.md again`;
	const { values, positionals: parts } = readLine(help, { page: { type: "boolean", default: false } });
	for (const part of parts) {
		if (!TARGETS.some(({ files }) => files.some((file) => file.includes(part)))) refuse(`no file with tests of its own holds ${part}`);
	}
	for (const { files, tests, isFresh } of values.page ? [] : TARGETS) {
		const chosen = files.filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)));
		if (chosen.length === 0) continue;
		const env = { ...process.env, HUSHGRAD_MUTATION_TESTS: tests.join(","), HUSHGRAD_MUTATION_FRESH: isFresh ? "1" : "" };
		const needVitest = tests.some((test) => /\bvi\.(mock|hoisted)\b/.test(readFileSync(`${root}${test}`, "utf8")));
		const runner = needVitest ? [] : ["--testRunner", "in-process", "--plugins", `${root}tools/stryker.runner.mjs`];
		const { status } = spawnSync("npm", ["exec", "--", "stryker", "run", ...runner, "--mutate", chosen.join(",")], {
			cwd: root,
			env,
			stdio: "inherit",
		});
		if (status !== 0) process.exit(status ?? 1);
		const report = JSON.parse(readFileSync(`${root}out/mutation.json`, "utf8")) as {
			readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>;
		};
		const date = new Date().toISOString().slice(0, 10);
		const found = Object.entries(report.files).map(([file, { source, mutants }]) => [file, outcomeOf(source, mutants, date)] as const);
		for (const [file, { killed, left }] of found) {
			const survived = left.filter((line) => !(line in (EQUIVALENT[file] ?? {})));
			console.log([`${file}: ${killed} killed, ${survived.length} survived`, ...survived].join("\n  "));
		}
		writeFileSync(results, `${JSON.stringify({ ...known(), ...Object.fromEntries(found) }, null, "\t")}\n`);
	}
	writeFileSync(`${root}docs/mutation.md`, page(known(), EQUIVALENT));
}
