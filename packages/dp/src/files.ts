import { type FileHandle, mkdir, open, readFile, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { PrivacyError } from "@hushgrad/tensor";
import { named } from "@hushgrad/tensor/author";
import { type LedgerStore, PrivacyLedger } from "./ledger.ts";

/* Ledgers in files, for Node, Deno and Bun: an entry of its own, so that the others stay free of the file system. */

/** A ledger in a file, held by this process alone until `close`. */
export interface FileLedger {
	/** The ledger. */
	readonly ledger: PrivacyLedger;
	/** Lets the file go. */
	close(): Promise<void>;
}

/** Whether a process is alive, as far as this one may know. */
function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
}

const inUse = (by: string, hint: string, cause?: unknown): PrivacyError =>
	new PrivacyError("privacy/ledger-in-use", `the ledger is in use ${by}`, { hint, cause });

/** Nothing is cut off here: whoever shares the file by another name may have written behind the torn line, and taken its step. */
const broken = (cause: unknown): PrivacyError =>
	new PrivacyError("privacy/ledger-write", "an entry before was not written, or not as a whole: its line may be torn", {
		hint: "see to what the file system said (the cause), then close this ledger and open it again: it drops a torn line, and the run goes on from its state",
		cause,
	});

/** Locks that this process holds. */
const HELD = new Set<string>();

/** Makes the lock of a file, over one that a dead process has left. */
async function lock(path: string): Promise<void> {
	for (let tries = 0; ; tries++) {
		try {
			const file = await open(path, "wx");
			await file.writeFile(`${process.pid}`);
			await file.close();
			HELD.add(path);
			return;
		} catch (cause) {
			if ((cause as NodeJS.ErrnoException).code !== "EEXIST" || tries > 2) throw cause;
			const pid = Number(await readFile(path, "utf8").catch(() => ""));
			const isOwn = pid === process.pid;
			if (isOwn ? HELD.has(path) : pid > 0 && isAlive(pid)) {
				throw inUse(`by process ${pid}`, `wait for it to end; if no such run exists, remove ${path}`, cause);
			}
			await rm(path, { force: true });
		}
	}
}

async function unlock(path: string): Promise<void> {
	HELD.delete(path);
	await rm(path, { force: true });
}

/** Cuts off what follows the last whole line: an entry that was being written when its process ended. */
async function dropTorn(file: FileHandle): Promise<void> {
	const text = await file.readFile();
	const end = text.lastIndexOf(10) + 1;
	if (end < text.length) await file.truncate(end);
}

/**
 * Opens or begins the ledger in a file, whose folder is made. Each entry is flushed to the disk before its step is taken; after one that could
 * not be written no other is (`privacy/ledger-write`), until the file is opened again. One process at a time: a lock lies beside it, `PATH.lock`.
 * @throws PrivacyError when another process holds it (`privacy/ledger-in-use`); FormatError when it was changed (`privacy/ledger`); what
 * the file system does.
 */
export const fileLedger = named("fileLedger", async (path: string): Promise<FileLedger> => {
	const lockPath = resolve(`${path}.lock`);
	await mkdir(dirname(lockPath), { recursive: true });
	await lock(lockPath);
	let file: FileHandle | undefined;
	try {
		file = await open(path, "a+");
		await dropTorn(file);
		const held = file;
		let { size } = await held.stat();
		let failure: unknown;
		const store: LedgerStore = {
			read: () => readFile(path, "utf8"),
			append: async (text) => {
				if (failure !== undefined) throw broken(failure);
				if ((await held.stat()).size !== size)
					throw inUse("by another process, which has written to it", "end one of them, and open it again");
				try {
					await held.appendFile(text);
					await held.datasync();
				} catch (cause) {
					failure = cause;
					throw cause;
				}
				size += Buffer.byteLength(text);
			},
		};
		const ledger = await PrivacyLedger.open(store);
		return {
			ledger,
			close: async () => {
				await held.close();
				await unlock(lockPath);
			},
		};
	} catch (error) {
		await file?.close();
		await unlock(lockPath);
		throw error;
	}
});
