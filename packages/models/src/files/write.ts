import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Writes a file whole or not at all: into a temporary file beside it, flushed to the disk, then renamed over it.
 */
export async function writeFileAtomic(path: string, pieces: string | readonly Uint8Array[]): Promise<void> {
	const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
	try {
		const file = await open(temporary, "wx");
		try {
			for (const piece of typeof pieces === "string" ? [Buffer.from(pieces)] : pieces) await file.writeFile(piece);
			await file.sync();
		} finally {
			await file.close();
		}
		await rename(temporary, path);
	} catch (error) {
		await rm(temporary, { force: true });
		throw error;
	}
}
