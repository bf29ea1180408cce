import { randomUUID } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Device, DTypeError, data, FormatError, type Tensor } from "@hushgrad/tensor";
import { expects, named, optionsOf } from "@hushgrad/tensor/author";
import { encodeSafetensors, type SafetensorsDType, SafetensorsReader, type TensorData, toFloat32 } from "./safetensors/index.ts";

/* Files of tensors, for Node, Deno and Bun: an entry of its own, so that the others stay free of the file system. */

/**
 * Writes a file whole or not at all: into a temporary file beside it, flushed to the disk, then renamed over it.
 * @throws What the file system does; the old file stays.
 */
export async function writeFileAtomic(path: string, pieces: string | readonly Uint8Array[]): Promise<void> {
	const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
	try {
		const file = await open(temporary, "wx");
		try {
			for (const piece of typeof pieces === "string" ? [pieces] : pieces) await file.writeFile(piece);
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

/** How element types are called in a file. */
const NAMES = { f32: "F32", f16: "F16", bf16: "BF16", i32: "I32", u32: "U32", u8: "U8", bool: "BOOL" } as const;

/** Options of `saveFile`. */
export interface SaveOptions {
	/** Strings for `__metadata__`. */
	readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/**
 * Writes tensors by name into a safetensors file, each in its own element type: safetensors' save_file. The file is whole or not there.
 * `saveFile(stateDict(model), "model.safetensors")` saves a model.
 */
export const saveFile = named(
	"saveFile",
	async (
		tensors: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
		path: string,
		options: SaveOptions = {},
	): Promise<void> => {
		expects("saveFile", { tensors, path }, { tensors: "options", path: "text" });
		optionsOf("saveFile", options, { metadata: "options?" });
		const list: [string, Tensor][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
		const entries = await Promise.all(
			list.map(async ([name, t]): Promise<[string, TensorData]> => {
				expects("saveFile", { [name]: t }, { [name]: "tensor" });
				const values = await data(t);
				const { buffer, byteOffset, byteLength } = values;
				const bytes = t.dtype === "bool" ? Uint8Array.from(values) : new Uint8Array(buffer, byteOffset, byteLength);
				return [name, { dtype: NAMES[t.dtype], shape: t.shape, data: values instanceof Float32Array ? values : bytes }];
			}),
		);
		await writeFileAtomic(path, [...encodeSafetensors(new Map(entries), options)]);
	},
);

/** The tensor of these bytes; f16 in f32 where the device has no f16. */
function upload(device: Device, name: string, bytes: Uint8Array, dtype: SafetensorsDType, shape: readonly number[]): Tensor {
	const own = bytes.slice().buffer;
	if (dtype === "F32" || (dtype === "F16" && !device.has("shader-f16"))) return device.fromHost(toFloat32(bytes, dtype), shape);
	if (dtype === "F16" || dtype === "BF16") return device.fromHost(new Uint16Array(own), shape, dtype === "F16" ? "f16" : "bf16");
	if (dtype === "I32") return device.fromHost(new Int32Array(own), shape);
	if (dtype === "U32") return device.fromHost(new Uint32Array(own), shape);
	if (dtype === "U8") return device.fromHost(bytes, shape, "u8");
	if (dtype === "BOOL") return device.fromHost(Uint32Array.from(bytes), shape, "bool");
	throw new DTypeError("safetensors/type", `loadFile: ${name} is ${dtype}, which no tensor holds`, {
		op: "loadFile",
		hint: "convert it to float32 or int32, or read it with a SafetensorsReader",
	});
}

/**
 * All tensors of a safetensors file by name, each in its own element type (f16 as f32 where the device has no f16): safetensors' load_file.
 * They belong to the caller: `loadStateDict` copies them, then dispose them.
 * @throws FormatError for a file that is not there, or not whole and consistent.
 * @throws DTypeError for a tensor of 64 bits, or of 8 or 16 that no tensor here has.
 */
export const loadFile = named("loadFile", async (device: Device, path: string): Promise<Map<string, Tensor>> => {
	expects("loadFile", { device, path }, { device: "device", path: "text" });
	const file = await readFile(path).catch((cause: unknown) => {
		throw new FormatError("file/read", `loadFile: ${path} cannot be read`, { op: "loadFile", path, cause });
	});
	const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength); // a Buffer's slice() is no copy
	const read = async (begin: number, end: number): Promise<Uint8Array> => bytes.subarray(begin, end);
	const reader = await SafetensorsReader.open({ path, size: bytes.length, read, close: async () => {} });
	const tensors = new Map<string, Tensor>();
	try {
		for (const name of reader.names()) {
			const { dtype, shape } = reader.info(name);
			tensors.set(name, upload(device, name, await reader.read(name), dtype, shape));
		}
	} catch (error) {
		for (const t of tensors.values()) t.dispose();
		throw error;
	}
	return tensors;
});
