import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFixtures } from "../../tools/commandLine/fixtures.ts";
import { mountTmpfs, obeying, remountReadOnly } from "./mounted.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "hushgrad-"));
const undo: (() => void)[] = [];

/** A folder on a file system of its own that is read-only or has next to no room; undefined where nothing can be mounted. */
function place(name: string, options: string, fill: (path: string) => void = () => {}): string | undefined {
	const path = join(folder, name);
	mkdirSync(path);
	const unmount = mountTmpfs(path, options);
	if (unmount === undefined) return undefined;
	undo.push(unmount);
	fill(path);
	return path;
}

const TRAIN = ["--data", "cards.csv", "--model", "model", "--records", "54"];
const prefix = obeying();
const readOnly = place("read-only", "size=1m", (path) => {
	writeFileSync(join(path, "cards.csv"), "question,answer\nWhat?,That.\n");
});
const small = place("small", "size=64k");

/** What is typed, what it has to end with, and what it has to say. */
type Line = readonly [what: string, args: readonly string[], says: RegExp];
const lines: readonly Line[] = [
	["a command that there is not", ["plna"], /there is no command "plna"; did you mean plan\?/],
	[
		"three broken records of 33,955",
		["train", "--data", "three-broken.csv", ...TRAIN.slice(2)],
		/3 of 33955 records are broken:.*row 9:.*row 20002:.*row 33956:/s,
	],
	["a model without tokenizer", ["chat", "no-tokenizer"], /no tokenizer\.model/],
	["torn weights", ["train", "--model", "torn-weights", ...TRAIN.slice(0, 2), ...TRAIN.slice(4)], /the file is cut short/],
	["an adapter of another base", ["generate", "other-adapter", "--prompt", "Why?"], /lora_A\.weight is \[2, 64\], expected \[2, 96\]/],
	["a ledger that was changed", ["train", ...TRAIN, "--ledger", "changed.ledger"], /the ledger was changed: line 1/],
	...(prefix === undefined
		? []
		: [
				["an output without permission", ["train", ...TRAIN, "--output", "locked/run"], /cannot be made \(EACCES\).*may write/s] as const,
				["data without permission", ["plan", "--data", "secret.csv", ...TRAIN.slice(2)], /EACCES/] as const,
				[
					"a ledger without permission",
					["train", ...TRAIN, "--ledger", "locked/ledger"],
					/cannot be written \(EACCES\).*--ledger/s,
				] as const,
			]),
	...(readOnly === undefined
		? []
		: [
				[
					"a read-only output",
					["train", ...TRAIN, "--output", "read-only/run"],
					/cannot be made \(EROFS\).*the file system is read-only/s,
				] as const,
				[
					"data in a read-only folder, where no ledger can lie",
					["train", "--data", "read-only/cards.csv", ...TRAIN.slice(2)],
					/the ledger of what is spent.*\(EROFS\).*with --ledger/s,
				] as const,
			]),
	...(small === undefined
		? []
		: [["a disk without room", ["train", ...TRAIN, "--output", "small/run"], /will write .*the disk has 6\d KiB/s] as const]),
];

interface Ended {
	readonly code: number | null;
	readonly out: string;
	readonly err: string;
	readonly seconds: number;
}

function hushgrad(args: readonly string[]): Promise<Ended> {
	const node = [process.execPath, "--import", import.meta.resolve("tsx"), "-C", "@hushgrad/source"];
	const [command = "", ...rest] = [...(prefix ?? []), ...node, join(root, "packages/finetune/src/bin.ts"), ...args];
	const started = performance.now();
	return new Promise((resolve, reject) => {
		const child = spawn(command, rest, {
			cwd: folder,
			stdio: ["ignore", "pipe", "pipe"],
			env: { ...process.env, COLUMNS: "1000" },
			timeout: 60_000,
		});
		const text = { out: "", err: "" };
		child.stdout.on("data", (t) => {
			text.out += t;
		});
		child.stderr.on("data", (t) => {
			text.err += t;
		});
		child.on("error", reject);
		child.on("close", (code) => resolve({ ...text, code, seconds: (performance.now() - started) / 1000 }));
	});
}

beforeAll(async () => {
	await makeFixtures(root, folder);
	mkdirSync(join(folder, "locked"));
	chmodSync(join(folder, "locked"), 0o500);
	cpSync(join(folder, "cards.csv"), join(folder, "secret.csv"));
	chmodSync(join(folder, "secret.csv"), 0o000);
	if (readOnly !== undefined) remountReadOnly(readOnly);
});
afterAll(() => {
	for (const one of undo) one();
	rmSync(folder, { recursive: true, force: true });
});

describe("command lines with something wrong in them, as processes of their own", () => {
	const times: number[] = [];
	it.each(lines)("%s", { timeout: 120_000 }, async (_, args, says) => {
		const { code, out, err, seconds } = await hushgrad(args);
		times.push(seconds);
		expect({ code, out }, err).toEqual({ code: 2, out: "" });
		expect(err).toMatch(says);
		expect(err.match(/^error: /gm)).toHaveLength(1);
		expect(err).not.toMatch(/\n\s+at |a fault of its own|Warning|\[object|undefined|opening the GPU/);
	});

	it("are answered in seconds", () => {
		const sorted = times.sort((a, b) => a - b);
		console.log(
			`${times.length} processes, start of Node included: median ${sorted[times.length >> 1]?.toFixed(2)} s, slowest ${sorted.at(-1)?.toFixed(2)} s`,
		);
	});
});
