import type { environment } from "./environment.ts";
import type { Description } from "./protocol.ts";
import type { Row } from "./row.ts";
import { type Measured, type RowResult, ran, type Settings } from "./run.ts";
import { exponent } from "./statistics.ts";

/** The file of a run: samples, and what they were taken on. */
export interface Report {
	readonly environment: ReturnType<typeof environment>;
	readonly settings: Settings;
	/** By contender; the first is this library. */
	readonly libraries: Record<string, Description>;
	readonly ceilings: readonly RowResult[];
	readonly rows: readonly RowResult[];
	/** Contenders that take no part, with the reason. */
	readonly faults: readonly string[];
	/** Growth of the cost of a series: the exponent of its size. */
	readonly growth: readonly { readonly series: string; readonly sizes: readonly number[]; readonly exponent: number }[];
	/** What failed, contenders that take no part included: one line each. */
	readonly failures: readonly string[];
}

/** The driver's processor time where it is its work, else time that passes. */
export const COST = { gpu: "GPU cost", wall: "wall time" } as const;
export type CostName = keyof typeof COST;

/** Whether the cost of a contender can be told apart from the time that others take from it. */
export const costName = (libraries: Report["libraries"]): CostName =>
	Object.values(libraries).every(({ isSoftware }) => isSoftware) ? "gpu" : "wall";

export function reportOf(run: Omit<Report, "growth" | "failures">): Report {
	const failures = [...run.faults];
	for (const { row, outcomes } of [...run.ceilings, ...run.rows]) {
		for (const [name, outcome] of Object.entries(outcomes)) {
			if (outcome.status === "failed") failures.push(`${row.name}, ${name}: ${outcome.reason}`);
		}
	}
	return { ...run, growth: growthOf(run), failures };
}

function growthOf({ rows, libraries }: Pick<Report, "rows" | "libraries">): Report["growth"] {
	const [ours] = Object.keys(libraries);
	const cost = costName(libraries);
	const series = new Map<string, [number, number][]>();
	for (const { row, outcomes } of rows) {
		const own = ran(outcomes[ours]);
		if (row.growth === undefined || own === undefined) continue;
		const points = series.get(row.growth.series) ?? [];
		points.push([row.growth.at, own[cost].median]);
		series.set(row.growth.series, points);
	}
	return [...series].flatMap(([name, points]) =>
		points.length < 2 ? [] : [{ series: name, sizes: points.map(([x]) => x), exponent: exponent(points) }],
	);
}

/** What a row does in a second, and its part of what the device can do. */
export interface Rate {
	readonly perSecond: number;
	readonly unit: "GFLOP/s" | "GB/s" | "tokens/s";
	/** Of the ceiling that was measured in the same run; none for tokens. */
	readonly fraction?: number | undefined;
}

/** By the cost of a kernel; tokens by time that passes, which is what a user waits. */
export function rateOf(row: Row, own: Measured, ceilings: readonly RowResult[], cost: CostName): Rate | undefined {
	for (const [field, unit] of [
		["flops", "GFLOP/s"],
		["bytes", "GB/s"],
	] as const) {
		const amount = row[field];
		if (amount === undefined) continue;
		const best = ceilings.find((c) => c.row[field] !== undefined);
		const top = best && ran(Object.values(best.outcomes)[0]);
		const perSecond = amount / (own[cost].median * 1e6);
		const ceiling = top && (best.row[field] ?? 0) / (top[cost].median * 1e6);
		return { perSecond, unit, fraction: ceiling && perSecond / ceiling };
	}
	return row.tokens === undefined ? undefined : { perSecond: (1000 * row.tokens) / own.wall.median, unit: "tokens/s" };
}

/** The best of the others, by a cost: what it takes divided by what this library takes, above 1 where this library is ahead. */
export function versusBest(outcomes: RowResult["outcomes"], cost: CostName): { readonly name: string; readonly ratio: number } | undefined {
	const [[, first], ...others] = Object.entries(outcomes);
	const own = ran(first);
	if (own === undefined) return undefined;
	const ratios = others.flatMap(([name, outcome]) => {
		const other = ran(outcome);
		return other === undefined ? [] : [{ name, ratio: other[cost].median / own[cost].median }];
	});
	return ratios.sort((a, b) => a.ratio - b.ratio)[0];
}
