import {
	appendFileSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	type RmOptions,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { planPrivacy } from "@hushgrad/dp";
import { fileLedger } from "@hushgrad/dp/files";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";

/** Stands between a ledger and the file system. */
interface Disk {
	opened: string[];
	open?: () => Promise<never>;
	rm?: (file: string, options: RmOptions, rm: (file: string, options: RmOptions) => Promise<void>) => Promise<void>;
}
// The files of a run share their modules: these have their own, of which some are other ones.
vi.hoisted(() => vi.resetModules());
afterAll(() => void vi.resetModules());
const disk = vi.hoisted((): Disk => ({ opened: [] }));
vi.mock("node:fs/promises", async (original) => {
	const fs = await original<typeof import("node:fs/promises")>();
	return {
		...fs,
		open: (path: string, flags: string) => {
			disk.opened.push(path);
			return disk.open?.() ?? fs.open(path, flags);
		},
		rm: (path: string, options: RmOptions) => disk.rm?.(path, options, fs.rm) ?? fs.rm(path, options),
	};
});

/* Full batches, whose ε has a closed form. */
const settings = { targetDelta: 1e-4, datasetSize: 100, expectedBatchSize: 100, steps: 5, maxGradNorm: 1 };
const plan = planPrivacy({ ...settings, noiseMultiplier: 1.5 });

describe("a ledger in a file", () => {
	const inUse = (pid: number, path: string) => ({
		...{ name: "PrivacyError", code: "privacy/ledger-in-use", cause: { code: "EEXIST" } },
		message: expect.stringContaining(`the ledger is in use by process ${pid}`),
		hint: `wait for it to end; if no such run exists, remove ${path}.lock`,
	});
	let folder = "";
	beforeEach(() => {
		folder = mkdtempSync(join(tmpdir(), "ledger-"));
	});
	afterEach(() => {
		rmSync(folder, { recursive: true });
		Object.assign(disk, { opened: [], open: undefined, rm: undefined });
	});

	it("is held by one at a time, and let go", async () => {
		const path = join(folder, "ledger.jsonl");
		const first = await fileLedger(path);
		await expect(fileLedger(path)).rejects.toMatchObject({ name: "PrivacyError", code: "privacy/ledger-in-use" });
		await first.ledger.begin("a", "cards", plan, true);
		await first.close();
		expect(existsSync(`${path}.lock`)).toBe(false);
		const second = await fileLedger(path);
		expect(second.ledger.length).toBe(1);
		await second.close();
	});

	it("is written by one hand: who opened it in spite of a lock, by another name or from another machine, stops the other", async () => {
		const path = join(folder, "ledger.jsonl");
		const first = await fileLedger(path);
		await first.ledger.begin("a", "cards", plan, true);
		symlinkSync(path, join(folder, "alias.jsonl"));
		const second = await fileLedger(join(folder, "alias.jsonl"));
		await second.ledger.begin("b", "cards", plan, true);
		await expect(first.ledger.step("a", 1)).rejects.toMatchObject({
			...{ name: "PrivacyError", code: "privacy/ledger-in-use" },
			message: expect.stringContaining("in use by another process, which has written to it"),
			hint: "end one of them, and open it again",
		});
		await second.ledger.step("b", 1);
		await first.close();
		await second.close();
		const third = await fileLedger(path);
		expect(third.ledger.runsOn("cards").map((r) => [r.run, r.taken])).toEqual([
			["a", 0],
			["b", 1],
		]);
		await third.close();
	});

	it.each([
		["nothing of it", 0],
		["a part of it", 40],
		["all but the end of the line", -1],
		["all of it, which may not have reached the disk", undefined],
	])("after an entry that could not be written writes no other, until it is opened again: %s was written", async (_, part) => {
		const path = join(folder, "ledger.jsonl");
		const first = await fileLedger(path);
		await first.ledger.begin("a", "cards", plan, true);
		await first.ledger.step("a", 1);
		const whole = readFileSync(path, "utf8");
		const probe = await open(path);
		const handle = Object.getPrototypeOf(probe) as typeof probe;
		await probe.close();
		const full = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
		vi.spyOn(handle, "appendFile").mockImplementationOnce(async (text) => {
			appendFileSync(path, (text as string).slice(0, part));
			if (part !== undefined) throw full;
		});
		vi.spyOn(handle, "datasync").mockRejectedValueOnce(full);
		await expect(first.ledger.step("a", 2)).rejects.toBe(full);
		vi.restoreAllMocks();
		const torn = readFileSync(path, "utf8");
		for (const act of [() => first.ledger.step("a", 2), () => first.ledger.begin("b", "cards", plan, true)]) {
			await expect(act()).rejects.toMatchObject({
				...{ name: "PrivacyError", code: "privacy/ledger-write", cause: full },
				message: expect.stringContaining("its line may be torn"),
				hint: expect.stringContaining("open it again"),
			});
		}
		expect(readFileSync(path, "utf8")).toBe(torn);
		await first.close();
		const second = await fileLedger(path);
		expect(second.ledger.run("a")?.taken).toBe(part === undefined ? 2 : 1);
		await second.ledger.step("a", part === undefined ? 3 : 2);
		await second.close();
		if (part !== undefined) expect(readFileSync(path, "utf8").startsWith(whole)).toBe(true);
		const third = await fileLedger(path);
		expect(third.ledger.run("a")?.taken).toBe(part === undefined ? 3 : 2);
		await third.close();
	});

	it("takes over from a process that has died, and drops an entry that was cut off while it was written", async () => {
		const path = join(folder, "ledger.jsonl");
		const first = await fileLedger(path);
		await first.ledger.begin("a", "cards", plan, true);
		await first.ledger.step("a", 1);
		await first.close();
		writeFileSync(`${path}.lock`, "999999999");
		const whole = readFileSync(path, "utf8");
		appendFileSync(path, whole.split("\n")[1].slice(0, 80));
		const second = await fileLedger(path);
		expect([second.ledger.length, readFileSync(path, "utf8")]).toEqual([2, whole]);
		await second.ledger.step("a", 2);
		await second.close();
		writeFileSync(path, whole.replace('"step":1', '"step":2'));
		await expect(fileLedger(path)).rejects.toMatchObject({ code: "privacy/ledger" });
		expect(existsSync(`${path}.lock`)).toBe(false);
	});

	it("is made with its folder, and its lock names this process", async () => {
		const path = join(folder, "deep", "er", "ledger.jsonl");
		const first = await fileLedger(path);
		expect(readFileSync(`${path}.lock`, "utf8")).toBe(String(process.pid));
		expect(readFileSync(path, "utf8")).toBe("");
		await expect(fileLedger(path)).rejects.toMatchObject(inUse(process.pid, path));
		await expect(fileLedger(relative(process.cwd(), path))).rejects.toMatchObject({ code: "privacy/ledger-in-use" });
		await first.close();
		await (await fileLedger(path)).close();
	});

	it("is held by a process that lives, also one that is another user's", async () => {
		const path = join(folder, "ledger.jsonl");
		writeFileSync(`${path}.lock`, String(process.ppid));
		await expect(fileLedger(path)).rejects.toMatchObject(inUse(process.ppid, path));
		const kill = vi.spyOn(process, "kill").mockImplementation(() => {
			throw Object.assign(new Error("not permitted"), { code: "EPERM" });
		});
		await expect(fileLedger(path)).rejects.toMatchObject(inUse(process.ppid, path));
		expect(kill).toHaveBeenCalledWith(process.ppid, 0);
		kill.mockRestore();
		expect(existsSync(path)).toBe(false);
	});

	it("takes over a lock that names no process, or this one from a time before", async () => {
		const path = join(folder, "ledger.jsonl");
		for (const left of ["", "nonsense", "-5", "0", String(process.pid)]) {
			writeFileSync(`${path}.lock`, left);
			await (await fileLedger(path)).close();
			expect(existsSync(`${path}.lock`)).toBe(false);
		}
	});

	it("tries four times to take over a lock that comes again, and once where it cannot be made", async () => {
		const path = join(folder, "ledger.jsonl");
		writeFileSync(`${path}.lock`, "999999999");
		disk.rm = async () => {};
		await expect(fileLedger(path)).rejects.toMatchObject({ code: "EEXIST" });
		expect(disk.opened).toEqual(new Array(4).fill(`${path}.lock`));
		disk.opened = [];
		disk.open = async () => {
			throw Object.assign(new Error("denied"), { code: "EACCES" });
		};
		await expect(fileLedger(path)).rejects.toMatchObject({ code: "EACCES" });
		expect(disk.opened.length).toBe(1);
	});

	it("does not mind that a lock has gone before it is removed", async () => {
		const path = join(folder, "ledger.jsonl");
		writeFileSync(`${path}.lock`, "999999999");
		disk.rm = async (file, options, rm) => {
			rmSync(file, { force: true });
			await rm(file, options);
		};
		const first = await fileLedger(path);
		rmSync(`${path}.lock`);
		await first.close();
	});

	it("gives up on a lock that cannot be removed, and on a folder that cannot be", async () => {
		const path = join(folder, "ledger.jsonl");
		mkdirSync(`${path}.lock`);
		await expect(fileLedger(path)).rejects.toMatchObject({ code: expect.stringMatching(/^(EISDIR|ERR_FS_EISDIR|EEXIST)$/) });
		writeFileSync(join(folder, "file"), "");
		await expect(fileLedger(join(folder, "file", "ledger.jsonl"))).rejects.toMatchObject({ code: expect.stringMatching(/ENOTDIR|EEXIST/) });
	});

	it("is let go when it cannot be opened", async () => {
		const path = join(folder, "taken");
		mkdirSync(path);
		await expect(fileLedger(path)).rejects.toMatchObject({ code: "EISDIR" });
		expect(existsSync(`${path}.lock`)).toBe(false);
	});

	it("cuts off nothing of a file that ends with a whole line, and all of one that has none", async () => {
		const path = join(folder, "ledger.jsonl");
		const first = await fileLedger(path);
		await first.ledger.begin("a", "cards", plan, true);
		await first.close();
		const whole = readFileSync(path, "utf8");
		for (const [text, kept] of [
			[whole, whole],
			[whole.slice(0, 30), ""],
			[`${whole}x`, whole],
		]) {
			writeFileSync(path, text);
			await (await fileLedger(path)).close();
			expect(readFileSync(path, "utf8")).toBe(kept);
		}
	});
});
