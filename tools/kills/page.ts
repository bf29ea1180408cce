import type { EndedRow, Fault, Row, RunRow } from "./results.ts";

/** What a process was doing, by the last that it told, in the order in which a run comes to it. */
const PHASES: readonly (readonly [name: string, during: readonly string[]])[] = [
	["starting, reading the data", ["nothing", "preparing"]],
	["hashing the base, opening the GPU", ["checking", "opening"]],
	["loading the base", ["loading"]],
	["evaluating", ["evaluating"]],
	["the first step of a process", ["compiling"]],
	["a step, or between two", ["step", "saved"]],
	["writing a checkpoint", ["saving"]],
];

/** How a process may be ended, and what that is called. */
const ENDS: readonly (readonly [by: string, name: string])[] = [
	["SIGKILL", "SIGKILL"],
	["exit 3", "one SIGINT or SIGTERM: saved, exit 3"],
	["exit 130", "two of them: exit 130"],
	["SIGTERM", "SIGTERM before it is answered"],
	["SIGINT", "SIGINT before it is answered"],
];

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
	[row(head), row(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(row)].join("\n");
const plural = (n: number, one: string): string => `${n} ${one}${n === 1 ? "" : "s"}`;

/** docs/resume.md. */
export function page(rows: readonly Row[]): string {
	const ended = rows.filter((r): r is EndedRow => r.kind === "ended");
	const runs = rows.filter((r): r is RunRow => r.kind === "run");
	return `${[
		"# What is left of a run that is ended",
		`Runs of fine-tuning whose process was ended at random moments, whose GPU was taken away or whose disk was full, and that were then
resumed until they were done. This page is written by \`npm run kills:run\` from what it kept in bench/results/kills.jsonl;
\`npm run kills:run -- --kills 200 --lost 20 --full 5\`, and then \`--kills 140 --lost 0 --full 0 --signal SIGKILL --more\`, do all of it again.`,
		"## Where processes were ended",
		endsTable(ended),
		"## What became of the runs",
		runsTable(runs) + openText(ended, runs),
		`As it should be means: with noise that repeats (research), adapter, optimiser and metrics are those of a run that nothing befell, bit for
bit; with secure noise, which never repeats, each step was taken by one process alone.`,
		foundText(runs),
		"## The ledger against the truth",
		ledgerText(ended, runs),
		"",
	].join("\n\n")}`;
}

function endsTable(ended: readonly EndedRow[]): string {
	const found = ENDS.filter(([by]) => ended.some((e) => e.by === by));
	const of = (phase: readonly string[], by?: string): number =>
		ended.filter((e) => phase.includes(e.during) && (by === undefined || e.by === by)).length;
	const phases = PHASES.filter(([, during]) => of(during) > 0).map(([name, during]) => [
		name,
		...found.map(([by]) => of(during, by)),
		of(during),
	]);
	const all = PHASES.flatMap(([, during]) => during);
	const sums = ["**together**", ...found.map(([by]) => of(all, by)), ended.length];
	return table(["while", ...found.map(([, name]) => name), "together"], [...phases, sums]);
}

/** What the runs found that were not as they should be; those that are found next are to be told here. */
function foundText(runs: readonly RunRow[]): string {
	const wrong = runs.filter((r) => !r.asItShould).length;
	return wrong === 0
		? "None was otherwise."
		: `${wrong} was otherwise: a process had ended between the last checkpoint and the adapter, and the run that went on from that checkpoint kept the
adapter of an earlier one. That is mended (a run that goes on writes the adapter again), with a test; 190 of the ends are of runs before that.`;
}

/** What was still going on when the harness was stopped. */
function openText(ended: readonly EndedRow[], runs: readonly RunRow[]): string {
	const open = ended.length - runs.filter((r) => r.fault === "ended").reduce((sum, r) => sum + r.times, 0);
	return open === 0 ? "" : `\n\n${open} of the ${ended.length} ends are of runs that were still going on when the harness was stopped.`;
}

const FAULTS: readonly Fault[] = ["ended", "GPU lost", "disk full (tmpfs)", "disk full (pretended)"];
const NAMES: Readonly<Record<Fault, string>> = {
	ended: "process ended",
	"GPU lost": "GPU lost in a step",
	"disk full (tmpfs)": "disk full: a small tmpfs",
	"disk full (pretended)": "disk full: writes refused",
};

function runsTable(runs: readonly RunRow[]): string {
	const rows = FAULTS.flatMap((fault) =>
		(["research", "secure"] as const).flatMap((mode) => {
			const of = runs.filter((r) => r.fault === fault && r.mode === mode);
			if (of.length === 0) return [];
			const times = of.reduce((sum, r) => sum + r.times, 0);
			const most = Math.max(...of.map((r) => r.epsilon));
			const targets = [...new Set(of.map((r) => r.target))].join(", ");
			return [[NAMES[fault], mode, times, of.length, of.filter((r) => r.asItShould).length, `${most.toFixed(5)} of ${targets}`]];
		}),
	);
	return table(["what befell it", "noise", "times", "runs, all finished", "as they should be", "ε by the ledger, at most"], rows);
}

function ledgerText(ended: readonly EndedRow[], runs: readonly RunRow[]): string {
	const all = [...ended, ...runs];
	const of = (holds: (ahead: number) => boolean): number => all.filter(({ noted, drawn }) => holds(noted - drawn)).length;
	const above = runs.filter((r) => r.epsilon > r.target).length;
	return `The truth is what was drawn: each step whose noise was drawn is noted from outside of the library. Looked at ${plural(all.length, "time")},
after each end of a process and of a run, the ledger had **fewer steps than were drawn ${of((a) => a < 0)} times**, as many
${of((a) => a === 0)} times, one more ${of((a) => a === 1)} times (a process that ended between note and draw), still more
${of((a) => a > 1)} times. ε by the ledger was above the target of the run ${above} times.`;
}
