import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { writeFileAtomic } from "@hushgrad/nn/files";

/** Flushes a folder: the names in it have reached the disk. Where folders cannot be opened (Windows) names are flushed with the files. */
export async function syncFolder(path: string): Promise<void> {
	if (process.platform === "win32") return;
	const handle = await open(path, "r");
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}

/** SHA-256 of files, one after the other, in hex; `onBytes` is told what was read. */
export async function hashFiles(paths: readonly string[], onBytes?: (bytes: number) => void): Promise<string> {
	const hash = createHash("sha256");
	for (const path of paths) {
		for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) {
			hash.update(piece);
			onBytes?.(piece.length);
		}
	}
	return hash.digest("hex");
}

/** A line of JSON for each step. */
export class StepLines {
	readonly #path: string;

	constructor(path: string) {
		this.#path = path;
	}

	/** Adds a line; it is on the disk when the promise resolves. */
	async append(entry: { readonly step: number; readonly [name: string]: unknown }): Promise<void> {
		const file = await open(this.#path, "a");
		try {
			await file.appendFile(`${JSON.stringify(entry)}\n`);
			await file.datasync();
		} finally {
			await file.close();
		}
	}

	/** Takes the lines of later steps off, and one that was not finished. */
	async keepUpTo(step: number): Promise<void> {
		const text = await readFile(this.#path, "utf8").catch(() => "");
		const lines = text.split("\n").slice(0, -1);
		const end = lines.findIndex((line) => !((JSON.parse(line) as { readonly step: number }).step <= step));
		const kept = lines.slice(0, end < 0 ? undefined : end).map((line) => `${line}\n`);
		await writeFileAtomic(this.#path, kept.join(""));
	}
}
