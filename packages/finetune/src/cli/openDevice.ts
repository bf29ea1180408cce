import { closeSync, fstatSync, openSync } from "node:fs";
import { devNull } from "node:os";
import type { Device } from "@hushgrad/tensor";
import { requestGpu } from "../run/requestGpu.ts";

/**
 * Opens the GPU without what Dawn's own code writes to stderr meanwhile, which says nothing to a user: two warnings about limits that it
 * lowers by itself.
 * @throws as `requestGpu`.
 */
export const openDevice = (gpu?: string): Promise<Device> => quietly(() => requestGpu(gpu));

const STDOUT = 1;
const STDERR = 2;

/**
 * Runs something while file descriptor 2 leads nowhere; where it cannot be opened again, a socket or on Windows, it stays as it is. So it does
 * where stdout goes to the same file (`> log 2>&1`): opened again it would have a place of its own there, and one would write over the other.
 */
export async function quietly<T>(run: () => Promise<T>): Promise<T> {
	const kept = isOneFile(STDOUT, STDERR) ? undefined : tryOpen(`/dev/fd/${STDERR}`);
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

function isOneFile(a: number, b: number): boolean {
	try {
		const [one, other] = [fstatSync(a), fstatSync(b)];
		return one.isFile() && one.dev === other.dev && one.ino === other.ino;
	} catch {
		return false;
	}
}

function tryOpen(path: string): number | undefined {
	if (process.platform === "win32") return undefined;
	try {
		return openSync(path, "a");
	} catch {
		return undefined;
	}
}
