import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunEvent } from "@hushgrad/finetune";
import type { Fault } from "../../tools/kills/results.ts";
import { mountTmpfs } from "./mounted.ts";

/** A disk that becomes full. */
export interface Disk {
	/** What a run is to be watched with: after so many steps and checkpoints the disk has room for little or nothing more. */
	fillAfter(events: number): (event: RunEvent) => void;
	/** There is room again. */
	makeRoom(): void;
}

/** Ways to have one. */
export interface FullDisk {
	/** What is told of it. */
	readonly kind: string;
	/** What it is in the results. */
	readonly fault: Fault;
	/** Works with one on which `folder` lies, empty. */
	on(folder: string, act: (disk: Disk) => Promise<void>): Promise<void>;
}

/** Bytes that are left, at most: less than a checkpoint and an adapter have. */
const LEFT = 40_000;

/** Calls `fill` after so many steps and checkpoints. */
function after(events: number, fill: () => void): (event: RunEvent) => void {
	let seen = 0;
	return ({ kind }) => {
		if ((kind === "step" || kind === "saved") && ++seen === events) fill();
	};
}

/** A file system in memory of four megabytes, filled up by a file beside the run. */
const TMPFS: FullDisk = {
	kind: "a tmpfs of 4 MB, filled",
	fault: "disk full (tmpfs)",
	on: async (folder, act) => {
		const unmount = mountTmpfs(folder, "size=4m");
		if (unmount === undefined) throw new Error("the tmpfs cannot be mounted any more");
		const filler = join(folder, "filler");
		const fill = (): void => {
			const { bavail, bsize } = statfsSync(folder);
			writeFileSync(filler, new Uint8Array(Math.max(0, bavail * bsize - Math.floor(LEFT * Math.random()))));
		};
		try {
			await act({ fillAfter: (events) => after(events, fill), makeRoom: () => rmSync(filler) });
		} finally {
			unmount();
		}
	},
};

/** Every disk, but what is written by a file handle is refused once so many bytes were, the last in part. */
const PRETENDED: FullDisk = {
	kind: "pretended, for nothing can be mounted here",
	fault: "disk full (pretended)",
	on: async (_, act) => {
		const own = await open(import.meta.filename);
		const handle = Object.getPrototypeOf(own) as Record<"writeFile" | "appendFile", FileHandle["writeFile"]>;
		await own.close();
		const { writeFile, appendFile } = handle;
		let left = Number.POSITIVE_INFINITY;
		async function write(this: FileHandle, data: string | Uint8Array): Promise<void> {
			const buffer = Buffer.from(data as Uint8Array);
			const part = buffer.subarray(0, Math.max(0, left));
			left -= buffer.length;
			await writeFile.call(this, part);
			if (part.length < buffer.length) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
		}
		Object.assign(handle, { writeFile: write, appendFile: write });
		const fill = (): void => {
			left = Math.floor(LEFT * Math.random());
		};
		const makeRoom = (): void => {
			left = Number.POSITIVE_INFINITY;
		};
		try {
			await act({ fillAfter: (events) => after(events, fill), makeRoom });
		} finally {
			Object.assign(handle, { writeFile, appendFile });
		}
	},
};

/** A real one where this process may mount one. */
export async function findFullDisk(): Promise<FullDisk> {
	const folder = mkdtempSync(join(tmpdir(), "disk-"));
	try {
		const unmount = mountTmpfs(folder, "size=4m");
		unmount?.();
		return unmount === undefined ? PRETENDED : TMPFS;
	} finally {
		rmSync(folder, { recursive: true });
	}
}
