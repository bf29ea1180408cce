/**
 * Element types. f32, i32, u32 and bool are computed with; bf16 is storage only (two values per u32, low half
 * first) and is widened to f32 by the kernels that read it.
 */
export type DType = "f32" | "i32" | "u32" | "bool" | "bf16";

/** Bytes one element takes on the device; bool takes a whole u32. */
export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, i32: 4, u32: 4, bool: 4, bf16: 2 };

/** The WGSL type a kernel sees after loading. */
export const wgslScalar: Readonly<Record<DType, "f32" | "i32" | "u32">> = {
	f32: "f32",
	i32: "i32",
	u32: "u32",
	bool: "u32",
	bf16: "f32",
};

export type HostArray = Float32Array | Int32Array | Uint32Array;

/** The typed array that holds a dtype on the host; bf16 is widened to f32, bool is 0 or 1. */
export function hostArray(dtype: DType, buffer: ArrayBuffer): HostArray {
	if (dtype === "i32") return new Int32Array(buffer);
	if (dtype === "u32" || dtype === "bool") return new Uint32Array(buffer);
	return new Float32Array(buffer);
}
