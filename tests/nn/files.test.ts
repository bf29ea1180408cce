import type { FileHandle } from "node:fs/promises";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeSafetensors, type TensorData } from "@hushgrad/nn";
import { loadFile, saveFile, writeFileAtomic } from "@hushgrad/nn/files";
import { type Device, data, ones, requestDevice, type Tensor } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { useDevice } from "../support/device.ts";

// The files of a run share their modules: these have their own, of which some are other ones.
vi.hoisted(() => vi.resetModules());
afterAll(() => void vi.resetModules());
const opened = vi.hoisted((): FileHandle[] => []);
vi.mock("node:fs/promises", async (original) => {
	const fs = await original<typeof import("node:fs/promises")>();
	const open = async (...args: Parameters<typeof fs.open>) => {
		const file = await fs.open(...args);
		opened.push(file);
		return file;
	};
	return { ...fs, open };
});

const device = useDevice();
let folder = "";
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "files-"));
});
afterAll(() => rm(folder, { recursive: true }));

const wrong = (v: unknown): never => v as never;

describe("writeFileAtomic", () => {
	it("writes a text or bytes, over what there was, and closes the file", async () => {
		opened.length = 0;
		const path = join(folder, "text");
		await writeFileAtomic(path, "größe");
		expect(await readFile(path, "utf8")).toBe("größe");
		await writeFileAtomic(path, [Uint8Array.of(1, 2), new Uint8Array(), Uint8Array.of(3)]);
		expect([...(await readFile(path))]).toEqual([1, 2, 3]);
		expect(opened.map((f) => f.fd)).toEqual([-1, -1]);
		expect(await readdir(folder)).toEqual(["text"]);
	});

	it("leaves what there was, and nothing else, when it fails", async () => {
		opened.length = 0;
		const path = join(folder, "text");
		await expect(writeFileAtomic(path, [Uint8Array.of(7), wrong(3)])).rejects.toThrow(TypeError);
		expect([...(await readFile(path))]).toEqual([1, 2, 3]);
		await mkdir(join(folder, "taken", "inside"), { recursive: true });
		await expect(writeFileAtomic(join(folder, "taken"), "x")).rejects.toMatchObject({
			code: expect.stringMatching(/EISDIR|ENOTEMPTY|EEXIST/),
		});
		expect(opened.map((f) => f.fd)).toEqual([-1, -1]);
		expect((await readdir(folder)).sort()).toEqual(["taken", "text"]);
		await expect(writeFileAtomic(join(folder, "none", "x"), "x")).rejects.toMatchObject({ code: "ENOENT", syscall: "open" });
	});
});

describe("loadFile", () => {
	const path = () => join(folder, "model.safetensors");
	const write = (tensors: Record<string, TensorData>) =>
		writeFile(path(), Buffer.concat(encodeSafetensors(new Map(Object.entries(tensors)))));
	const values = Float32Array.of(1.5, -2);

	it("reads every type that a tensor holds", async () => {
		await write({
			f32: { dtype: "F32", shape: [2], data: values },
			f16: { dtype: "F16", shape: [1, 2], data: values },
			bf16: { dtype: "BF16", shape: [2, 1], data: values },
			i32: { dtype: "I32", shape: [1], data: new Uint8Array(Int32Array.of(-7).buffer) },
			u32: { dtype: "U32", shape: [], data: new Uint8Array(Uint32Array.of(4_000_000_000).buffer) },
			u8: { dtype: "U8", shape: [3], data: Uint8Array.of(1, 255, 3) },
			bool: { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) },
		});
		const read = async (d: Device): Promise<Record<string, unknown>> => {
			const tensors = await loadFile(d, path());
			const entries = [...tensors].map(async ([name, t]) => [name, [t.dtype, t.shape, [...(await data(t))]]]);
			const all = Object.fromEntries(await Promise.all(entries));
			for (const t of tensors.values()) t.dispose();
			return all;
		};
		const expected = {
			f32: ["f32", [2], [1.5, -2]],
			f16: [device().has("shader-f16") ? "f16" : "f32", [1, 2], [1.5, -2]],
			bf16: ["bf16", [2, 1], [1.5, -2]],
			i32: ["i32", [1], [-7]],
			u32: ["u32", [], [4_000_000_000]],
			u8: ["u8", [3], [1, 255, 3]],
			bool: ["bool", [3], [1, 0, 1]],
		};
		expect(await read(device())).toEqual(expected);
		const plain = await requestDevice();
		Object.defineProperty(plain.gpu, "features", { value: new Set() });
		expect(await read(plain)).toEqual({ ...expected, f16: ["f32", [1, 2], [1.5, -2]] });
		plain.destroy();
	});

	it("refuses a type that no tensor holds, and keeps nothing of the file", async () => {
		await write({ a: { dtype: "F32", shape: [2], data: values }, b: { dtype: "I16", shape: [1], data: new Uint8Array(2) } });
		const { liveBuffers } = device().memory();
		await expect(loadFile(device(), path())).rejects.toMatchObject({
			...{ name: "DTypeError", code: "safetensors/type", op: "loadFile" },
			message: expect.stringContaining("loadFile: b is I16, which no tensor holds"),
			hint: "convert it to float32 or int32, or read it with a SafetensorsReader",
		});
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("says which file cannot be read, or is damaged", async () => {
		const none = join(folder, "none");
		await expect(loadFile(device(), none)).rejects.toMatchObject({
			...{ name: "FormatError", code: "file/read", op: "loadFile", path: none, cause: { code: "ENOENT" } },
			message: expect.stringContaining(`loadFile: ${none} cannot be read`),
		});
		await writeFile(path(), "x");
		await expect(loadFile(device(), path())).rejects.toMatchObject({ code: "safetensors/short", path: path() });
	});

	it("refuses arguments of the wrong kind", async () => {
		await expect(loadFile(wrong(3), path())).rejects.toThrow("loadFile: device is 3, expected a device");
		await expect(loadFile(device(), wrong(3))).rejects.toThrow("loadFile: path is 3, expected a string");
	});
});

describe("saveFile", () => {
	it("refuses arguments of the wrong kind, and writes nothing", async () => {
		const before = await readdir(folder);
		const path = join(folder, "saved");
		await expect(saveFile(wrong(3), path)).rejects.toThrow("saveFile: tensors is 3, expected options in an object");
		await expect(saveFile({}, wrong(3))).rejects.toThrow("saveFile: path is 3, expected a string");
		await expect(saveFile({ w: wrong(3) }, path)).rejects.toThrow("saveFile: w is 3, expected a tensor");
		await expect(saveFile({}, path, wrong({ metadata: 3 }))).rejects.toThrow("saveFile: metadata is 3, expected options in an object");
		await expect(saveFile({}, path, wrong({ meta: {} }))).rejects.toThrow("saveFile: there is no option meta, expected metadata");
		expect(await readdir(folder)).toEqual(before);
	});

	it("takes a Map or an object", async () => {
		const tensors: Record<string, Tensor> = { a: ones(device(), [2]), b: device().fromHost([1, 0], [2], "bool") };
		const [one, other] = [join(folder, "one"), join(folder, "other")];
		await saveFile(tensors, one);
		await saveFile(new Map(Object.entries(tensors)), other);
		expect(await readFile(one)).toEqual(await readFile(other));
		expect([...(await loadFile(device(), one)).keys()].sort()).toEqual(["a", "b"]);
	});
});
