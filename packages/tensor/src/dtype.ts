import { fromBfloat16, fromFloat16 } from "./float16.ts";

/**
 * Element types. f32, i32, u32 and bool are computed with. f16 is stored as such and computed in f32; it needs a device
 * with the feature shader-f16. bf16 (two values a word, low half first) and u8 (four) are storage: kernels that read
 * them widen them, and `cast` makes them, rounding to the nearest even. An element takes 4 bytes; 2 of f16 and bf16, 1 of u8.
 */
export type DType = "f32" | "f16" | "i32" | "u32" | "bool" | "bf16" | "u8";

/** The floats that operations compute with, f16 by way of f32: the `dtypes` of an operand that takes either. */
export const FLOATS: readonly DType[] = ["f32", "f16"];

/** The whole numbers that operations compute with. */
export const INTEGERS: readonly DType[] = ["i32", "u32"];

/** Bytes one element takes on the device; bool takes a whole u32. */
export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, f16: 2, i32: 4, u32: 4, bool: 4, bf16: 2, u8: 1 };

/** The WGSL type that a kernel computes with: what the accessors of a buffer of this element type give and take. */
export const wgslScalar: Readonly<Record<DType, "f32" | "i32" | "u32">> = {
	f32: "f32",
	f16: "f32",
	i32: "i32",
	u32: "u32",
	bool: "u32",
	bf16: "f32",
	u8: "u32",
};

/**
 * Elements on the host, as `data` gives them: Float32Array for f32, f16 and bf16 (widened, exact), Int32Array for i32,
 * Uint32Array for u32 and bool (0 or 1), Uint8Array for u8.
 */
export type HostArray = Float32Array | Int32Array | Uint32Array | Uint8Array;

/** The typed array that holds a dtype on the host; f16 and bf16 are widened to f32, bool is 0 or 1. */
export function hostArray(dtype: DType, buffer: ArrayBuffer): HostArray {
	if (dtype === "i32") return new Int32Array(buffer);
	if (dtype === "u32" || dtype === "bool") return new Uint32Array(buffer);
	if (dtype === "u8") return new Uint8Array(buffer);
	if (dtype === "f16") return fromFloat16(new Uint16Array(buffer));
	if (dtype === "bf16") return fromBfloat16(new Uint16Array(buffer));
	return new Float32Array(buffer);
}
