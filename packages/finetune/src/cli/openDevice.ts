import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
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

/**
 * Runs something while file descriptor 2 leads nowhere; where it cannot be opened again, a socket or on Windows, or would have another place in
 * its file then, it stays as it is.
 */
export async function quietly<T>(run: () => Promise<T>): Promise<T> {
	const kept = keepsItsPlace(STDERR) ? tryOpen(`/dev/fd/${STDERR}`) : undefined;
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

/**
 * Whether a descriptor that is opened again writes where it did before. On Linux a file has a place of its own with each opening, which all who
 * were given a descriptor share (`(one; two) 2> log`): who opens it again overwrites the others, unless the file is appended to.
 */
function keepsItsPlace(descriptor: number): boolean {
	try {
		if (process.platform !== "linux" || !fstatSync(descriptor).isFile()) return true;
		const [, flags = "0"] = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8")) ?? [];
		return (Number.parseInt(flags, 8) & constants.O_APPEND) !== 0;
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
