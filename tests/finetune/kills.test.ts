import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { runFiles } from "@hushgrad/finetune";
import { describe, expect, it } from "vitest";
import { keep, type Mode, SIGNALS } from "../../tools/kills/results.ts";
import { drawsIn, type Kill, lastDrawn, ledgerOf, start, trainedIn } from "./killedRun.ts";
import { inFolder, STEPS, settingsOf } from "./tinyRun.ts";

/** How many processes are ended: a few in every suite, `npm run kills:run -- --kills 200` for long. */
const KILLS = Number(process.env.HUSHGRAD_KILLS ?? 3);
const { HUSHGRAD_KILL_SIGNAL: only } = process.env;
/** What ends them: every signal in turn, or the one that is asked for. */
const USED = SIGNALS.filter((s) => only === undefined || s === only);
const KINDS = ["loading", "compiling", "step", "step", "saving", "saving", "preparing", "evaluating"];

let made = 0;
/** The next moment: signals and events in turn, milliseconds at random; of the signals that are answered each third comes twice. */
function moment(): Kill {
	const signal = USED[made % USED.length] ?? "SIGKILL";
	const kind = KINDS[made % KINDS.length] ?? "step";
	const milliseconds = Math.random() * (kind === "saving" ? 20 : 400);
	const again = Math.random() < 1 / 3 ? 100 * Math.random() : undefined;
	return {
		signal,
		kind,
		count: 1 + Math.floor(Math.random() * 2),
		milliseconds: made++ % 5 === 4 ? 3 * milliseconds : milliseconds,
		again,
	};
}

/** Ends the run of a folder so many times, then lets it come to its end; looks at ledger and draws after each. */
async function endedOften(folder: string, mode: Mode, kills: number): Promise<number> {
	let ended = 0;
	for (let isFinished = false; !isFinished; ) {
		const end = await start(folder, mode, ended < kills ? moment() : undefined);
		isFinished = end.isFinished;
		const [drawn, noted] = [lastDrawn(folder), Math.max(0, ...(await ledgerOf(folder)).taken)];
		if (!isFinished) {
			ended++;
			const { by, during } = end;
			keep({ kind: "ended", mode, by, during, noted, drawn });
			if (KILLS > 20) console.log(`${mode} ${by} while ${during}: ${noted} noted, ${drawn} drawn`);
		}
		expect(noted).toBeGreaterThanOrEqual(drawn);
	}
	return ended;
}

/** Keeps what has become of a run, and gives the ε of its ledger and the one it may spend. */
async function outcome(
	folder: string,
	mode: Mode,
	times: number,
	asItShould: boolean,
): Promise<{ readonly spent: number; readonly target: number }> {
	const { delta, epsilon: target } = await settingsOf(folder);
	const { taken, epsilonAt } = await ledgerOf(folder);
	const spent = epsilonAt(delta);
	const facts = { noted: Math.max(...taken), drawn: lastDrawn(folder), epsilon: spent, target };
	keep({ kind: "run", fault: "ended", mode, times, asItShould, ...facts });
	return { spent, target };
}

/** Kills of one run, at most: it has so many steps only. */
const MOST = 4;

describe.concurrent("a run whose process is ended at any moment", () => {
	it("with secure noise goes on, never takes a step twice, and none that the ledger has not", async () => {
		for (let left = Math.ceil(KILLS / 2); left > 0; ) {
			await inFolder(async (folder) => {
				const ended = await endedOften(folder, "secure", Math.min(left, MOST));
				left -= Math.max(1, ended);
				const owners = new Map<number, Set<number>>();
				for (const { process, step } of drawsIn(folder)) owners.set(step, (owners.get(step) ?? new Set()).add(process));
				const isOnce = [...owners.values()].every((processes) => processes.size === 1);
				const { spent, target } = await outcome(folder, "secure", ended, isOnce);
				// A process that ends before the first checkpoint leaves no run, and the next one is new.
				expect((await ledgerOf(folder)).taken.at(-1)).toBe(STEPS);
				expect(spent).toBeLessThanOrEqual(target);
				// A step that was noted and not drawn is one that a process ended in.
				expect(owners.size).toBeGreaterThanOrEqual(STEPS - ended);
				expect(isOnce).toBe(true);
				const { statement } = runFiles(join(folder, "run"));
				expect(readFileSync(statement, "utf8")).toContain(`T = ${STEPS} of ${STEPS} planned`);
			});
		}
	});

	it("ends where the uninterrupted one does, bit for bit, where its noise repeats", async () => {
		const whole = await inFolder(async (folder) => {
			await start(folder, "research");
			return trainedIn(folder);
		});
		for (let left = Math.floor(KILLS / 2); left > 0; ) {
			await inFolder(async (folder) => {
				const ended = await endedOften(folder, "research", Math.min(left, MOST));
				left -= Math.max(1, ended);
				const trained = trainedIn(folder);
				const { spent, target } = await outcome(folder, "research", ended, isDeepStrictEqual(trained, whole));
				expect(trained).toEqual(whole);
				expect(spent).toBeLessThanOrEqual(target);
			});
		}
	});
}, 36_000_000);
