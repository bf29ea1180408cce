const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** High 32 bits of the product of two u32, by 16-bit halves. */
function mulHigh(a: number, b: number): number {
	const aLow = a & 0xffff;
	const aHigh = a >>> 16;
	const bLow = b & 0xffff;
	const bHigh = b >>> 16;
	const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
	const carry = ((middle & 0xffff) + aLow * bHigh) >>> 16;
	return (aHigh * bHigh + (middle >>> 16) + carry) >>> 0;
}

/** Four u32. */
export type Words4 = readonly [number, number, number, number];

/**
 * Philox4x32-10: four pseudo-random u32 that depend only on the counter and the key. Not cryptographic.
 * Source: Salmon, Moraes, Dror, Shaw 2011.
 */
export function philox4x32(counter: Words4, key: readonly [number, number]): Words4 {
	let [c0, c1, c2, c3] = counter;
	let [k0, k1] = key;
	for (let round = 0; round < ROUNDS; round++) {
		const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
		const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
		const next0 = (mulHigh(MULTIPLIER_1, c2) ^ c1 ^ k0) >>> 0;
		c2 = (mulHigh(MULTIPLIER_0, c0) ^ c3 ^ k1) >>> 0;
		c0 = next0;
		c1 = low1;
		c3 = low0;
		k0 = (k0 + WEYL_0) >>> 0;
		k1 = (k1 + WEYL_1) >>> 0;
	}
	return [c0, c1, c2, c3];
}
