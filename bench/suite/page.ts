import { basename } from "node:path";
import { COUNTED } from "../support/counters.ts";
import { COST, costName, type Report, rateOf, versusBest } from "./report.ts";
import type { Row } from "./row.ts";
import { type Measured, type Outcome, type RowResult, ran } from "./run.ts";
import { median } from "./statistics.ts";
import { ms } from "./table.ts";

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
	[head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

const TITLES: Readonly<Record<Row["family"], string>> = {
	kernels: "Kernels",
	engine: "Engine, and steps that others can take",
	"end to end": "End to end",
	growth: "Growth",
};

/** A page in Markdown, with the chart of a file beside it. */
export function page(report: Report, picture: string): string {
	const { environment: e, libraries, settings, rows, failures } = report;
	const [ours, ...others] = Object.keys(libraries);
	const cost = costName(libraries);
	const parts = [
		`# Benchmarks

Written by \`npm run bench -- ${others.length > 0 ? "--peers " : ""}--document\`; it measures your machine.

${libraries[ours].adapter}; ${e.processor}; ${e.system}; Node ${e.node}; ${Object.entries(e.packages)
			.map(([name, version]) => `${name} ${version}`)
			.join(", ")}; commit ${e.commit}, ${e.date}.
${others.length === 0 ? "" : `Beside ${others.map((n) => `${libraries[n].library} ${libraries[n].version}`).join(", ")}, on the same adapter.\n`}
${METHOD(cost)}
${settings.rounds} rounds of samples of ${settings.sampleMs} ms or one run, fewer in rows that take long.

![${COST[cost]}](${basename(picture)})
`,
		ceilingsOf(report),
	];
	if (others.length > 0) parts.push(standing(report));
	for (const [family, title] of Object.entries(TITLES)) {
		const own = rows.filter((r) => r.row.family === family);
		if (own.length > 0) parts.push(`## ${title}\n\n${familyTable(own, report)}\n`);
	}
	for (const { series, sizes, exponent } of report.growth) {
		parts.push(`${COST[cost]} of a private step by ${series} = ${sizes.join(", ")}: to the power of ${exponent.toFixed(2)}.\n`);
	}
	const calls = countsTable(rows, ours);
	if (calls !== "") parts.push(`## Calls into WebGPU, a step\n\n${calls}\n`);
	const reasons = absent(report);
	if (reasons !== "") parts.push(`## What others cannot run\n\n${reasons}\n`);
	if (failures.length > 0) parts.push(`## What failed\n\n${failures.map((f) => `- ${f.replaceAll("\n", " ")}`).join("\n")}\n`);
	return parts.join("\n");
}

const METHOD = (
	cost: keyof typeof COST,
): string => `Every library runs in a process of its own, with inputs on the GPU, and they take turns: in
each round one sample of each, in the other direction every second time. What they compute is compared first, and a library that computes
something else is told as failed. Waiting is the same for all. "First" is the first run in the process, which compiles, with the driver's
cache as it was. ${
	cost === "gpu"
		? "The adapter computes on the processor, so what the GPU costs is the processor time of the driver's threads: it repeats where\nwall time depends on what else the machine does. "
		: ""
}Host is the processor time of the main thread until it begins to wait. Numbers are medians, with the 10th and
90th percentile in brackets; rates and parts of the ceilings are by ${COST[cost]}. Samples one by one are in the file of \`--json\`.`;

function ceilingsOf({ ceilings, libraries }: Report): string {
	const cost = costName(libraries);
	const lines = ceilings.flatMap(({ row, outcomes }) => {
		const top = ran(Object.values(outcomes)[0]);
		const rate = top && rateOf(row, top, ceilings, cost);
		return rate === undefined ? [] : [`${row.name.replace("ceiling: ", "")} ${ms(rate.perSecond)} ${rate.unit}`];
	});
	return `Ceilings, measured in the same run: ${lines.join(", ")}.\n`;
}

function standing({ rows, libraries }: Report): string {
	const count = (name: keyof typeof COST): string => {
		const ratios = rows.flatMap(({ row, outcomes }) => {
			const best = versusBest(outcomes, name);
			return best === undefined ? [] : [{ ...best, row: row.name }];
		});
		const behind = ratios.filter((r) => r.ratio < 1).map((r) => `${r.row} (${r.ratio.toFixed(2)}, ${r.name})`);
		return `${COST[name]}: median ${median(ratios.map((r) => r.ratio)).toFixed(2)} over ${ratios.length} rows, behind in ${
			behind.length === 0 ? "none" : `${behind.length}: ${behind.join(", ")}`
		}`;
	};
	const lines = costName(libraries) === "gpu" ? [count("gpu"), count("wall")] : [count("wall")];
	return `What the best of the others takes, divided by what this library takes:\n\n${lines.map((l) => `- ${l}`).join("\n")}\n`;
}

const spread = ({ median: middle, p10, p90 }: Measured["wall"]): string => `${ms(middle)} (${ms(p10)}–${ms(p90)})`;

function familyTable(own: readonly RowResult[], { libraries, ceilings }: Report): string {
	const cost = costName(libraries);
	const [ours, ...others] = Object.keys(libraries);
	const isSoftware = cost === "gpu";
	const head = ["row", "wall, ms", ...(isSoftware ? ["GPU cost, ms"] : []), "host, ms", "first, ms", "rate", "of ceiling", ...others];
	const rows = own.map(({ row, outcomes }) => {
		const mine = ran(outcomes[ours]);
		if (mine === undefined) return [row.name, ...head.slice(1).map(() => "failed")];
		const rate = rateOf(row, mine, ceilings, cost);
		const fraction = rate?.fraction === undefined ? "" : `${Math.round(100 * rate.fraction)} %`;
		return [
			row.name,
			spread(mine.wall),
			...(isSoftware ? [spread(mine.gpu)] : []),
			ms(mine.host.median),
			ms(mine.cold.wall),
			rate === undefined ? "" : `${ms(rate.perSecond)} ${rate.unit}`,
			fraction,
			...others.map((name) => cell(mine, outcomes[name], isSoftware)),
		];
	});
	return table(head, rows);
}

/** Ratios of a rival: of GPU cost, and of wall time. */
function cell(mine: Measured, outcome: Outcome | undefined, isSoftware: boolean): string {
	const other = ran(outcome);
	if (other === undefined) return outcome?.status === "failed" ? "failed" : "–";
	const wall = (other.wall.median / mine.wall.median).toFixed(2);
	return isSoftware ? `${(other.gpu.median / mine.gpu.median).toFixed(2)} (wall ${wall})` : wall;
}

/** What steps ask of WebGPU; the rows of a series are left out. */
function countsTable(rows: readonly RowResult[], ours: string): string {
	const counted = rows.flatMap(({ row, outcomes }) => {
		const counts = row.growth === undefined ? ran(outcomes[ours])?.counts : undefined;
		return counts === undefined ? [] : [{ name: row.name, counts }];
	});
	if (counted.length === 0) return "";
	const kinds = Object.keys(counted[0].counts);
	return table(
		["", ...counted.map(({ name }) => name)],
		kinds.map((kind) => [
			COUNTED[kind as keyof typeof COUNTED] ?? kind,
			...counted.map(({ counts }) => counts[kind].toLocaleString("en-US")),
		]),
	);
}

function absent({ rows }: Report): string {
	const reasons = new Map<string, string[]>();
	for (const { row, outcomes } of rows) {
		for (const [name, outcome] of Object.entries(outcomes)) {
			if (outcome.status !== "cannot") continue;
			const key = `${name}: ${outcome.reason}`;
			reasons.set(key, [...(reasons.get(key) ?? []), row.name]);
		}
	}
	return [...reasons].map(([reason, names]) => `- ${reason} (${names.length > 4 ? `${names.length} rows` : names.join("; ")})`).join("\n");
}
