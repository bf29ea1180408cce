import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { type Device, requestDevice } from "@hushgrad/tensor";

/**
 * Opens the GPU without what Dawn's own code writes to stderr meanwhile, which says nothing to a user: two warnings about limits that it
 * lowers by itself. `gpu` is a part of its name, or its number; the first one when left out.
 * @throws DeviceError as `requestDevice`.
 */
export const openDevice = (gpu?: string): Promise<Device> =>
	quietly(() => requestDevice({ adapter: gpu !== undefined && /^\d+$/.test(gpu) ? Number(gpu) : gpu }));

const STDERR = 2;

/** Runs something while file descriptor 2 leads nowhere; where it cannot be opened again, a socket or on Windows, it stays as it is. */
export async function quietly<T>(run: () => Promise<T>): Promise<T> {
	const kept = tryOpen(`/dev/fd/${STDERR}`);
	if (kept === undefined) return run();
	redirect(devNull);
	try {
		return await run();
	} finally {
		redirect(`/dev/fd/${kept}`);
		closeSync(kept);
	}
}

/** Makes descriptor 2 another file: the one that is opened next takes the lowest number that is free. */
function redirect(path: string): void {
	closeSync(STDERR);
	openSync(path, "a");
}

function tryOpen(path: string): number | undefined {
	if (process.platform === "win32") return undefined;
	try {
		return openSync(path, "a");
	} catch {
		return undefined;
	}
}
