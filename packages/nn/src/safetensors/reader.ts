import { ValueError } from "@hushgrad/tensor";
import { blaming, expects, partsOf } from "@hushgrad/tensor/author";
import { corrupt, type Header, parseHeader, type TensorInfo } from "./header.ts";

/** Random access to the bytes of a file, wherever it lies. */
export interface ByteSource {
	/** Name of the file, for messages. */
	readonly path: string;
	/** Length in bytes. */
	readonly size: number;
	/** The bytes [begin, end), all of them. */
	read(begin: number, end: number): Promise<Uint8Array>;
	/** Releases what is open; nothing is read after it. */
	close(): Promise<void>;
}

const LENGTH_BYTES = 8;
const MAX_HEADER = 100_000_000;

/** @throws ValueError unless the source gives as many bytes as it was asked for. */
async function bytesOf(source: ByteSource, begin: number, end: number): Promise<Uint8Array> {
	const bytes = await source.read(begin, end);
	const words = `${end - begin} bytes in a Uint8Array`;
	expects(
		"SafetensorsReader",
		{ "source.read()": bytes },
		{ "source.read()": [(v) => v instanceof Uint8Array && v.length === end - begin, words] },
	);
	return bytes;
}

/** One safetensors file: its header is read and checked on opening, the bytes of each tensor when asked for. */
export class SafetensorsReader {
	readonly #source: ByteSource;
	readonly #header: Header;
	readonly #start: number;

	private constructor(source: ByteSource, header: Header, start: number) {
		this.#source = source;
		this.#header = header;
		this.#start = start;
	}

	/**
	 * Reads and checks the header: types known, sizes equal to their shapes, tensors side by side without gap or overlap and as
	 * long as the rest of the file. On an error the source stays open.
	 * @throws FormatError for anything but a whole and consistent file, and a header of more than 100 million bytes.
	 */
	static open(source: ByteSource): Promise<SafetensorsReader> {
		return blaming("SafetensorsReader.open", () => SafetensorsReader.#open(source));
	}

	static async #open(source: ByteSource): Promise<SafetensorsReader> {
		const { path, size } = partsOf("SafetensorsReader.open", "source", source, {
			...{ path: "text", size: "count", read: "function", close: "function" },
		});
		if (size < LENGTH_BYTES) throw corrupt("short", `the file has ${size} bytes, a safetensors file has at least ${LENGTH_BYTES}`, path);
		const prefix = await bytesOf(source, 0, LENGTH_BYTES);
		const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
		if (length > MAX_HEADER) throw corrupt("header", `the header claims ${length} bytes, the limit is ${MAX_HEADER}`, path);
		const start = LENGTH_BYTES + Number(length);
		if (start > size) throw corrupt("short", `the header claims ${length} bytes, the file has ${size}`, path);
		const header = parseHeader(await bytesOf(source, LENGTH_BYTES, start), size - start, path);
		return new SafetensorsReader(source, header, start);
	}

	/** The strings of `__metadata__`, such as format "pt"; empty when there is none. */
	get metadata(): Readonly<Record<string, string>> {
		return this.#header.metadata;
	}

	/** The names of all tensors. */
	names(): string[] {
		return [...this.#header.tensors.keys()];
	}

	/**
	 * What the header says of a tensor.
	 * @throws ValueError for a name that is not in the file.
	 */
	info(name: string): TensorInfo {
		expects("SafetensorsReader.info", { name }, { name: "text" });
		const info = this.#header.tensors.get(name);
		if (info !== undefined) return info;
		throw new ValueError("safetensors/name", `SafetensorsReader.info: there is no tensor ${name} in the file`, {
			op: "SafetensorsReader.info",
			path: this.#source.path,
			hint: "names() lists them",
		});
	}

	/**
	 * The bytes of a tensor, row-major, little-endian; `toFloat32` makes numbers of them.
	 * @throws ValueError, at once, for a name that is not in the file.
	 */
	read(name: string): Promise<Uint8Array> {
		return blaming("SafetensorsReader.read", () => {
			const { begin, end } = this.info(name);
			return bytesOf(this.#source, this.#start + begin, this.#start + end);
		});
	}

	/** Closes the source. */
	close(): Promise<void> {
		return this.#source.close();
	}
}
