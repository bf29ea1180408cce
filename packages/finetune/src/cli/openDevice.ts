import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import type { Device } from "@hushgrad/tensor";
import { requestGpu } from "../run/requestGpu.ts";

/**
 * Opens the GPU without what Dawn's own code writes to stderr meanwhile, which says nothing to a user: two warnings about limits that it
 * lowers by itself.
 * @throws as `requestGpu`.
 */
export const openDevice = (gpu?: string): Promise<Device> => quietly(() => requestGpu(gpu));

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
