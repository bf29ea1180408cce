import { readFile } from "node:fs/promises";
import { FormatError } from "@hushgrad/tensor";
import type { Outcome } from "./utilityRun.ts";

/** A line of the raw results. */
export interface UtilityRun extends Outcome {
	/** Name of the variant, as `variantOf` reads it. */
	readonly variant: string;
	/** Target; null without privacy. */
	readonly epsilon: number | null;
	/** Of split, start, dropout, batches and noise. */
	readonly seed: number;
	/** The public numbers of the plan; absent without privacy. */
	readonly plan?: {
		readonly sigma: number;
		readonly q: number;
		readonly steps: number;
		readonly L: number;
		readonly C: number;
		readonly sampling: string;
	};
	/** Wall time of the run. */
	readonly seconds: number;
}

/** A mean and its standard error, s/√n. */
export interface Estimate {
	readonly mean: number;
	readonly error: number;
	readonly n: number;
}

/** The runs of a file of JSON lines; none of one that is not there yet. */
export async function readRuns(path: string): Promise<UtilityRun[]> {
	const text = await readFile(path, "utf8").catch((error) => {
		if (error.code === "ENOENT") return "";
		throw error;
	});
	const lines = text.split("\n").filter((line) => line !== "");
	return lines.map((line, i) => {
		try {
			return JSON.parse(line);
		} catch (cause) {
			throw new FormatError("utility/line", `line ${i + 1} is not JSON`, { path, hint: "a run was cut off: delete the line", cause });
		}
	});
}

/** Mean and standard error; the error of a single value is NaN. */
export function estimate(values: readonly number[]): Estimate {
	const n = values.length;
	const mean = values.reduce((a, b) => a + b, 0) / n;
	const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
	return { mean, error: Math.sqrt(squares / (n - 1) / n), n };
}

/** What one variant is better by than another, by the seeds that both have: loss − loss of the baseline, below 0 where it is better. */
export function difference(runs: readonly UtilityRun[], baseline: readonly UtilityRun[]): Estimate {
	const of = new Map(baseline.map((r) => [r.seed, r.after]));
	return estimate(runs.flatMap(({ seed, after }) => (of.has(seed) ? [after - (of.get(seed) as number)] : [])));
}

/** The table in Markdown: a row a variant and epsilon, the best of each epsilon first. */
export function utilityTable(runs: readonly UtilityRun[], baseline = "poisson"): string {
	const epsilons = [...new Set(runs.map((r) => r.epsilon))].sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
	const rows = epsilons.flatMap((epsilon) => {
		const here = runs.filter((r) => r.epsilon === epsilon);
		const base = here.filter((r) => r.variant === baseline);
		const groups = [...new Set(here.map((r) => r.variant))].map((name) => here.filter((r) => r.variant === name));
		return groups
			.map((group) => ({ group, after: estimate(group.map((r) => r.after)) }))
			.sort((a, b) => a.after.mean - b.after.mean)
			.map(({ group, after }) => row(group, after, difference(group, base), group[0].variant === baseline));
	});
	const head = "| ε | variant | σ | steps × L | seeds | before | after | less | difference to the baseline |";
	return [head, head.replace(/[^|]+/g, " --- "), ...rows].join("\n");
}

function row(group: readonly UtilityRun[], after: Estimate, than: Estimate, isBaseline: boolean): string {
	const [{ variant, epsilon, plan }] = group as [UtilityRun];
	const before = estimate(group.map((r) => r.before)).mean;
	const isClear = than.n > 1 && Math.abs(than.mean) > 2 * than.error;
	const gap = isBaseline ? "baseline" : than.n < 2 ? "" : `${isClear ? "**" : ""}${pair(than, true)}${isClear ? "**" : ""}`;
	const planned = [plan?.sigma.toFixed(3) ?? "", plan === undefined ? "" : `${plan.steps} × ${plan.L}`];
	return `| ${[epsilon ?? "none", `\`${variant}\``, ...planned, after.n, before.toFixed(4), pair(after), (before - after.mean).toFixed(4), gap].join(" | ")} |`;
}

/** Mean ± standard error. */
const pair = ({ mean, error, n }: Estimate, signed = false): string =>
	`${signed && mean > 0 ? "+" : ""}${mean.toFixed(4)}${n > 1 ? ` ± ${error.toFixed(4)}` : ""}`;
