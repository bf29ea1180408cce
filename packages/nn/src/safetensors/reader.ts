import { ValueError } from "@hushgrad/tensor";
import { corrupt, type Header, parseHeader, type TensorInfo } from "./header.ts";

/** Random access to a file's bytes, wherever it lies. */
export interface ByteSource {
	/** For messages. */
	readonly path: string;
	readonly size: number;
	read(begin: number, end: number): Promise<Uint8Array>;
	close(): Promise<void>;
}

const LENGTH_BYTES = 8;
const MAX_HEADER = 100_000_000;

/** One safetensors file: its header is read and checked on opening, each tensor's bytes when asked for. */
export class SafetensorsReader {
	readonly #source: ByteSource;
	readonly #header: Header;
	readonly #start: number;

	private constructor(source: ByteSource, header: Header, start: number) {
		this.#source = source;
		this.#header = header;
		this.#start = start;
	}

	/** @throws FormatError for anything but a whole and consistent file. */
	static async open(source: ByteSource): Promise<SafetensorsReader> {
		const { path, size } = source;
		if (size < LENGTH_BYTES) throw corrupt("short", `the file has ${size} bytes, a safetensors file has at least ${LENGTH_BYTES}`, path);
		const prefix = await source.read(0, LENGTH_BYTES);
		const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
		if (length > MAX_HEADER) throw corrupt("header", `the header claims ${length} bytes, the limit is ${MAX_HEADER}`, path);
		const start = LENGTH_BYTES + Number(length);
		if (start > size) throw corrupt("short", `the header claims ${length} bytes, the file has ${size}`, path);
		const header = parseHeader(await source.read(LENGTH_BYTES, start), size - start, path);
		return new SafetensorsReader(source, header, start);
	}

	get metadata(): Readonly<Record<string, string>> {
		return this.#header.metadata;
	}

	names(): string[] {
		return [...this.#header.tensors.keys()];
	}

	info(name: string): TensorInfo {
		const info = this.#header.tensors.get(name);
		if (info === undefined) throw new ValueError("safetensors/name", `there is no tensor ${name} in the file`, { path: this.#source.path });
		return info;
	}

	/** The tensor's bytes, row-major, little-endian. */
	read(name: string): Promise<Uint8Array> {
		const { begin, end } = this.info(name);
		return this.#source.read(this.#start + begin, this.#start + end);
	}

	close(): Promise<void> {
		return this.#source.close();
	}
}
