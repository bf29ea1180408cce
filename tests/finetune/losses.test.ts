import { type FileHandle, open } from "node:fs/promises";
import { insecureNoiseForTests } from "@hushgrad/dp";
import { RunError, type RunEvent, resume, train } from "@hushgrad/finetune";
import { type Device, requestDevice } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { destroyAtDispatch } from "../support/lostDevice.ts";
import { notedIn, trainedIn } from "./killedRun.ts";
import { inFolder, STEPS, settingsOf } from "./tinyRun.ts";

/** How many devices are lost, and how often the disk is full: once or twice in every suite, `npm run kills:run` for long. */
const LOST = Number(process.env.HUSHGRAD_LOST ?? 1);
const FULL = Number(process.env.HUSHGRAD_FULL ?? 1);

const noise = insecureNoiseForTests(7);

const whole = inFolder(async (folder) => {
	await train(await settingsOf(folder), { noise });
	return trainedIn(folder);
});

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
			await inFolder(async (folder) => {
				const how = new Losing([1 + (trial % (STEPS - 1))]);
				const result = await train(await settingsOf(folder), how);
				expect(result.isFinished).toBe(true);
				expect(how.warnings).toEqual([expect.stringMatching(/^the GPU was lost; opening it again and going on from step \d/)]);
				expect(trainedIn(folder)).toEqual(await whole);
			});
		}
	});

	it("ends the run the second time, which says how to go on, and goes on", async () => {
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder);
			const error = await train(settings, new Losing([1, 2])).catch((e) => e);
			expect(error).toBeInstanceOf(RunError);
			expect(error).toMatchObject({ code: "run/stopped", hint: expect.stringMatching(/hushgrad resume .*run goes on from step \d/) });
			await resume(settings.output, { noise });
			expect(trainedIn(folder)).toEqual(await whole);
			expect(await notedIn(folder)).toEqual([STEPS]);
		});
	});
});

/** Runs `act` on a disk that has room for so many more bytes: what exceeds them is written in part, and refused. */
async function withRoom<T>(bytes: number, act: () => Promise<T>): Promise<T> {
	const own = await open(import.meta.filename);
	const handle = Object.getPrototypeOf(own) as Record<"writeFile" | "appendFile", FileHandle["writeFile"]>;
	await own.close();
	const { writeFile, appendFile } = handle;
	let left = bytes;
	async function write(this: FileHandle, data: string | Uint8Array): Promise<void> {
		const buffer = Buffer.from(data as Uint8Array);
		const part = buffer.subarray(0, Math.max(0, left));
		left -= buffer.length;
		await writeFile.call(this, part);
		if (part.length < buffer.length) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
	}
	Object.assign(handle, { writeFile: write, appendFile: write });
	try {
		return await act();
	} finally {
		Object.assign(handle, { writeFile, appendFile });
	}
}

describe("a disk that is full", () => {
	it("stops a run, wherever it is, and the run goes on to the same end once there is room", async () => {
		for (let trial = 0; trial < FULL; trial++) {
			await inFolder(async (folder) => {
				const settings = await settingsOf(folder);
				// Two checkpoints and the adapter of this run have 250 kB.
				const room = 90_000 + Math.floor(150_000 * Math.random());
				const error = await withRoom(room, () => train(settings, { noise }).catch((e) => e));
				expect(error).toMatchObject({ name: "RunError", code: "run/disk-full", hint: expect.stringContaining("hushgrad resume") });
				await resume(settings.output, { noise });
				expect(trainedIn(folder)).toEqual(await whole);
			});
		}
	});
});
