import { COST, costName, type Report, rateOf, versusBest } from "./report.ts";
import { type Outcome, type RowResult, ran } from "./run.ts";
import { median } from "./statistics.ts";

/** Milliseconds, with three digits. */
export function ms(value: number): string {
	if (Number.isNaN(value)) return "-";
	return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3);
}

const NAME = 52;

/** A row of the terminal: this library's time and rate, then what the others take of it. */
export function line({ row, outcomes }: RowResult, ceilings: readonly RowResult[], libraries: Report["libraries"]): string {
	const cost = costName(libraries);
	const [[, first], ...others] = Object.entries(outcomes);
	const own = ran(first);
	const head = row.name.padEnd(NAME);
	if (own === undefined) return `${head}${told(first)}`;
	const rate = rateOf(row, own, ceilings, cost);
	const { median: middle, p10, p90 } = own.wall;
	const parts = [
		`${ms(middle).padStart(7)} ms (${ms(p10)}-${ms(p90)})`.padEnd(30),
		...(cost === "gpu" ? [`${ms(own.gpu.median).padStart(7)} ms GPU`.padEnd(18)] : []),
		rate === undefined
			? ""
			: `${ms(rate.perSecond)} ${rate.unit}${rate.fraction === undefined ? "" : `, ${Math.round(100 * rate.fraction)} %`}`,
	];
	const lines = [`${head}${parts.join("")}`.trimEnd()];
	for (const [name, outcome] of others) {
		const other = ran(outcome);
		if (other === undefined) {
			lines.push(`  ${name.padEnd(NAME - 2)}${told(outcome)}`);
			continue;
		}
		const ratios = [`${(other.wall.median / own.wall.median).toFixed(2)}x wall`];
		if (cost === "gpu") ratios.push(`${(other.gpu.median / own.gpu.median).toFixed(2)}x GPU`);
		lines.push(`  ${name.padEnd(NAME - 2)}${`${ms(other.wall.median).padStart(7)} ms`.padEnd(30)}${ratios.join(", ")}`);
	}
	return lines.join("\n");
}

const told = (outcome: Outcome | undefined): string =>
	outcome === undefined || outcome.status === "ran" ? "" : outcome.status === "cannot" ? outcome.reason : `FAILED: ${outcome.reason}`;

/** What a run amounts to. */
export function summaryLines(report: Report): string[] {
	const { rows, growth, failures, libraries, ceilings } = report;
	const cost = costName(libraries);
	const lines = [""];
	for (const { row, outcomes } of ceilings) {
		const top = ran(Object.values(outcomes)[0]);
		const rate = top && rateOf(row, top, ceilings, cost);
		if (rate !== undefined) lines.push(`${row.name}: ${ms(rate.perSecond)} ${rate.unit} by ${COST[cost]}`);
	}
	for (const { series, sizes, exponent } of growth) {
		lines.push(`${COST[cost]} of a step grows with ${series} = ${sizes.join(", ")} to the power of ${exponent.toFixed(2)}`);
	}
	const against = rows.flatMap((r) => {
		const best = versusBest(r.outcomes, cost);
		return best === undefined ? [] : [{ row: r.row.name, ...best }];
	});
	if (against.length > 0) {
		const behind = against.filter(({ ratio }) => ratio < 1).sort((a, b) => a.ratio - b.ratio);
		lines.push(
			`beside the best of the others, by ${COST[cost]}: median ${median(against.map((a) => a.ratio)).toFixed(2)}x over ${against.length} rows`,
		);
		lines.push(behind.length === 0 ? "behind in no row" : `behind in ${behind.length}:`);
		for (const { row, name, ratio } of behind) lines.push(`  ${row}: ${ratio.toFixed(2)}x ${name}`);
	}
	for (const failure of failures) lines.push(`FAILED ${failure}`);
	return lines;
}
