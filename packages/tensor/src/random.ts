import type { Device } from "./device.ts";
import { ValueError } from "./errors.ts";
import { type Shape, sizeOf } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/**
 * A random key: 64 bits that name one stream of random numbers. The same key gives the same integers on every device.
 * Not secret and not for privacy noise. Source: Threefry2x32-20, Salmon et al. 2011.
 */
export interface Key {
	readonly k0: number;
	readonly k1: number;
}

const ROTATIONS = [
	[13, 15, 26, 6],
	[17, 29, 16, 24],
] as const;
const PARITY = 0x1bd11bda;

/** Threefry2x32 with 20 rounds: two random words for counter (c0, c1) under the key. */
export function threefry(k0: number, k1: number, c0: number, c1: number): [number, number] {
	const ks = [k0 >>> 0, k1 >>> 0, (PARITY ^ k0 ^ k1) >>> 0];
	let x0 = (c0 + ks[0]) >>> 0;
	let x1 = (c1 + ks[1]) >>> 0;
	for (let round = 0; round < 5; round++) {
		for (const r of ROTATIONS[round % 2]) {
			x0 = (x0 + x1) >>> 0;
			x1 = (((x1 << r) | (x1 >>> (32 - r))) ^ x0) >>> 0;
		}
		x0 = (x0 + ks[(round + 1) % 3]) >>> 0;
		x1 = (x1 + ks[(round + 2) % 3] + round + 1) >>> 0;
	}
	return [x0, x1];
}

/** The same in WGSL: `threefry(key, counter) -> vec2u`. */
export const THREEFRY_WGSL = (() => {
	const lines = ["fn threefry(key: vec2u, counter: vec2u) -> vec2u {", `let k2 = ${PARITY}u ^ key.x ^ key.y;`];
	lines.push("var x = counter.x + key.x; var y = counter.y + key.y;");
	const ks = ["key.x", "key.y", "k2"];
	for (let round = 0; round < 5; round++) {
		for (const r of ROTATIONS[round % 2]) lines.push(`x += y; y = ((y << ${r}u) | (y >> ${32 - r}u)) ^ x;`);
		lines.push(`x += ${ks[(round + 1) % 3]}; y += ${ks[(round + 2) % 3]} + ${round + 1}u;`);
	}
	lines.push("return vec2u(x, y); }");
	return lines.join("\n");
})();

/** A key from a whole number. */
export function key(seed: number): Key {
	if (!Number.isSafeInteger(seed)) throw new ValueError("random/seed", `key: ${seed} is not a whole number`, { op: "key" });
	const [k0, k1] = threefry(0x9e3779b9, 0x243f6a88, seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0);
	return { k0, k1 };
}

/** The key for the `n`-th use of a key (a step, a module, a record). */
export function foldIn({ k0, k1 }: Key, n: number): Key {
	const [a, b] = threefry(k0, k1, n >>> 0, 0xfffffffe);
	return { k0: a, k1: b };
}

/** `n` independent keys. */
export const splitKey = (k: Key, n = 2): Key[] => Array.from({ length: n }, (_, i) => foldIn(k, i));

/** Uniform floats in [0, 1) with 24 random bits each. */
export function uniformValues({ k0, k1 }: Key, count: number): Float32Array {
	const out = new Float32Array(count);
	for (let i = 0; i < count; i += 2) {
		const words = threefry(k0, k1, i >>> 1, 0);
		out[i] = (words[0] >>> 8) / 2 ** 24;
		if (i + 1 < count) out[i + 1] = (words[1] >>> 8) / 2 ** 24;
	}
	return out;
}

/** Standard normal floats, by Box and Muller in float64 on the host. */
export function normalValues({ k0, k1 }: Key, count: number): Float32Array {
	const out = new Float32Array(count);
	for (let i = 0; i < count; i += 2) {
		const [a, b] = threefry(k0, k1, i >>> 1, 1);
		const radius = Math.sqrt(-2 * Math.log((a + 0.5) / 2 ** 32));
		const angle = (2 * Math.PI * b) / 2 ** 32;
		out[i] = radius * Math.cos(angle);
		if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
	}
	return out;
}

export interface UniformOptions {
	readonly low?: number | undefined;
	readonly high?: number | undefined;
}

/** A tensor of uniform values in [low, high). */
export function uniform(device: Device, shape: Shape, k: Key, { low = 0, high = 1 }: UniformOptions = {}): Tensor {
	const values = uniformValues(k, sizeOf(shape)).map((u) => low + (high - low) * u);
	return device.fromHost(values, shape);
}

/** A tensor of normal values with the given mean and standard deviation. */
export function normal(device: Device, shape: Shape, k: Key, { mean = 0, std = 1 } = {}): Tensor {
	const values = normalValues(k, sizeOf(shape)).map((z) => mean + std * z);
	return device.fromHost(values, shape);
}

/** A tensor of whole numbers (i32) in low..high-1. */
export function randint(device: Device, shape: Shape, k: Key, low: number, high: number): Tensor {
	if (!(Number.isInteger(low) && Number.isInteger(high) && low < high)) {
		throw new ValueError("random/range", `randint: ${low}..${high} holds no whole number`, { op: "randint" });
	}
	const values = uniformValues(k, sizeOf(shape)).map((u) => low + Math.floor((high - low) * u));
	return device.fromHost(Int32Array.from(values), shape);
}

/** A tensor that is true with probability p. */
export function bernoulli(device: Device, shape: Shape, k: Key, p: number): Tensor {
	if (!(p >= 0 && p <= 1)) throw new ValueError("random/p", `bernoulli: ${p} is no probability`, { op: "bernoulli" });
	const values = uniformValues(k, sizeOf(shape)).map((u) => Number(u < p));
	return device.fromHost(Uint32Array.from(values), shape, "bool");
}

/** A permutation of 0..n-1 (Fisher and Yates). */
export function permutation(n: number, { k0, k1 }: Key): Int32Array {
	const out = Int32Array.from({ length: n }, (_, i) => i);
	for (let i = n - 1; i > 0; i--) {
		const [hi, lo] = threefry(k0, k1, i, 2);
		const j = Math.floor(((hi * 2 ** 21 + (lo >>> 11)) / 2 ** 53) * (i + 1));
		[out[i], out[j]] = [out[j], out[i]];
	}
	return out;
}
