import { mkdir, open, readdir, rm, stat, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { shellWord } from "../cli/shellWord.ts";
import { bytesText } from "../cli/units.ts";
import { RunError } from "./errors.ts";
import { runFiles } from "./runFolder.ts";
import { checkWritable } from "./writable.ts";

const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException).code);

const HINTS: Readonly<Record<string, string>> = {
	EACCES: "name a folder that you may write, with --output",
	EPERM: "name a folder that you may write, with --output",
	EROFS: "the file system is read-only: name a folder elsewhere, with --output",
	ENOTDIR: "a part of the path is a file: name another folder, with --output",
	EEXIST: "it is a file: name a folder, with --output",
	ENOSPC: "the disk is full: make room, or name a folder on another disk, with --output",
	ENAMETOOLONG: "name a shorter path, with --output",
};

function refused(folder: string, cause: unknown): RunError {
	const code = codeOf(cause);
	return new RunError("run/output", `the folder of the run cannot be made (${code})`, {
		path: folder,
		hint: HINTS[code] ?? "name another folder, with --output",
		cause,
	});
}

/** A folder that this run has for itself. */
export interface Claim {
	/** Gives up what was claimed, as long as nothing was spent: the folder is as it was. */
	release(): Promise<void>;
}

/**
 * Claims the folder of a run, which must not exist or be empty, by writing its settings there, and no other process can. Its parents are made.
 * @throws RunError (`run/output`, `run/exists`, `run/space`) where it cannot be, holds something, or there is less room than `bytes`.
 */
export async function claimFolder(folder: string, settings: string, bytes: number): Promise<Claim> {
	const path = resolve(folder);
	const first = await mkdir(path, { recursive: true }).catch((cause) => {
		throw refused(folder, cause);
	});
	const release = async (): Promise<void> => {
		await rm(first ?? path, { recursive: true, force: true });
		if (first === undefined) await mkdir(path, { recursive: true });
	};
	if (first === undefined) await checkEmpty(folder);
	try {
		await checkSpace(path, bytes);
		await writeOwn(runFiles(path).settings, settings);
	} catch (error) {
		if (error instanceof RunError && error.code === "run/exists") throw error;
		await release().catch(() => {});
		throw error instanceof RunError ? error : refused(folder, error);
	}
	return { release };
}

/** @throws RunError for a folder that no run can have: at once, before anything else is read. */
export async function checkFree(folder: string): Promise<void> {
	const info = await stat(folder).catch((cause) => {
		if (codeOf(cause) === "ENOENT") return undefined;
		throw refused(folder, cause);
	});
	if (info?.isFile()) throw refused(folder, Object.assign(new Error("it is a file"), { code: "EEXIST" }));
	if (info?.isDirectory()) await checkEmpty(folder);
	await checkWritable(folder).catch((cause) => {
		throw refused(folder, cause);
	});
}

async function checkEmpty(folder: string): Promise<void> {
	const names = await readdir(folder).catch((cause) => {
		throw refused(folder, cause);
	});
	if (names.length > 0) throw taken(folder, names.includes("settings.json"));
}

function taken(folder: string, isRun: boolean): RunError {
	return new RunError("run/exists", isRun ? "there is a run in this folder" : "the folder is not empty", {
		path: folder,
		hint: `${isRun ? `hushgrad resume ${shellWord(folder)} goes on with it; ` : ""}name another folder, with --output`,
	});
}

/** Makes a file that is not there yet. */
async function writeOwn(path: string, text: string): Promise<void> {
	const file = await open(path, "wx").catch((cause) => {
		throw codeOf(cause) === "EEXIST" ? taken(dirname(path), true) : cause;
	});
	try {
		await file.writeFile(text);
		await file.sync();
	} finally {
		await file.close();
	}
}

async function checkSpace(path: string, bytes: number): Promise<void> {
	const { bavail, bsize } = await statfs(path);
	const free = bavail * bsize;
	if (free >= bytes) return;
	throw new RunError("run/space", `the run will write ${bytesText(bytes)}, and the disk has ${bytesText(free)} left`, {
		path,
		hint: "make room, or name a folder on another disk, with --output",
	});
}
