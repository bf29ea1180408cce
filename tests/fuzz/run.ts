/** `npm run fuzz -- --runs 5000 --seed 1`: calls all that is exported with one wrong argument, and tells what came of it. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { readFlags, whole } from "../../tools/flags.mjs";
import type { Message, Outcome } from "./calls.ts";

/** What a run found. */
export interface Report {
	readonly outcomes: readonly Outcome[];
	/** Calls that took longer than the limit, or that ended the process. */
	readonly hangs: readonly string[];
}

const LIMIT = 30_000;

/** How to fuzz. */
export interface FuzzOptions {
	/** Of one package alone, such as "tensor"; of all when left out. */
	readonly entry?: string | undefined;
	readonly log?: (text: string) => void;
}

/** Makes the calls numbered `from` to `to`, negative ones being those without a wrong argument. */
export async function fuzz(seed: number, from: number, to: number, { entry = "", log = () => {} }: FuzzOptions = {}): Promise<Report> {
	const outcomes: Outcome[] = [];
	const hangs: string[] = [];
	for (let next = from; next < to; ) next = await part(next);
	return { outcomes, hangs };

	/** Makes calls until the end, or until one hangs; gives the number of the next. */
	function part(first: number): Promise<number> {
		return new Promise((resolve, reject) => {
			const child = fork(fileURLToPath(new URL("calls.ts", import.meta.url)), [seed, first, to, entry].map(String), {
				execArgv: ["--import", import.meta.resolve("tsx"), "-C", "@hushgrad/source"],
				stdio: ["ignore", "ignore", "pipe", "ipc"],
			});
			let said = "";
			child.stderr?.on("data", (text) => {
				said = (said + text).slice(-2000);
			});
			let index = first - 1;
			let current = "the start";
			let timer = setTimeout(() => child.kill("SIGKILL"), 4 * LIMIT);
			let isDone = false;
			child.on("message", (message: Message) => {
				clearTimeout(timer);
				timer = setTimeout(() => child.kill("SIGKILL"), LIMIT);
				if ("start" in message) {
					current = message.start;
					index = message.index;
				} else if ("outcome" in message) {
					outcomes.push(message.outcome);
					index = message.index;
					if (outcomes.length % 500 === 0) log(`${outcomes.length} calls`);
				} else isDone = true;
			});
			child.on("exit", (code) => {
				clearTimeout(timer);
				if (!isDone && index < first) return reject(new Error(`no call was made: ${said}`));
				if (!isDone) hangs.push(`${current} (exit ${code})${code === 1 ? `\n${said}` : ""}`);
				resolve(isDone ? to : Math.max(index, first) + 1);
			});
		});
	}
}

/** The figures of a report, and what is wrong, by place. */
export function summary({ outcomes, hangs }: Report): string {
	const of = (result: Outcome["result"]) => outcomes.filter((o) => o.result === result);
	const raw = of("raw");
	const leaks = outcomes.filter((o) => o.leaked !== 0);
	const faults = outcomes.filter((o) => o.fault !== undefined);
	const unnamed = of("refused").filter((o) => !o.named);
	const byFile = new Map<string, Outcome[]>();
	for (const o of raw) {
		const file = o.place?.replace(/:\d+$/, "") ?? "elsewhere";
		byFile.set(file, [...(byFile.get(file) ?? []), o]);
	}
	return [
		`${outcomes.length} calls: ${of("accepted").length} accepted, ${of("refused").length} refused, ${raw.length} raw errors, ` +
			`${hangs.length} hangs, ${leaks.length} leaks, ${faults.length} faults of the device; ` +
			`${unnamed.length} errors do not name what was called; the slowest took ${Math.round(Math.max(0, ...outcomes.map((o) => o.milliseconds)))} ms`,
		...hangs.map((h) => `hang: ${h}`),
		...leaks.map((o) => `leak of ${o.leaked} bytes: ${o.key}: ${o.change} (${o.error ?? "accepted"})`),
		...faults.map((o) => `fault: ${o.key}: ${o.change}: ${o.fault}`),
		...[...byFile]
			.sort(([, a], [, b]) => b.length - a.length)
			.map(([file, list]) => {
				const keys = new Map<string, Outcome>();
				for (const o of list) keys.set(o.key, o);
				return `raw ${String(list.length).padStart(4)} ${file}\n${[...keys].map(([key, o]) => `          ${key}: ${o.change}: ${o.error} (${o.place})`).join("\n")}`;
			}),
	].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const help = `npm run fuzz -- [flags]
  --runs 5000   calls with one wrong argument
  --seed 1      that they follow from
  --entry NAME  only what this entry exports
  --plain       calls without a wrong argument, and those that are refused
  --unnamed     prints errors that do not name what was called`;
	const values = readFlags(help, {
		runs: { type: "string", default: "5000" },
		seed: { type: "string", default: "1" },
		plain: { type: "boolean", default: false },
		unnamed: { type: "boolean", default: false },
		entry: { type: "string", default: "" },
	});
	const runs = whole("runs", values.runs);
	const report = await fuzz(whole("seed", values.seed, 0), values.plain ? -runs : 0, values.plain ? 0 : runs, {
		entry: values.entry,
		log: (text) => console.error(text),
	});
	console.log(summary(report));
	if (values.plain) for (const o of report.outcomes.filter((x) => x.result !== "accepted")) console.log(`plain: ${o.key}: ${o.error}`);
	if (values.unnamed)
		for (const o of report.outcomes.filter((x) => x.result === "refused" && !x.named))
			console.log(`unnamed: ${o.key}: ${o.change}: ${o.error}`);
	const isClean = report.hangs.length === 0 && report.outcomes.every((o) => o.result !== "raw" && o.leaked === 0 && o.fault === undefined);
	process.exitCode = isClean ? 0 : 1;
}
