/** Block scales that share one scale of their own. */
export const NESTED_BLOCK = 256;

/** Block scales in 8 bits: scale = map[code] nested + offset. */
export interface QuantizedScales {
	/** A code per block: [blocks]. */
	readonly absmax: Uint8Array;
	/** A scale per 256 blocks, f32: [ceil(blocks / 256)]. */
	readonly nestedAbsmax: Float32Array;
	/** The values of the codes, f32 [256]. */
	readonly nestedMap: Float32Array;
	/** The mean of the scales, f32. */
	readonly offset: number;
}

const EXPONENTS = 7;

/** `count` points from a to b in f32, from both ends inward and rounded once each, as torch's linspace does. */
function linspace(a: number, b: number, count: number): Float32Array {
	const step = Math.fround(Math.fround(b - Math.fround(a)) / (count - 1));
	return Float32Array.from({ length: count }, (_, i) => (i < count / 2 ? Math.fround(a) + step * i : b - step * (count - 1 - i)));
}

/**
 * The 256 values of signed dynamic 8-bit numbers (Dettmers et al. 2022): for each power of ten from 1e-6 to 1 twice as
 * many fractions as for the one below, both signs, and 0 and 1. Sorted, f32.
 */
export function signedDynamicMap(): Float32Array {
	const values = [0, 1];
	for (let i = 0; i < EXPONENTS; i++) {
		const edges = linspace(0.1, 1, 2 ** i + 1);
		const power = Math.fround(10 ** (i - EXPONENTS + 1));
		for (let j = 0; j < 2 ** i; j++) {
			const mean = Math.fround(Math.fround(edges[j] + edges[j + 1]) / 2);
			values.push(power * mean, -power * mean);
		}
	}
	return Float32Array.from(values).sort();
}

/** Number of midpoints strictly below x. */
function nearest(midpoints: Float32Array, x: number): number {
	let low = 0;
	let high = midpoints.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (midpoints[middle] < x) low = middle + 1;
		else high = middle;
	}
	return low;
}

/** The smallest scale that divides: keeps an all-zero block free of 0 / 0. */
export const TINY = Math.fround(1e-38);

/** The mean of values, summed in float64. torch sums in f32, in an order of its own, so its last bit may differ. */
const mean = (values: Float32Array): number => Math.fround(values.reduce((sum, v) => sum + v, 0) / values.length);

/**
 * Quantises NF4's f32 block scales: `offset`, their mean, is taken off, the rest coded in 8 bits in blocks of 256. Full blocks
 * multiply by the f32 reciprocal of their scale, a shorter last block divides.
 */
export function quantizeScales(scales: Float32Array, offset = mean(scales)): QuantizedScales {
	const nestedMap = signedDynamicMap();
	const midpoints = Float32Array.from({ length: 255 }, (_, i) => (nestedMap[i] + nestedMap[i + 1]) / 2);
	const rest = scales.map((s) => s - offset);
	const absmax = new Uint8Array(scales.length);
	const nestedAbsmax = new Float32Array(Math.ceil(scales.length / NESTED_BLOCK));
	for (let block = 0; block < nestedAbsmax.length; block++) {
		const values = rest.subarray(block * NESTED_BLOCK, (block + 1) * NESTED_BLOCK);
		const max = values.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
		const isFull = values.length === NESTED_BLOCK;
		nestedAbsmax[block] = isFull ? max : Math.max(max, TINY);
		const inverse = Math.fround(1 / max);
		const scaled = (v: number): number => (max === 0 ? 0 : Math.fround(isFull ? v * inverse : v / max));
		values.forEach((v, i) => {
			absmax[block * NESTED_BLOCK + i] = nearest(midpoints, scaled(v));
		});
	}
	return { absmax, nestedAbsmax, nestedMap, offset };
}
