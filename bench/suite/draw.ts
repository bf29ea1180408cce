import { type Input, sizeOf } from "./row.ts";

/** Whole numbers of 32 bits, the same for a seed everywhere (SplitMix32). */
function words(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x9e3779b9) >>> 0;
		let z = state;
		z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
		z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
		return (z ^ (z >>> 15)) >>> 0;
	};
}

/** The numbers of an input. Those "about 0" are sums of four uniform ones: fast, and no benchmark asks for tails. */
export function drawn({ shape, draw }: Input, seed: number): Float32Array | Int32Array {
	const next = words(seed);
	const count = sizeOf(shape);
	if (draw === "unit") return Float32Array.from({ length: count }, () => next() / 2 ** 32);
	if ("below" in draw) return Int32Array.from({ length: count }, () => next() % draw.below);
	const out = new Float32Array(count);
	const scale = draw.std * Math.sqrt(3) * 2 ** -32;
	for (let i = 0; i < count; i++) out[i] = (next() + next() + next() + next() - 2 ** 33) * scale;
	return out;
}

/** A weight [n, k] in NF4 with double quantisation, as bitsandbytes keeps it, of random codes. */
export interface DrawnNF4 {
	/** Two codes a byte, high nibble first. */
	readonly packed: Uint8Array;
	readonly absmax: Uint8Array;
	readonly nestedAbsmax: Float32Array;
	readonly nestedMap: Float32Array;
	readonly offset: number;
	/** The scale of every block of 64, worked out. */
	readonly scales: Float32Array;
}

export function drawnNF4(n: number, k: number): DrawnNF4 {
	const next = words(64);
	const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => next() & 255);
	const blocks = Math.ceil((n * k) / 64);
	const absmax = bytes(blocks);
	const nestedAbsmax = Float32Array.from({ length: Math.ceil(blocks / 256) }, () => 0.01 + next() / 2 ** 38);
	const nestedMap = Float32Array.from({ length: 256 }, (_, i) => (i - 128) / 128);
	const offset = Math.fround(0.05);
	const scales = Float32Array.from(absmax, (code, b) => Math.fround(nestedMap[code] * nestedAbsmax[b >> 8]) + offset);
	return { packed: bytes((n * k) / 2), absmax, nestedAbsmax, nestedMap, offset, scales };
}
