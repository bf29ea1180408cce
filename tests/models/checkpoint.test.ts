import type { FileHandle } from "node:fs/promises";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Checkpoint, openCheckpoint } from "@hushgrad/models";
import { encodeSafetensors, type TensorData } from "@hushgrad/nn";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { CHECKPOINT } from "../../packages/models/src/files/checkpoint.ts";

/** Files that were opened; each read gives 5 bytes at most, as a file system may. */
// The files of a run share their modules: these have their own, of which some are other ones.
vi.hoisted(() => vi.resetModules());
afterAll(() => void vi.resetModules());
const opened = vi.hoisted((): FileHandle[] => []);
vi.mock("node:fs/promises", async (original) => {
	const fs = await original<typeof import("node:fs/promises")>();
	const open = async (...args: Parameters<typeof fs.open>) => {
		const file = await fs.open(...args);
		opened.push(file);
		const read = file.read.bind(file) as (b: Uint8Array, at: number, length: number, from: number) => unknown;
		return Object.assign(file, { read: (b: Uint8Array, at: number, n: number, from: number) => read(b, at, Math.min(n, 5), from) });
	};
	return { ...fs, open };
});

const folders: string[] = [];
let folder = "";
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
	folders.push(folder);
	opened.length = 0;
});
afterAll(() => Promise.all(folders.map((f) => rm(f, { recursive: true }))));

const INDEX = "model.safetensors.index.json";
const bytes = (...values: number[]): TensorData => ({ dtype: "U8", shape: [values.length], data: Uint8Array.from(values) });
const write = (name: string, tensors: Record<string, TensorData>) =>
	writeFile(join(folder, name), Buffer.concat(encodeSafetensors(new Map(Object.entries(tensors)))));
const writeIndex = (weight_map: unknown) => writeFile(join(folder, INDEX), JSON.stringify({ metadata: {}, weight_map }));
const areClosed = () => expect(opened.map((f) => f.fd)).toEqual(opened.map(() => -1));

const ELEVEN = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
async function isA(checkpoint: Checkpoint): Promise<void> {
	expect([...checkpoint.names()].sort()).toEqual(["a", "b"]);
	expect(checkpoint.info("a")).toMatchObject({ dtype: "U8", shape: [11] });
	expect([...(await checkpoint.read("a"))]).toEqual(ELEVEN);
	expect([...(await checkpoint.read("b"))]).toEqual([20, 21]);
	expect(opened.every((f) => f.fd === -1)).toBe(false);
	await checkpoint.close();
	areClosed();
}

describe("openCheckpoint", () => {
	it("opens model.safetensors, before an index", async () => {
		await write("model.safetensors", { a: bytes(...ELEVEN), b: bytes(20, 21) });
		await isA(await openCheckpoint(folder));
		await writeIndex({ c: "none.safetensors" });
		await isA(await openCheckpoint(folder));
		expect(opened.length).toBe(2);
	});

	it("opens the shards that an index names, each once", async () => {
		await write("one.safetensors", { a: bytes(...ELEVEN) });
		await write("two.safetensors", { b: bytes(20, 21) });
		await writeIndex({ b: "two.safetensors", a: "one.safetensors" });
		await isA(await openCheckpoint(folder));
		await write("one.safetensors", { a: bytes(...ELEVEN), b: bytes(20, 21) });
		await writeIndex({ b: "one.safetensors", a: "one.safetensors" });
		opened.length = 0;
		await isA(await openCheckpoint(folder));
		expect(opened.length).toBe(1);
	});

	it("opens a file by its name, before any other", async () => {
		await write("other.safetensors", { a: bytes(...ELEVEN), b: bytes(20, 21) });
		await write("model.safetensors", {});
		await writeIndex({});
		await isA(await openCheckpoint(folder, "other.safetensors"));
		await rm(join(folder, "model.safetensors"));
		await isA(await openCheckpoint(folder, "other.safetensors"));
	});

	it("says which file is missing", async () => {
		const missing = {
			name: "FormatError",
			code: "file/missing",
			op: "openCheckpoint",
			hint: "name a directory as save_pretrained writes it",
		};
		await expect(openCheckpoint(folder)).rejects.toMatchObject({
			...{ ...missing, path: join(folder, "model.safetensors"), cause: { code: "ENOENT" } },
			message: expect.stringContaining("openCheckpoint: model.safetensors cannot be read"),
		});
		await writeIndex({ a: "gone.safetensors" });
		await expect(openCheckpoint(folder)).rejects.toMatchObject({ ...missing, path: join(folder, "gone.safetensors") });
		await expect(openCheckpoint(folder, "x")).rejects.toMatchObject({ ...missing, path: join(folder, "x") });
		await writeFile(join(folder, INDEX), "[");
		await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: "file/json", path: join(folder, INDEX) });
	});

	it("closes a file that is none, and says so", async () => {
		await writeFile(join(folder, "model.safetensors"), "123456789");
		await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: "safetensors/header", path: join(folder, "model.safetensors") });
		expect(opened.length).toBe(1);
		areClosed();
	});

	it("says that a file became shorter since it was opened", async () => {
		await write("model.safetensors", { a: bytes(...ELEVEN), b: bytes(20, 21) });
		const checkpoint = await openCheckpoint(folder);
		await truncate(join(folder, "model.safetensors"), (await opened[0].stat()).size - 1);
		await expect(checkpoint.read("b")).rejects.toMatchObject({
			...{ name: "FormatError", code: "file/changed", path: join(folder, "model.safetensors") },
			message: expect.stringContaining("the file became shorter while it was read"),
		});
		expect([...(await checkpoint.read("a"))].length).toBe(11);
		await checkpoint.close();
	});

	it.each<[string, unknown]>([
		["the shard of a is 3, expected a file name", { a: 3 }],
		["the shard of a is null, expected a file name", { a: null }],
		['the shard of a is "../one.safetensors", expected a file name', { a: "../one.safetensors" }],
		['the shard of a is "./one.safetensors", expected a file name', { b: "two.safetensors", a: "./one.safetensors" }],
		["one.safetensors holds a, which the index does not place there", { b: "one.safetensors", a: "two.safetensors" }],
		["one.safetensors holds a, which the index does not place there", { b: "one.safetensors" }],
		["two.safetensors lacks c", { a: "one.safetensors", b: "two.safetensors", c: "two.safetensors" }],
	])("refuses an index that does not agree with its shards, and closes them: %s", async (message, weightMap) => {
		await write("one.safetensors", { a: bytes(...ELEVEN) });
		await write("two.safetensors", { b: bytes(20, 21) });
		await writeIndex(weightMap);
		const hint = message.startsWith("the shard") ? undefined : "download every shard again";
		await expect(openCheckpoint(folder)).rejects.toMatchObject({
			...{ name: "FormatError", code: "checkpoint/index", path: join(folder, INDEX), hint },
			message: expect.stringContaining(message),
		});
		areClosed();
	});

	it("refuses an index without its map", async () => {
		for (const map of [undefined, 3, ["a"], null]) {
			await writeIndex(map);
			await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: "config/object", path: `${join(folder, INDEX)}: weight_map` });
		}
	});

	it("has no other tensors than those that it names", async () => {
		await write("one.safetensors", { a: bytes(1) });
		await writeIndex({ a: "one.safetensors" });
		const checkpoint = await openCheckpoint(folder);
		for (const name of ["b", "__proto__", "undefined"]) {
			const expected = expect.objectContaining({
				...{ name: "ValueError", code: "safetensors/name", path: join(folder, INDEX) },
				message: expect.stringContaining(`there is no tensor ${name} in the shards`),
			});
			expect(() => checkpoint.info(name)).toThrow(expected);
			expect(() => checkpoint.read(name)).toThrow(expected);
		}
		await checkpoint.close();
	});

	it("refuses arguments of the wrong kind", async () => {
		await expect(openCheckpoint(3 as unknown as string)).rejects.toThrow("openCheckpoint: directory is 3, expected a string");
		await expect(openCheckpoint(folder, 3 as unknown as string)).rejects.toThrow("openCheckpoint: file is 3, expected a string");
	});

	it("is known by its functions", () => {
		const [is, words] = CHECKPOINT;
		expect(words).toBe("a checkpoint, as openCheckpoint() gives");
		const all = { names: () => [], info: () => 0, read: () => 0 };
		expect(is(all)).toBe(true);
		for (const name of Object.keys(all)) expect(is({ ...all, [name]: 3 })).toBe(false);
		for (const none of [null, undefined, 3, "x", Object.assign(() => 0, all)]) expect(is(none)).toBe(false);
	});
});
