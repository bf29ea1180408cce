import { ShapeError, ValueError } from "@hushgrad/tensor";
import { expects, instanceOf, type Kind, optional, optionsOf, partsOf } from "@hushgrad/tensor/author";
import { fromFloat32 } from "./convert.ts";
import { bytesPer, isSafetensorsDType, type SafetensorsDType, writeRank } from "./dtype.ts";
import { isStrings } from "./header.ts";

/** A tensor to write. */
export interface TensorData {
	/** Element type in the file. */
	readonly dtype: SafetensorsDType;
	/** Extents, row-major; [] for a scalar. */
	readonly shape: readonly number[];
	/** f32 values, rounded to a `dtype` of F32, F16 or BF16; or bytes, row-major and little-endian, taken as they are. */
	readonly data: Float32Array | Uint8Array;
}

const ALIGN = 8;
const MAP = instanceOf(Map, "a Map of tensors by name");
const DATA = {
	dtype: [isSafetensorsDType, "an element type of safetensors, such as F32"],
	shape: "shape",
	data: [(v: unknown) => v instanceof Float32Array || v instanceof Uint8Array, "a Float32Array or a Uint8Array"],
} as const;
const STRINGS: Kind = [isStrings, "an object of strings"];

/**
 * A safetensors file, in pieces to be written one after another: widest types first, then by name, the header padded to a
 * multiple of 8 bytes. The same tensors always give the same bytes. `metadata` goes into `__metadata__`.
 * @throws ValueError for a tensor named `__metadata__`, which the format keeps for itself; ShapeError when the data of a tensor do
 * not fill its shape, DTypeError for f32 values with a `dtype` that is no float
 * type of 16 or 32 bits.
 */
export function encodeSafetensors(
	tensors: ReadonlyMap<string, TensorData>,
	options: { readonly metadata?: Readonly<Record<string, string>> | undefined } = {},
): Uint8Array[] {
	expects("encodeSafetensors", { tensors }, { tensors: MAP });
	const { metadata } = optionsOf("encodeSafetensors", options, { metadata: optional(STRINGS) });
	for (const [name, tensor] of tensors) {
		expects("encodeSafetensors", { name }, { name: "text" });
		partsOf(`encodeSafetensors: ${name}`, "tensor", tensor, DATA);
	}
	const sorted = [...tensors].sort(([a, x], [b, y]) => writeRank(x.dtype) - writeRank(y.dtype) || (a < b ? -1 : 1));
	if (tensors.has("__metadata__")) {
		throw new ValueError("safetensors/name", "a tensor cannot be named __metadata__: the format keeps that name for itself", {
			op: "encodeSafetensors",
			hint: "strings go into the option metadata",
		});
	}
	// Written by hand: an object would put numeric names first and lose one called __proto__.
	const fields = metadata === undefined ? [] : [`"__metadata__":${JSON.stringify(metadata)}`];
	const pieces: Uint8Array[] = [];
	let position = 0;
	for (const [name, { dtype, shape, data }] of sorted) {
		const bytes = data instanceof Float32Array ? fromFloat32(data, dtype) : data;
		const expected = shape.reduce((n, d) => n * d, bytesPer(dtype));
		if (bytes.byteLength !== expected) {
			throw new ShapeError(
				"safetensors/values",
				`encodeSafetensors: ${name}, ${dtype} [${shape.join(", ")}] takes ${expected} bytes, got ${bytes.byteLength}`,
			);
		}
		fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [position, position + expected] })}`);
		pieces.push(bytes);
		position += expected;
	}
	const json = new TextEncoder().encode(`{${fields.join(",")}}`);
	const length = Math.ceil(json.length / ALIGN) * ALIGN;
	const head = new Uint8Array(8 + length).fill(0x20);
	new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
	head.set(json, 8);
	return [head, ...pieces];
}
