import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { PrivacyLedger } from "@hushgrad/dp";
import { FormatError } from "@hushgrad/tensor";
import { firstLine, RunError } from "./errors.ts";
import { checkWritable } from "./writable.ts";

const HINTS: Readonly<Record<string, string>> = {
	EACCES: "name a file in a folder that you may write, with --ledger",
	EPERM: "name a file in a folder that you may write, with --ledger",
	EROFS: "the file system is read-only: name a file elsewhere, with --ledger; keep it, for it adds up what all runs on this data spend",
	ENOTDIR: "a part of the path is a file: name another one, with --ledger",
	EISDIR: "it is a folder: name a file, with --ledger",
	ENAMETOOLONG: "name a shorter path, with --ledger",
};

/**
 * Looks, without a trace, whether a run can note its steps in a file: it, or the folder that it would be in, may be written, and what is in it
 * is a ledger.
 * @throws RunError (`run/ledger`) where it cannot, or the ledger was changed.
 */
export async function checkLedger(path: string): Promise<void> {
	try {
		const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
			if (error.code !== "ENOENT") throw error;
			return undefined;
		});
		if (info?.isDirectory()) throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
		await checkWritable(path);
		// A lock is made beside it.
		await checkWritable(dirname(path));
		const text = info === undefined ? "" : await readFile(path, "utf8");
		await PrivacyLedger.open({ read: async () => text, append: async () => {} });
	} catch (cause) {
		if (cause instanceof FormatError) throw new RunError("run/ledger", firstLine(cause), { path, hint: cause.hint, cause });
		const code = String((cause as NodeJS.ErrnoException).code);
		throw new RunError("run/ledger", `the ledger of what is spent on this data cannot be written (${code})`, {
			path,
			hint: HINTS[code] ?? "name another file, with --ledger",
			cause,
		});
	}
}
