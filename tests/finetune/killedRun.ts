import { fork } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fileLedger } from "@hushgrad/dp/files";
import { runFiles } from "@hushgrad/finetune";

/** How a process may be ended. */
export const SIGNALS = ["SIGKILL", "SIGTERM", "SIGINT"] as const;
export type Signal = (typeof SIGNALS)[number];

/** A moment of a run, and what comes then: so many milliseconds after the n-th event of a kind. */
export interface Kill {
	readonly signal: Signal;
	readonly kind: string;
	readonly count: number;
	readonly milliseconds: number;
}

/** How a start of a run ended. */
export interface End {
	/** Whether all steps were taken. */
	readonly isFinished: boolean;
	/** What ended it: its exit code, or a signal. */
	readonly by: string;
	/** Its last event before that. */
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
		let during = "nothing";
		let seen = 0;
		child.on("message", ({ kind }: { readonly kind: string }) => {
			during = kind;
			if (kind === kill?.kind && ++seen === kill.count) setTimeout(() => child.kill(kill.signal), kill.milliseconds);
		});
		child.on("exit", (code, signal) => {
			if (code === 0 || code === 3 || signal !== null) resolve({ isFinished: code === 0, by: signal ?? `exit ${code}`, during });
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

/** Steps that the ledger of the cards has, of each run on them. */
export async function notedIn(folder: string): Promise<number[]> {
	const path = join(folder, "cards.csv.ledger");
	const { ledger, close } = await fileLedger(path);
	const [, dataset] = /"dataset":"([0-9a-f]+)"/.exec(existsSync(path) ? readFileSync(path, "utf8") : "") ?? [];
	const runs = dataset === undefined ? [] : ledger.runsOn(dataset);
	await close();
	return runs.map((r) => r.taken);
}

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
