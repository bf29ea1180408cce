import { DTypeError, ValueError } from "@hushgrad/tensor";
import { expects, fromBfloat16, fromFloat16, type Kind, oneOf, toBfloat16, toFloat16 } from "@hushgrad/tensor/author";
import { bytesPer, type SafetensorsDType } from "./dtype.ts";

/** The types of safetensors that `fromFloat32` writes. */
export type FloatDType = "F32" | "F16" | "BF16";

/** The names of the float types. */
export const FLOAT: Kind = oneOf("F32", "F16", "BF16");

const refuse = (what: string, dtype: string): never => {
	throw new DTypeError("safetensors/not-float", `${what}: ${dtype} is no floating-point type of 16 or 32 bits`, {
		hint: "convert the checkpoint to float32, float16 or bfloat16",
	});
};

/**
 * A tensor's bytes, little-endian, as f32: exact for every value of F32, F16 and BF16. Of F32 it is a view of the bytes where
 * they are aligned, else a copy.
 * @throws DTypeError for any other type, ValueError for bytes that are no whole number of elements.
 */
export function toFloat32(bytes: Uint8Array, dtype: SafetensorsDType): Float32Array {
	expects("toFloat32", { bytes, dtype }, { bytes: "bytes", dtype: "text" });
	if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") return refuse("toFloat32", dtype);
	if (bytes.length % bytesPer(dtype) !== 0) {
		throw new ValueError("safetensors/bytes", `toFloat32: ${bytes.length} bytes are no whole number of ${dtype}`, { op: "toFloat32" });
	}
	const aligned = bytes.byteOffset % bytesPer(dtype) === 0 ? bytes : bytes.slice();
	const { buffer, byteOffset, byteLength } = aligned;
	if (dtype === "F32") return new Float32Array(buffer, byteOffset, byteLength / 4);
	const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
	return dtype === "BF16" ? fromBfloat16(halves) : fromFloat16(halves);
}

/**
 * f32 values as bytes of a float type, little-endian, rounded to nearest, ties to even. Of F32 it is a view of the values.
 * @throws DTypeError for a type that is no `FloatDType`.
 */
export function fromFloat32(values: Float32Array, dtype: SafetensorsDType): Uint8Array {
	expects("fromFloat32", { values, dtype }, { values: "floats", dtype: "text" });
	if (dtype === "F32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
	if (dtype === "BF16") return new Uint8Array(toBfloat16(values).buffer);
	if (dtype === "F16") return new Uint8Array(toFloat16(values).buffer);
	return refuse("fromFloat32", dtype);
}
