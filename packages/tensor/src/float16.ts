/**
 * Conversions between f32 and the 16-bit floats, by integer arithmetic on the bit patterns.
 * To 16 bits: round to nearest, ties to even; NaN stays a quiet NaN. To 32 bits: exact.
 */

const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length);

/** The bfloat16 next to each f32 (its top 16 bits, rounded), as bit patterns. Ties to even; NaN stays NaN, now quiet. */
export function toBfloat16(values: Float32Array): Uint16Array {
	const bits = bitsOf(values);
	const out = new Uint16Array(values.length);
	for (let i = 0; i < bits.length; i++) {
		const b = bits[i];
		const nan = (b & 0x7fffffff) > 0x7f800000;
		out[i] = nan ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
	}
	return out;
}

/** The f32 of each bfloat16 bit pattern; exact, NaN payloads included. */
export function fromBfloat16(values: Uint16Array): Float32Array {
	const out = new Float32Array(values.length);
	const bits = bitsOf(out);
	for (let i = 0; i < bits.length; i++) bits[i] = values[i] << 16;
	return out;
}

function halfOf(b: number): number {
	const sign = (b >>> 16) & 0x8000;
	const magnitude = b & 0x7fffffff;
	if (magnitude > 0x7f800000) return sign | 0x7e00;
	if (magnitude >= 0x47800000) return sign | 0x7c00;
	if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
	if (magnitude < 0x33000000) return sign;
	const shift = 126 - (magnitude >>> 23);
	const mantissa = (magnitude & 0x7fffff) | 0x800000;
	const kept = mantissa >>> shift;
	const rest = mantissa & ((1 << shift) - 1);
	const half = 1 << (shift - 1);
	return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

/**
 * The IEEE binary16 next to each f32, as bit patterns. Ties to even; subnormal where it is small; infinity from 65520 on;
 * NaN becomes the quiet NaN 0x7e00 of its sign.
 */
export function toFloat16(values: Float32Array): Uint16Array {
	return Uint16Array.from(bitsOf(values), halfOf);
}

/** The f32 of each IEEE binary16 bit pattern; exact, every NaN the same. */
export function fromFloat16(values: Uint16Array): Float32Array {
	return Float32Array.from(values, (h) => {
		const sign = h & 0x8000 ? -1 : 1;
		const exponent = (h >>> 10) & 31;
		const mantissa = h & 1023;
		if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
		return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
	});
}
