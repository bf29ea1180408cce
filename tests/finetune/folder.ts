import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";

/** A folder of the tests of a file, removed after them. */
export function useFolder() {
	let folder: string;
	beforeAll(async () => {
		folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
	});
	afterAll(() => rm(folder, { recursive: true }));
	return {
		path: () => folder,
		/** Writes a file into it: its path. */
		file: async (name: string, text: string): Promise<string> => {
			const path = join(folder, name);
			await writeFile(path, text);
			return path;
		},
	};
}
