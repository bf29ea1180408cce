/**
 * `npm run test:table -- [--runs 40] [--driver swiftshader]`: the functions of the tensor library, the cases that they were called
 * with, and the failures, on each driver, as a table in Markdown. A random case counts as one, and so does a test without any.
 */
import { startVitest } from "vitest/node";
import { readFlags, refuse, whole } from "./flags.mjs";

const CONFIGS = { device: "vitest.config.ts", swiftshader: "vitest.swiftshader.config.ts", chromium: "vitest.browser.config.ts" };
/** What runs the operations on it. */
const PROJECTS = { device: "tensor", swiftshader: "swiftshader", chromium: "chromium" };
const FILES = ["primitives", "functions", "vmapFunctions", "shapes", "specialValues", "accuracy", "derivedRows", "longAxes"];

/** One row: what ran on a driver. @param {keyof typeof CONFIGS} driver */
async function rowOf(driver) {
	const filters = FILES.map((name) => `tests/tensor/${name}.test.ts`);
	const options = { config: CONFIGS[driver], project: PROJECTS[driver], watch: false, reporters: [{}] };
	const vitest = await startVitest("test", filters, options);
	const tests = vitest.state.getTestModules().flatMap((m) => [...m.children.allTests()]);
	const functions = new Set(tests.map((t) => t.parent).flatMap((p) => (p.type === "suite" ? [p.name] : [])));
	const cases = tests.reduce((sum, t) => sum + (t.meta().cases ?? 1), 0);
	const failures = tests.filter((t) => t.result().state === "failed");
	await vitest.close();
	for (const t of failures) console.error(`${driver}: ${t.fullName}`);
	return [driver, functions.size, tests.length, cases, failures.length];
}

const HELP = `npm run test:table -- [flags]
  --runs 40           random cases of a test
  --driver ${Object.keys(CONFIGS).join("|")}   one of them alone`;
const values = readFlags(HELP, { runs: { type: "string" }, driver: { type: "string" } });
if (values.runs !== undefined) whole("runs", values.runs);
if (values.runs !== undefined) process.env.HUSHGRAD_PROPERTY_RUNS = values.runs;
process.env.HUSHGRAD_COUNT_CASES = "1";
const all = /** @type {(keyof typeof CONFIGS)[]} */ (Object.keys(CONFIGS));
const drivers = all.filter((d) => values.driver === undefined || d === values.driver);
if (drivers.length === 0) refuse(`--driver is ${values.driver}, expected ${all.join(", ")}`);
const rows = [];
for (const driver of drivers) rows.push(await rowOf(driver));
const line = (/** @type {readonly unknown[]} */ cells) => `| ${cells.join(" | ")} |`;
console.log([line(["driver", "functions", "tests", "cases", "failures"]), line(Array(5).fill("---")), ...rows.map(line)].join("\n"));
process.exit(rows.some((row) => Number(row[4]) > 0) ? 1 : 0);
