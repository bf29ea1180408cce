import { fork } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fileLedger } from "@hushgrad/dp/files";
import { describe, expect, it } from "vitest";

/** How often a run is killed: a few times in every suite, `HUSHGRAD_KILLS=200` for long. */
const KILLS = Number(process.env.HUSHGRAD_KILLS ?? 4);
const STEPS = 12;

/** How many runs went on from a checkpoint. */
let resumed = 0;

/** A moment: so many steps after the run has begun, and so many milliseconds. */
interface Moment {
	readonly steps: number;
	readonly milliseconds: number;
}

/** Starts the run in a folder; kills it at a moment, or lets it end. Gives whether it ended. */
function start(folder: string, mode: string, moment?: Moment): Promise<boolean> {
	return new Promise((resolve, reject) => {
		const child = fork(fileURLToPath(new URL("child.run.ts", import.meta.url)), [folder, mode, String(STEPS)], {
			execArgv: ["--import", import.meta.resolve("tsx"), "-C", "@hushgrad/source"],
			stdio: ["ignore", "ignore", "pipe", "ipc"],
		});
		let said = "";
		child.stderr?.on("data", (text) => {
			said = (said + text).slice(-2000);
		});
		let messages = 0;
		child.on("message", (message: { readonly begun?: number }) => {
			if ((message.begun ?? 0) > 0) resumed++;
			if (messages++ === moment?.steps) setTimeout(() => child.kill("SIGKILL"), moment.milliseconds);
		});
		child.on("exit", (code, signal) => {
			if (signal === "SIGKILL") resolve(false);
			else if (code === 0) resolve(true);
			else reject(new Error(`the run ended with ${code}: ${said}`));
		});
	});
}

/** The largest step whose noise was drawn, or whose records were. */
const drawnIn = (folder: string): number => {
	const path = join(folder, "drawn.txt");
	return existsSync(path) ? Math.max(0, ...readFileSync(path, "utf8").split("\n").map(Number)) : 0;
};

/** Steps that the ledger has of the only run. */
async function notedIn(folder: string): Promise<number> {
	const { ledger, close } = await fileLedger(join(folder, "ledger.jsonl"));
	const runs = ledger.runsOn("cards");
	await close();
	expect(runs.length).toBeLessThanOrEqual(KILLS + 1);
	return Math.max(0, ...runs.map((r) => r.taken));
}

async function inFolder<T>(act: (folder: string) => Promise<T>): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "kills-"));
	try {
		return await act(folder);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** Kills the run again and again, and lets it end; what was drawn is noted after every kill. */
async function killed(folder: string, mode: string): Promise<number> {
	let kills = 0;
	const moment = (): Moment => ({ steps: 1 + (kills % 3), milliseconds: Math.random() * 60 });
	while (kills < KILLS && !(await start(folder, mode, moment()))) {
		kills++;
		expect(await notedIn(folder)).toBeGreaterThanOrEqual(drawnIn(folder));
	}
	if (kills === KILLS) await start(folder, mode);
	return kills;
}

describe("a run that is killed and goes on", () => {
	it("never takes a step that the ledger has not, and takes no more than were planned", async () => {
		let kills = 0;
		while (kills < KILLS / 2) {
			await inFolder(async (folder) => {
				kills += await killed(folder, "secure");
				expect(await notedIn(folder)).toBe(STEPS);
				expect(drawnIn(folder)).toBeLessThanOrEqual(STEPS);
			});
		}
	});

	it("ends where the uninterrupted one does, bit for bit, where its noise repeats", async () => {
		const weights = (folder: string): Buffer => readFileSync(join(folder, "weights.safetensors"));
		const whole = await inFolder(async (folder) => {
			await start(folder, "research");
			return weights(folder);
		});
		let kills = 0;
		while (kills < KILLS / 2) {
			await inFolder(async (folder) => {
				kills += await killed(folder, "research");
				expect(resumed).toBeGreaterThan(0);
				expect(weights(folder).equals(whole)).toBe(true);
				expect(await notedIn(folder)).toBe(STEPS);
			});
		}
	});
}, 3_600_000);
