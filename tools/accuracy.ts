/**
 * `npm run accuracy`: how far the elementary functions and the sums are from their float64 value, on the machine's device and on
 * SwiftShader; writes docs/accuracy.md. `-- --points 100000` is quicker.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { requestDevice } from "@hushgrad/tensor";
import { MEASURED, ROWS, rowError, SUMS, sumError, type Worst, worstOf } from "./accuracy.measured.ts";
import { required, swiftShader } from "./browser.mjs";
import { readFlags, whole } from "./flags.mjs";

interface Report {
	readonly driver: string;
	readonly functions: readonly Worst[];
	/** Of each length of ROW_SIZES. */
	readonly rows: readonly (readonly number[])[];
	/** Of equal and of random terms. */
	readonly sums: readonly (readonly [number, number])[];
}

const ROW_SIZES = [768, 65_536];

async function measure(points: number): Promise<Report> {
	const device = await requestDevice();
	const functions: Worst[] = [];
	for (const f of MEASURED) functions.push(await worstOf(device, f, points));
	const rows: number[][] = [];
	for (const r of ROWS) {
		rows.push([]);
		for (const size of ROW_SIZES) rows[rows.length - 1].push(await rowError(device, r, size, 0));
	}
	const sums: [number, number][] = [];
	for (const s of SUMS) sums.push([await sumError(device, s, 10 * points, "equal"), await sumError(device, s, 10 * points, "random")]);
	const driver = (device.info.description || device.info.device || device.info.vendor).replace(/[-~(].*/, "");
	device.destroy();
	return { driver, functions, rows, sums };
}

const rounded = (v: number): string => (v === 0 ? "0" : v.toExponential(1));
const shown = (v: readonly number[]): string => v.map((x) => `${Number(x.toPrecision(9))}`.replace("e+", "e")).join(", ");
const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
	[row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");

function page(points: number, reports: readonly Report[]): string {
	const functions = MEASURED.map((f, i) => [
		`\`${f.name}\``,
		...reports.flatMap(({ functions: of }) => [of[i].ulp.toFixed(2), of[i].ulp === 0 ? "" : shown(of[i].at)]),
		f.floor === undefined ? "" : `${rounded(Math.max(...reports.map((r) => r.functions[i].abs)))} below ${f.floor}`,
	]);
	const rows = ROWS.map((r, i) => [`\`${r.name}\``, ...reports.flatMap(({ rows: of }) => of[i].map(rounded))]);
	const sums = SUMS.map((s, i) => [
		s.name,
		...reports.flatMap(({ sums: of }) => of[i].map((e, k) => (s.name === "variance" && k === 0 ? "" : rounded(e)))),
	]);
	return `# Accuracy

Measured by \`npm run accuracy\` against float64, at ${points.toLocaleString("en")} points for each function: a third of any exponent and
sign, a third where the function is not yet flat, a third at all distances from its critical points. Errors are in units in the
last place of the result (one is at most 1.2e-7 of it), with the operand that has the worst one. Results below 2⁻¹²⁶ may be 0, and
operands below it may count as 0, as WGSL allows. [tests/tensor/accuracy.test.ts](../tests/tensor/accuracy.test.ts) holds all
drivers to this, Chromium's too.

The functions are polynomials of this library, in [elementary.ts](../packages/tensor/src/gpu/elementary.ts); only \`sqrt\`, \`rsqrt\` and
divisions are the driver's. WGSL lets a driver divide within 2.5 ULP, so that functions with a division may be off by 2 more
elsewhere. \`gelu\`, in both forms, and \`silu\` are that near also where they fall to 0.

${table(["function", ...reports.flatMap(({ driver }) => [`ULP, ${driver}`, "at"]), "absolute"], functions)}

## Rows

Worst relative errors of the elements of one row of normal numbers, of those below 0.25 for \`layerNorm\` as a part of that. Means and
totals are added up as sums are; what remains in \`softmax\` is the rounding of the difference to the largest element.

${table(["function", ...reports.flatMap(({ driver }) => ROW_SIZES.map((n, i) => `${n.toLocaleString("en")}${i === 0 ? `, ${driver}` : ""}`))], rows)}

## Sums

Relative errors of sums of ${(10 * points).toLocaleString("en")} terms: of equal ones, 0.1 in f32, and of random ones from 0 to 1. Floats are added by
eights, in pairs, and these with a correction (Kahan); rows above 512 in parts of 256. The order depends on the sizes of one record
alone. The result is rounded by up to 6e-8, and so is each part.

${table(["sum", ...reports.flatMap(({ driver }) => [`equal, ${driver}`, "random"])], sums)}
`;
}

const HELP = `npm run accuracy -- [flags]
  --points 1000000   arguments of each function
  --json             measures this device alone, and prints JSON; else writes docs/accuracy.md`;
const flags = readFlags(HELP, { points: { type: "string", default: "1000000" }, json: { type: "boolean", default: false } });
const points = whole("points", flags.points);
if (flags.json) {
	console.log(JSON.stringify(await measure(points)));
} else {
	const [script, root] = [fileURLToPath(import.meta.url), fileURLToPath(new URL("..", import.meta.url))];
	const on = (env: Readonly<Record<string, string>>): Report =>
		JSON.parse(
			execFileSync(process.execPath, [...process.execArgv, script, "--json", "--points", `${points}`], {
				env: { ...process.env, ...env },
				stdio: ["ignore", "pipe", "ignore"],
				encoding: "utf8",
			}),
		);
	const text = page(points, [on({}), on({ VK_DRIVER_FILES: required(swiftShader(), "SwiftShader") })]);
	writeFileSync(join(root, "docs/accuracy.md"), text);
	console.log(text);
}
