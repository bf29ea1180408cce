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
	let dispatches = 0;
	const openDevice = async (): Promise<Device> => {
		const device = await requestDevice();
		const { destroy } = device.gpu;
		device.gpu.destroy = () => {
			dispatches = device.counters().dispatches;
			destroy.call(device.gpu);
		};
		return device;
	};
	await train(await settingsOf(folder), { noise, openDevice });
	return { ...trainedIn(folder), dispatches };
});

/** Opens a device whose GPU goes away just before its n-th dispatch. */
async function openFor(n: number): Promise<Device> {
	const device = await requestDevice();
	destroyAtDispatch(device, n);
	return device;
}

describe("a GPU that is lost in the middle of a run", () => {
	it("is opened again, once, and the run ends where the uninterrupted one does, bit for bit", async () => {
		const { dispatches, ...expected } = await whole;
		for (let trial = 0; trial < LOST; trial++) {
			await inFolder(async (folder) => {
				const settings = await settingsOf(folder);
				let opened = 0;
				const warnings: string[] = [];
				const result = await train(settings, {
					noise,
					// Not before the first checkpoint: what begins anew is no news.
					openDevice: () => (opened++ === 0 ? openFor(Math.floor(dispatches * (0.1 + 0.89 * Math.random()))) : requestDevice()),
					onEvent: (event: RunEvent) => event.kind === "warning" && warnings.push(event.message),
				});
				expect(result.isFinished).toBe(true);
				expect(warnings).toEqual([expect.stringMatching(/^the GPU was lost; opening it again and going on from step \d/)]);
				expect(trainedIn(folder)).toEqual(expected);
			});
		}
	});

	it("ends the run the second time, which says how to go on, and goes on", async () => {
		const { dispatches, ...expected } = await whole;
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder);
			const error = await train(settings, { noise, openDevice: () => openFor(Math.floor(dispatches * 0.3)) }).catch((e) => e);
			expect(error).toBeInstanceOf(RunError);
			expect(error).toMatchObject({ code: "run/stopped", hint: expect.stringMatching(/hushgrad resume .*run goes on from step \d/) });
			await resume(settings.output, { noise });
			expect(trainedIn(folder)).toEqual(expected);
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
		const { dispatches: _, ...expected } = await whole;
		for (let trial = 0; trial < FULL; trial++) {
			await inFolder(async (folder) => {
				const settings = await settingsOf(folder);
				// Two checkpoints and the adapter of this run have 250 kB.
				const room = 90_000 + Math.floor(150_000 * Math.random());
				const error = await withRoom(room, () => train(settings, { noise }).catch((e) => e));
				expect(error).toMatchObject({ name: "RunError", code: "run/disk-full", hint: expect.stringContaining("hushgrad resume") });
				await resume(settings.output, { noise });
				expect(trainedIn(folder)).toEqual(expected);
			});
		}
	});
});
