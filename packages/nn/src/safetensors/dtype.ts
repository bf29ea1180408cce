/** Storage types of safetensors by bits, in the format's own order (low alignment to high). */
const BITS = {
	BOOL: 8,
	U8: 8,
	I8: 8,
	F8_E5M2: 8,
	F8_E4M3: 8,
	I16: 16,
	U16: 16,
	F16: 16,
	BF16: 16,
	I32: 32,
	U32: 32,
	F32: 32,
	F64: 64,
	I64: 64,
	U64: 64,
} as const;

/** The element types of safetensors by their names in the header, such as F32, BF16 and U8. */
export type SafetensorsDType = keyof typeof BITS;

const ORDER = Object.keys(BITS);

export function isSafetensorsDType(name: unknown): name is SafetensorsDType {
	return typeof name === "string" && Object.hasOwn(BITS, name);
}

export function bytesPer(dtype: SafetensorsDType): number {
	return BITS[dtype] / 8;
}

/** Where a type sorts in a file: the widest first, so that every tensor is aligned. */
export function writeRank(dtype: SafetensorsDType): number {
	return -ORDER.indexOf(dtype);
}
