import { fork } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { epsilon } from "@hushgrad/dp";
import { fileLedger } from "@hushgrad/dp/files";
import { runFiles } from "@hushgrad/finetune";
import type { Signal } from "../../tools/kills/results.ts";

/** A moment of a run, and what comes then: so many milliseconds after the n-th event of a kind. */
export interface Kill {
	readonly signal: Signal;
	readonly kind: string;
	readonly count: number;
	readonly milliseconds: number;
	/** Milliseconds after which the signal comes once more; never when left out. */
	readonly again?: number | undefined;
}

/** How a start of a run ended. */
export interface End {
	/** Whether all steps were taken. */
	readonly isFinished: boolean;
	/** What ended it: its exit code, or a signal. */
	readonly by: string;
	/** Its last event before that signal was sent; before its own end, where none was. */
	readonly during: string;
}

/** Begins the run of a folder or goes on with it; ends it at a moment, or lets it come to its end. */
export function start(folder: string, mode: "secure" | "research", kill?: Kill): Promise<End> {
	return new Promise((resolve, reject) => {
		const child = fork(fileURLToPath(new URL("runChild.run.ts", import.meta.url)), [folder, mode], {
			execArgv: ["--import", import.meta.resolve("tsx"), "-C", "@hushgrad/source"],
			stdio: ["ignore", "ignore", "pipe", "ipc"],
		});
		let said = "";
		child.stderr?.on("data", (text) => {
			said = (said + text).slice(-2000);
		});
		let last = "nothing";
		let during: string | undefined;
		const send = (signal: Signal): void => {
			during = last;
			child.kill(signal);
		};
		let seen = 0;
		child.on("message", ({ kind }: { readonly kind: string }) => {
			last = kind;
			if (kill === undefined || kind !== kill.kind || ++seen !== kill.count) return;
			const { signal, milliseconds, again } = kill;
			setTimeout(() => send(signal), milliseconds);
			if (again !== undefined) setTimeout(() => send(signal), milliseconds + again);
		});
		child.on("exit", (code, signal) => {
			if (code === 0 || code === 3 || code === 130 || signal !== null)
				resolve({ isFinished: code === 0, by: signal ?? `exit ${code}`, during: during ?? last });
			else reject(new Error(`the run ended with ${code}: ${said}`));
		});
	});
}

/** Draws of noise, as the processes noted them. */
export function drawsIn(folder: string): { readonly process: number; readonly step: number }[] {
	const path = join(folder, "drawn.txt");
	if (!existsSync(path)) return [];
	const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
	return lines.map((line) => {
		const [process = 0, step = 0] = line.split(" ").map(Number);
		return { process, step };
	});
}

/** What the ledger of the cards has: the steps of each run on them, and the ε of all at a δ. */
export async function ledgerOf(folder: string): Promise<{ readonly taken: number[]; readonly epsilonAt: (delta: number) => number }> {
	const path = join(folder, "cards.csv.ledger");
	const { ledger, close } = await fileLedger(path);
	await close();
	const [, dataset = ""] = /"dataset":"([0-9a-f]+)"/.exec(readFileSync(path, "utf8")) ?? [];
	return {
		taken: ledger.runsOn(dataset).map((r) => r.taken),
		epsilonAt: (delta) => epsilon(ledger.historyOf(dataset), { delta }),
	};
}

/** The last step of draws; 0 before the first. */
export const lastDrawn = (folder: string): number => Math.max(0, ...drawsIn(folder).map(({ step }) => step));

/** What a run in a folder has come to, byte for byte. */
export function trainedIn(folder: string): { readonly adapter: Buffer; readonly tensors: Buffer; readonly metrics: string } {
	const files = runFiles(join(folder, "run"));
	const last = readdirSync(files.checkpoints).sort().at(-1) ?? "";
	return {
		adapter: readFileSync(join(files.adapter, "adapter_model.safetensors")),
		tensors: readFileSync(join(files.checkpoints, last, "tensors.safetensors")),
		metrics: readFileSync(files.metrics, "utf8"),
	};
}
