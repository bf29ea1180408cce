/**
 * `npm run mutants`: breaks the library in one place at a time, in a copy, and runs the tests that should notice. Exits
 * with 1 when a fault goes unnoticed. `-- --only NAME` runs one (several when given again), `-- --set layers` those of mutants.layers.ts.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFlags, refuse } from "./flags.mjs";
import { SETS } from "./mutantSets.ts";
import type { Mutant } from "./mutants.operations.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** A copy of the committed and uncommitted sources whose packages refer to each other. */
function copyOfSources(): string {
	const copy = mkdtempSync(join(tmpdir(), "mutants-"));
	const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
		.trim()
		.split("\n");
	for (const file of files) cpSync(join(root, file), join(copy, file), { recursive: true });
	mkdirSync(join(copy, "node_modules", "@hushgrad"), { recursive: true });
	for (const name of readdirSync(join(root, "node_modules"))) {
		if (name !== "@hushgrad") symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name));
	}
	for (const name of readdirSync(join(copy, "packages"))) {
		symlinkSync(join(copy, "packages", name), join(copy, "node_modules", "@hushgrad", name));
		if (readdirSync(join(root, "packages", name)).includes("node_modules")) {
			symlinkSync(join(root, "packages", name, "node_modules"), join(copy, "packages", name, "node_modules"));
		}
	}
	return copy;
}

/** Throws unless the text to change stands in its file exactly once. */
function checkText({ name, file, from }: Mutant): void {
	if (readFileSync(join(root, file), "utf8").split(from).length !== 2) throw new Error(`${name}: ${file} does not hold "${from}" once`);
}

/** Whether the tests notice. */
function isCaught(copy: string, { file, from, to, tests, only }: Mutant): boolean {
	const path = join(copy, file);
	const source = readFileSync(path, "utf8");
	writeFileSync(
		path,
		source.replace(from, () => to),
	);
	try {
		const { status } = spawnSync("npx", ["vitest", "run", "--bail", "1", ...(only === undefined ? [] : ["-t", only]), ...tests], {
			cwd: copy,
			env: { ...process.env, HUSHGRAD_PROPERTY_RUNS: "100" },
			stdio: "ignore",
		});
		return status !== 0;
	} finally {
		writeFileSync(path, source);
	}
}

/** Whether the tests that should notice pass as the library is. */
function passes(copy: string, mutants: readonly Mutant[]): boolean {
	const names = mutants.map((m) => m.only);
	const filter = names.includes(undefined) ? [] : ["-t", [...new Set(names)].map((n) => `(${n})`).join("|")];
	const args = ["vitest", "run", ...filter, ...new Set(mutants.flatMap((m) => m.tests))];
	return spawnSync("npx", args, { cwd: copy, stdio: "ignore" }).status === 0;
}

const HELP = `npm run mutants -- [flags]
  --only NAME   this fault alone; several when given again
  --set ${Object.keys(SETS).join("|")}`;
const values = readFlags(HELP, { only: { type: "string", multiple: true }, set: { type: "string" } });
const chosen = Object.entries(SETS)
	.filter(([set]) => values.set === undefined || values.set === set)
	.flatMap(([, mutants]) => mutants.filter((m) => values.only === undefined || values.only.includes(m.name)));
if (chosen.length === 0)
	refuse(`there is no fault named ${values.only?.join(", ") ?? ""} in ${values.set ?? Object.keys(SETS).join(", ")}`);
chosen.forEach(checkText);
const copy = copyOfSources();
let missed = 0;
try {
	if (!passes(copy, chosen)) throw new Error("the tests fail without any fault");
	for (const mutant of chosen) {
		const caught = isCaught(copy, mutant);
		if (!caught) missed++;
		console.log(`${caught ? "caught" : "MISSED"}  ${mutant.name} (${mutant.file})`);
	}
} finally {
	rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length - missed} of ${chosen.length} faults caught`);
process.exit(missed === 0 ? 0 : 1);
