import { isDeepStrictEqual } from "node:util";
import { research } from "@hushgrad/dp";
import { RunError, type RunEvent, resume, train } from "@hushgrad/finetune";
import { type Device, requestDevice } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { type Fault, keep } from "../../tools/kills/results.ts";
import { destroyAtDispatch } from "../support/lostDevice.ts";
import { findFullDisk } from "./fullDisk.ts";
import { ledgerOf, trainedIn } from "./killedRun.ts";
import { inFolder, STEPS, settingsOf, writeCards } from "./tinyRun.ts";

/** How many devices are lost, and how often the disk is full: once or twice in every suite, `npm run kills:run` for long. */
const LOST = Number(process.env.HUSHGRAD_LOST ?? 1);
const FULL = Number(process.env.HUSHGRAD_FULL ?? 1);

/** The last step whose noise was drawn, as seen from outside of the library. */
let drawn = 0;
const noise = research({
	seed: 7,
	transcript: ({ step }) => {
		drawn = Math.max(drawn, step);
	},
});

const whole = inFolder(async (folder) => {
	await train(await settingsOf(folder), { noise });
	return trainedIn(folder);
});

/** Works in a folder of its own in which nothing was drawn. */
const inFreshFolder = async (act: (folder: string) => Promise<void>): Promise<void> => {
	await whole;
	await inFolder((folder) => {
		drawn = 0;
		return act(folder);
	});
};

/** Looks whether a run that something befell has come to what it has to be, and nothing of it was forgotten; keeps that. */
async function expectWhole(folder: string, fault: Fault, times: number): Promise<void> {
	const { delta, epsilon: target } = await settingsOf(folder);
	const { taken, epsilonAt } = await ledgerOf(folder);
	const [trained, epsilon] = [trainedIn(folder), epsilonAt(delta)];
	const asItShould = isDeepStrictEqual(trained, await whole);
	keep({ kind: "run", mode: "research", fault, times, asItShould, noted: Math.max(...taken), drawn, epsilon, target });
	expect(trained).toEqual(await whole);
	expect(taken).toEqual([STEPS]);
	expect(drawn).toBe(STEPS);
	expect(epsilon).toBeLessThanOrEqual(target);
}

/** How a run is carried out on devices of which some are lost, each between two steps that it takes or within the second of them. */
class Losing {
	/** What it warned of. */
	readonly warnings: string[] = [];
	readonly #losses: number[];
	#opened: Device | undefined;

	/** `losses` has, for each device that is lost, after which step of the run; those that are opened later stay. */
	constructor(losses: readonly number[]) {
		this.#losses = [...losses];
	}

	readonly noise = noise;
	readonly openDevice = async (): Promise<Device> => {
		this.#opened = await requestDevice();
		return this.#opened;
	};
	readonly onEvent = (event: RunEvent): void => {
		if (event.kind === "warning") this.warnings.push(event.message);
		if (event.kind !== "step" || event.step !== this.#losses[0] || this.#opened === undefined) return;
		this.#losses.shift();
		destroyAtDispatch(this.#opened, Math.floor(FEWEST_DISPATCHES * Math.random()));
	};
}

/** Dispatches of a step, at least: whichever of so many the GPU is lost at, the next step meets it. */
const FEWEST_DISPATCHES = 20;

describe("a GPU that is lost in the middle of a run", () => {
	it("is opened again, once, and the run ends where the uninterrupted one does, bit for bit", async () => {
		for (let trial = 0; trial < LOST; trial++) {
			await inFreshFolder(async (folder) => {
				const how = new Losing([1 + (trial % (STEPS - 1))]);
				const result = await train(await settingsOf(folder), how);
				expect(result.isFinished).toBe(true);
				expect(how.warnings).toEqual([expect.stringMatching(/^the GPU was lost; opening it again and going on from step \d/)]);
				await expectWhole(folder, "GPU lost", 1);
			});
		}
	});

	it("ends the run the second time, which says how to go on, and goes on", async () => {
		await inFreshFolder(async (folder) => {
			const settings = await settingsOf(folder);
			const error = await train(settings, new Losing([1, 2])).catch((e) => e);
			expect(error).toBeInstanceOf(RunError);
			expect(error).toMatchObject({ code: "run/stopped", hint: expect.stringMatching(/hushgrad resume .*run goes on from step \d/) });
			await resume(settings.output, { noise });
			await expectWhole(folder, "GPU lost", 2);
		});
	});
});

/** How a run meets a full disk: a real one where this process may mount one, else one that is pretended. */
const fullDisk = await findFullDisk();

describe("a disk that is full", () => {
	it("stops a run, wherever it is, and the run goes on to the same end once there is room", async () => {
		console.log(`a full disk is ${fullDisk.kind}`);
		for (let trial = 0; trial < FULL; trial++) {
			await inFreshFolder(async (folder) => {
				await fullDisk.on(folder, async (disk) => {
					writeCards(folder, 14);
					const settings = await settingsOf(folder);
					const onEvent = disk.fillAfter(1 + Math.floor((2 * STEPS - 2) * Math.random()));
					const error = await train(settings, { noise, onEvent }).catch((e) => e);
					expect(error).toMatchObject({ name: "RunError", code: "run/disk-full", hint: expect.stringContaining("hushgrad resume") });
					expect(Math.max(...(await ledgerOf(folder)).taken)).toBeGreaterThanOrEqual(drawn);
					disk.makeRoom();
					await resume(settings.output, { noise });
					await expectWhole(folder, fullDisk.fault, 1);
				});
			});
		}
	});
});
