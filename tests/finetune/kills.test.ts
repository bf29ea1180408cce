import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runFiles } from "@hushgrad/finetune";
import { describe, expect, it } from "vitest";
import { drawsIn, type End, type Kill, notedIn, SIGNALS, start, trainedIn } from "./killedRun.ts";
import { inFolder, STEPS } from "./tinyRun.ts";

/** How many processes are ended: a few in every suite, `npm run kills:run -- --kills 200` for long. */
const KILLS = Number(process.env.HUSHGRAD_KILLS ?? 3);
const KINDS = ["loading", "compiling", "step", "step", "saving", "saving"];

/** Where processes were ended, and by what. */
const table = new Map<string, number>();
const count = ({ by, during }: End): void => {
	const row = `${by.padEnd(8)} ${during}`;
	table.set(row, (table.get(row) ?? 0) + 1);
};

let made = 0;
/** The next moment: signals and events in turn, milliseconds at random. */
function moment(): Kill {
	const signal = SIGNALS[made % SIGNALS.length] ?? "SIGKILL";
	const kind = KINDS[made % KINDS.length] ?? "step";
	const milliseconds = Math.random() * (kind === "saving" ? 20 : 400);
	return { signal, kind, count: 1 + Math.floor(Math.random() * 2), milliseconds: made++ % 5 === 4 ? 3 * milliseconds : milliseconds };
}

/** Ends the run of a folder so many times, then lets it come to its end; looks at ledger and draws after each. */
async function endedOften(folder: string, mode: "secure" | "research", kills: number): Promise<number> {
	let ended = 0;
	for (let isFinished = false; !isFinished; ) {
		const end = await start(folder, mode, ended < kills ? moment() : undefined);
		isFinished = end.isFinished;
		if (!isFinished) ended++;
		if (!isFinished) count(end);
		const drawn = Math.max(0, ...drawsIn(folder).map(({ step }) => step));
		expect(Math.max(0, ...(await notedIn(folder)))).toBeGreaterThanOrEqual(drawn);
	}
	return ended;
}

/** Kills of one run, at most: it has so many steps only. */
const MOST = 4;

describe("a run whose process is ended at any moment", () => {
	it("with secure noise goes on, never takes a step twice, and none that the ledger has not", async () => {
		for (let left = Math.ceil(KILLS / 2); left > 0; ) {
			await inFolder(async (folder) => {
				left -= Math.max(1, await endedOften(folder, "secure", Math.min(left, MOST)));
				const taken = await notedIn(folder);
				// A process that ends before the first checkpoint leaves no run, and the next one is new.
				expect(taken.at(-1)).toBe(STEPS);
				const owners = new Map<number, Set<number>>();
				for (const { process, step } of drawsIn(folder)) owners.set(step, (owners.get(step) ?? new Set()).add(process));
				expect(owners.has(STEPS)).toBe(true);
				expect([...owners.values()].every((processes) => processes.size === 1)).toBe(true);
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
				left -= Math.max(1, await endedOften(folder, "research", Math.min(left, MOST)));
				expect(trainedIn(folder)).toEqual(whole);
			});
		}
		console.log(["ended by, during:", ...[...table].sort().map(([row, n]) => `  ${row.padEnd(24)} ${n}`)].join("\n"));
	});
}, 36_000_000);
