import { FormatError } from "@hushgrad/tensor";
import { isCount } from "@hushgrad/tensor/author";
import { bytesPer, isSafetensorsDType, type SafetensorsDType } from "./dtype.ts";
import { duplicateKey } from "./duplicateKey.ts";

/** What the header says of one tensor. */
export interface TensorInfo {
	/** Element type. */
	readonly dtype: SafetensorsDType;
	/** Extents, row-major; [] for a scalar. */
	readonly shape: readonly number[];
	/** First byte, counted from the end of the header. */
	readonly begin: number;
	/** One past the last byte, counted likewise. */
	readonly end: number;
}

/** The header of a safetensors file, checked. */
export interface Header {
	/** Every tensor by name. */
	readonly tensors: ReadonlyMap<string, TensorInfo>;
	/** The strings of `__metadata__`; empty when there is none. */
	readonly metadata: Readonly<Record<string, string>>;
}

const HINT = "the file is damaged or no safetensors file: download or save it again";

export function corrupt(code: string, message: string, path: string, cause?: unknown): FormatError {
	return new FormatError(`safetensors/${code}`, message, { path, hint: HINT, cause });
}

const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);

/** What `__metadata__` can hold. */
export const isStrings = (v: unknown): v is Readonly<Record<string, string>> =>
	isRecord(v) && Object.values(v).every((s) => typeof s === "string");

/**
 * Reads and checks a safetensors header: types known, sizes equal to their shapes, tensors side by side without gap
 * or overlap, and together exactly as long as the rest of the file.
 * @param bytes the JSON alone. @param bufferSize bytes of the file after it.
 * @throws FormatError `safetensors/*`, after the checks of the format's own reader.
 */
export function parseHeader(bytes: Uint8Array, bufferSize: number, path: string): Header {
	const json = parseJson(bytes, path);
	const { __metadata__, ...entries } = json;
	const tensors = new Map(Object.entries(entries).map(([name, entry]) => [name, parseInfo(name, entry, path)] as const));
	checkLayout(tensors, bufferSize, path);
	return { tensors, metadata: parseMetadata(__metadata__, path) };
}

function parseJson(bytes: Uint8Array, path: string): Record<string, unknown> {
	let text: string;
	try {
		text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch (cause) {
		throw corrupt("utf8", "the header is not UTF-8", path, cause);
	}
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (cause) {
		throw corrupt("json", "the header is not JSON", path, cause);
	}
	if (!isRecord(json)) throw corrupt("json", "the header is not a JSON object", path);
	const twice = duplicateKey(text);
	if (twice !== undefined) throw corrupt("duplicate", `the header names ${JSON.stringify(twice)} twice`, path);
	return json;
}

function parseMetadata(value: unknown, path: string): Readonly<Record<string, string>> {
	if (value === undefined) return {};
	if (!isStrings(value)) throw corrupt("metadata", "__metadata__ must map strings to strings", path);
	return value;
}

function parseInfo(name: string, entry: unknown, path: string): TensorInfo {
	const { dtype, shape, data_offsets: offsets } = isRecord(entry) ? entry : {};
	if (!isSafetensorsDType(dtype)) throw corrupt("dtype", `tensor ${name} has the unknown type ${JSON.stringify(dtype)}`, path);
	if (!Array.isArray(shape) || !shape.every(isCount)) {
		throw corrupt("shape", `tensor ${name} has the shape ${JSON.stringify(shape)}, expected whole numbers`, path);
	}
	if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[1] < offsets[0]) {
		throw corrupt("offsets", `tensor ${name} has the data_offsets ${JSON.stringify(offsets)}`, path);
	}
	const [begin, end] = offsets as [number, number];
	const expected = shape.reduce((n, d) => n * BigInt(d), BigInt(bytesPer(dtype)));
	if (expected !== BigInt(end - begin)) {
		throw corrupt(
			"size",
			`tensor ${name}, ${dtype} [${shape.join(", ")}], takes ${expected} bytes, its data_offsets hold ${end - begin}`,
			path,
		);
	}
	return { dtype, shape, begin, end };
}

function checkLayout(tensors: ReadonlyMap<string, TensorInfo>, bufferSize: number, path: string): void {
	let position = 0;
	for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
		if (begin !== position) throw corrupt("gap", `tensor ${name} begins at byte ${begin}, expected ${position}`, path);
		position = end;
	}
	const sizes = `${bufferSize} bytes of data, expected ${position}`;
	if (bufferSize < position) throw corrupt("length", `the file is cut short: ${sizes}`, path);
	if (bufferSize > position) throw corrupt("length", `the file is longer than its header says: ${sizes}`, path);
}
