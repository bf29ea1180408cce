import { open, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { type ByteSource, SafetensorsReader, type TensorInfo } from "@hushgrad/nn";
import { FormatError, ValueError } from "@hushgrad/tensor";
import { expects, type Kind, named } from "@hushgrad/tensor/author";
import { jsonFields, readJson } from "./json.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** The tensors of one safetensors file, or of all shards of a model. */
export interface Checkpoint {
	/** The names of all tensors. */
	names(): readonly string[];
	/**
	 * Type, shape and place of one of the named tensors.
	 * @throws ValueError for another name.
	 */
	info(name: string): TensorInfo;
	/**
	 * The bytes of one of the named tensors, row-major, little-endian; `toFloat32` of `@hushgrad/nn` makes numbers of them.
	 * @throws ValueError, at once, for another name.
	 */
	read(name: string): Promise<Uint8Array>;
	/** Closes the files; nothing is read after it. */
	close(): Promise<void>;
}

const has = (v: object, ...names: string[]): boolean => names.every((name) => typeof Reflect.get(v, name) === "function");

/** What is a checkpoint. */
export const CHECKPOINT: Kind = [
	(v) => typeof v === "object" && v !== null && has(v, "names", "info", "read"),
	"a checkpoint, as openCheckpoint() gives",
];

async function openSource(path: string): Promise<ByteSource> {
	const file = await open(path).catch((cause) => {
		throw new FormatError("file/missing", `openCheckpoint: ${basename(path)} cannot be read`, {
			op: "openCheckpoint",
			path,
			hint: "name a directory as save_pretrained writes it",
			cause,
		});
	});
	const { size } = await file.stat();
	return {
		path,
		size,
		async read(begin, end) {
			const bytes = new Uint8Array(end - begin);
			for (let done = 0; done < bytes.length; ) {
				const { bytesRead } = await file.read(bytes, done, Math.min(bytes.length - done, 2 ** 30), begin + done);
				if (bytesRead === 0) throw new FormatError("file/changed", "the file became shorter while it was read", { path });
				done += bytesRead;
			}
			return bytes;
		},
		close: () => file.close(),
	};
}

async function openFile(path: string): Promise<SafetensorsReader> {
	const source = await openSource(path);
	return SafetensorsReader.open(source).catch(async (error) => {
		await source.close();
		throw error;
	});
}

/**
 * Opens model.safetensors, or the shards that model.safetensors.index.json names; `file` names another single file of the
 * directory. Headers are read and checked, tensors not yet.
 * @throws FormatError for a file that is missing or damaged, and for an index that does not agree with its shards.
 */
export const openCheckpoint = named("openCheckpoint", async (directory: string, file?: string): Promise<Checkpoint> => {
	expects("openCheckpoint", { directory, file }, { directory: "text", file: "text?" });
	const exists = (name: string) =>
		stat(join(directory, name)).then(
			() => true,
			() => false,
		);
	if (file !== undefined || (await exists(SINGLE)) || !(await exists(INDEX))) return openFile(join(directory, file ?? SINGLE));
	return openShards(directory);
});

async function openShards(directory: string): Promise<Checkpoint> {
	const { value, path } = await readJson("openCheckpoint", directory, INDEX);
	const map = jsonFields(value, path).value("weight_map");
	const shardOf = new Map(Object.entries(jsonFields(map, `${path}: weight_map`) && (map as Record<string, unknown>)));
	const shards = new Map<string, SafetensorsReader>();
	const close = async () => {
		await Promise.all([...shards.values()].map((s) => s.close()));
	};
	try {
		for (const [name, shard] of shardOf) {
			if (typeof shard !== "string" || basename(shard) !== shard) {
				throw new FormatError("checkpoint/index", `the shard of ${name} is ${JSON.stringify(shard)}, expected a file name`, { path });
			}
			if (!shards.has(shard)) shards.set(shard, await openFile(join(directory, shard)));
		}
		checkShards(path, shardOf as Map<string, string>, shards);
	} catch (error) {
		await close();
		throw error;
	}
	const of = (name: string): SafetensorsReader => {
		const shard = shards.get(String(shardOf.get(name)));
		if (shard === undefined) throw new ValueError("safetensors/name", `there is no tensor ${name} in the shards`, { path });
		return shard;
	};
	return { names: () => [...shardOf.keys()], info: (name) => of(name).info(name), read: (name) => of(name).read(name), close };
}

function checkShards(path: string, shardOf: ReadonlyMap<string, string>, shards: ReadonlyMap<string, SafetensorsReader>): void {
	for (const [shard, reader] of shards) {
		for (const name of reader.names()) {
			if (shardOf.get(name) !== shard) {
				throw new FormatError("checkpoint/index", `${shard} holds ${name}, which the index does not place there`, {
					path,
					hint: "download every shard again",
				});
			}
		}
	}
	for (const [name, shard] of shardOf) {
		if (!shards.get(shard)?.names().includes(name)) {
			throw new FormatError("checkpoint/index", `${shard} lacks ${name}`, { path, hint: "download every shard again" });
		}
	}
}
