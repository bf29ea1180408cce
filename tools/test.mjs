/**
 * `npm test`: every part of the tests, one after the other, up to the first that fails; at its end a line per part with its
 * time. `npm test -- --quick`: types, lint and a part of the tests, without Chromium.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Scripts of package.json; "test:packages" where there is one. */
const ALL = ["driver", "browser", "test:drivers", "test:pages", "test:packages"];
const QUICK = ["driver", "check", "test:quick"];
const QUICK_NOTE = `--quick leaves out: SwiftShader and Chromium, the packages as they are installed, the flashcards example, the programs on the
pages, whole runs of training, long axes and plans, and most random cases of each operation. npm test runs them all.`;

/**
 * The parts that the arguments ask for, of those that package.json has.
 * @param {readonly string[]} args @param {Readonly<Record<string, unknown>>} scripts
 * @returns {{ parts: readonly string[], note: string }}
 */
export function partsFor(args, scripts) {
	const unknown = args.filter((arg) => arg !== "--quick");
	if (unknown.length > 0) {
		throw new Error(`npm test does not know ${unknown.join(" ")}; it knows --quick. One file: npx vitest run tests/tensor/vmap.test.ts`);
	}
	if (args.length > 0) return { parts: QUICK, note: QUICK_NOTE };
	return { parts: ALL.filter((name) => name !== "test:packages" || name in scripts), note: "" };
}

/**
 * Runs the parts up to the first that fails. Returns the lines for the end, and whether all passed.
 * @param {readonly string[]} parts @param {(part: string) => boolean} run @param {() => number} now in milliseconds
 */
export function runParts(parts, run, now = () => performance.now()) {
	/** @type {string[]} */
	const lines = [];
	let failed = "";
	for (const part of parts) {
		const start = now();
		if (failed === "" && !run(part)) failed = part;
		const seconds = `${Math.round((now() - start) / 1000)} s`.padStart(7);
		const isRun = failed === "" || failed === part;
		lines.push(`  ${part.padEnd(18)}${isRun ? `${seconds}  ${failed === part ? "FAILED" : "passed"}` : "      -  not run"}`);
	}
	if (failed !== "") lines.push("", `npm test stopped: ${failed} failed. Alone: npm run ${failed}`);
	return { lines, passed: failed === "" };
}

const HELP = `npm test                every part of the tests
npm test -- --quick     types, lint and a part of the tests, without Chromium
npx vitest run FILE     one file`;

function main() {
	if (process.argv.includes("--help")) {
		console.log(HELP);
		return 0;
	}
	const root = fileURLToPath(new URL("..", import.meta.url));
	const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));
	const { parts, note } = partsFor(process.argv.slice(2), scripts);
	/** npm is a script of the shell on Windows. */
	const isWindows = process.platform === "win32";
	const run = (/** @type {string} */ part) =>
		spawnSync("npm", ["run", "--silent", part], { cwd: root, stdio: "inherit", shell: isWindows }).status === 0;
	const { lines, passed } = runParts(parts, run);
	console.log(["", ...lines, ...(note === "" ? [] : ["", note])].join("\n"));
	return passed ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	try {
		process.exitCode = main();
	} catch (error) {
		console.error(/** @type {Error} */ (error).message);
		process.exitCode = 1;
	}
}
