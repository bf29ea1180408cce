import type { Device } from "./device.ts";
import { ValueError } from "./errors.ts";
import { expects, optionsOf } from "./expects.ts";
import { blaming } from "./named.ts";
import { checkShape, type Shape, sizeOf } from "./shape.ts";
import { shown } from "./shown.ts";
import type { Tensor } from "./tensor.ts";

/**
 * A random key: 64 bits that name one stream of random numbers, as in jax. The same key gives the same numbers each time and
 * everywhere: use it once, and derive others with `splitKey` and `foldIn`. Not secret and not for privacy noise. Source:
 * Threefry2x32-20, Salmon et al. 2011, doi:10.1145/2063384.2063405; keys and streams are not those of jax.
 */
export interface Key {
	/** First half, a whole number below 2^32. */
	readonly k0: number;
	/** Second half, a whole number below 2^32. */
	readonly k1: number;
}

const ROTATIONS = [
	[13, 15, 26, 6],
	[17, 29, 16, 24],
] as const;
const PARITY = 0x1bd11bda;

/** Threefry2x32 with 20 rounds: two random 32-bit words for counter (c0, c1) under key (k0, k1), each taken modulo 2^32. */
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

/** The same in WGSL: `fn threefry(key: vec2u, counter: vec2u) -> vec2u`, for the `helpers` of a kernel. */
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

/** A key from a whole number, negative ones included. @throws ValueError for a number that is none, or not a safe integer. */
export function key(seed: number): Key {
	if (!Number.isSafeInteger(seed))
		throw new ValueError("random/seed", `key: seed is ${shown(seed)}, expected a whole number`, { op: "key" });
	const [k0, k1] = threefry(0x9e3779b9, 0x243f6a88, seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0);
	return { k0, k1 };
}

/**
 * The key for the `n`-th use of a key (a step, a module, a record), independent of the keys of other n: jax's `fold_in`.
 * @throws ValueError unless n is a whole number from 0 to 2^32 - 1.
 */
export function foldIn(k: Key, n: number): Key {
	expects("foldIn", { k, n }, { k: "key", n: "number" });
	if (n >>> 0 !== n) {
		throw new ValueError("random/fold", `foldIn: ${n} is no whole number from 0 to 2^32 - 1`, {
			op: "foldIn",
			hint: "for a larger number fold in its halves, one after the other",
		});
	}
	const [a, b] = threefry(k.k0, k.k1, n, 0xfffffffe);
	return { k0: a, k1: b };
}

/** `n` independent keys, the i-th being `foldIn(k, i)`; use them in place of k. jax's `split`. */
export function splitKey(k: Key, n = 2): Key[] {
	expects("splitKey", { k, n }, { k: "key", n: "count" });
	checkCount("splitKey", n);
	return Array.from({ length: n }, (_, i) => foldIn(k, i));
}

/** Refuses what no array of the host holds. */
function checkCount(op: string, count: number): void {
	if (count <= MAX_VALUES) return;
	throw new ValueError("random/count", `${op}: ${count} are more than the ${MAX_VALUES} that one call makes on the host`, { op });
}

/** The number of elements, which the host holds. */
function countOf(op: string, shape: Shape): number {
	checkShape(op, shape);
	checkCount(op, sizeOf(shape));
	return sizeOf(shape);
}

const MAX_VALUES = 2 ** 29;

/** `count` uniform f32 in [0, 1), whole multiples of 2^-24, made on the host. A longer array begins with the shorter one. */
export function uniformValues(k: Key, count: number): Float32Array {
	expects("uniformValues", { k, count }, { k: "key", count: "count" });
	checkCount("uniformValues", count);
	const { k0, k1 } = k;
	const out = new Float32Array(count);
	for (let i = 0; i < count; i += 2) {
		const words = threefry(k0, k1, i >>> 1, 0);
		out[i] = (words[0] >>> 8) / 2 ** 24;
		if (i + 1 < count) out[i + 1] = (words[1] >>> 8) / 2 ** 24;
	}
	return out;
}

/**
 * `count` standard normal values, by Box and Muller in float64 on the host, rounded to f32; none is beyond 6.8 in size. A
 * longer array begins with the shorter one.
 */
export function normalValues(k: Key, count: number): Float32Array {
	expects("normalValues", { k, count }, { k: "key", count: "count" });
	checkCount("normalValues", count);
	const { k0, k1 } = k;
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

/** Range of `uniform`. */
export interface UniformOptions {
	/** Least value; 0 when left out. */
	readonly low?: number | undefined;
	/** Upper end, never a value itself; 1 when left out. */
	readonly high?: number | undefined;
}

/**
 * An f32 tensor of uniform values low + (high - low) u in [low, high), u as of `uniformValues`, rounded to f32 as low and high are;
 * what would round up to high is low. Of equal ends every value is low. Made on the host and uploaded: inside a private program a
 * PrivacyError, as for all random tensors; draw outside and pass them in. @throws ValueError unless low <= high, both finite.
 */
export function uniform(device: Device, shape: Shape, k: Key, options: UniformOptions = {}): Tensor {
	expects("uniform", { device, shape, k }, { device: "device", shape: "shape", k: "key" });
	const { low = 0, high = 1 } = optionsOf("uniform", options, { low: "number?", high: "number?" });
	const [first, end] = [Math.fround(low), Math.fround(high)];
	if (!(Number.isFinite(end - first) && low <= high)) {
		throw new ValueError("random/range", `uniform: ${low}..${high} is no range of f32`, { op: "uniform" });
	}
	const values = uniformValues(k, countOf("uniform", shape)).map((u) => {
		const value = Math.fround(low + (high - low) * u);
		return value < end ? value : first;
	});
	return blaming("uniform", () => device.fromHost(values, shape));
}

/** Options of `normal`. */
export interface NormalOptions {
	/** 0 when left out. */
	readonly mean?: number | undefined;
	/** Standard deviation, 0 or more; 1 when left out. */
	readonly std?: number | undefined;
}

/**
 * An f32 tensor of normal values with the given mean (0) and standard deviation (1), as of `normalValues`. Made on the host.
 * @throws ValueError unless mean and std are finite, and std is not negative.
 */
export function normal(device: Device, shape: Shape, k: Key, options: NormalOptions = {}): Tensor {
	expects("normal", { device, shape, k }, { device: "device", shape: "shape", k: "key" });
	const { mean = 0, std = 1 } = optionsOf("normal", options, { mean: "number?", std: "number?" });
	if (!(Number.isFinite(mean) && Number.isFinite(std) && std >= 0)) {
		throw new ValueError("random/normal", `normal: mean is ${shown(mean)}, std ${shown(std)}, expected finite numbers, std not negative`, {
			op: "normal",
		});
	}
	const values = normalValues(k, countOf("normal", shape)).map((z) => mean + std * z);
	return blaming("normal", () => device.fromHost(values, shape));
}

/** floor((range word + carry) / 2^32), exactly: range is at most 2^32, word and carry are below. */
const scaled = (range: number, word: number, carry: number): number => {
	const low = (range % 2 ** 16) * word + carry;
	return Math.floor((Math.floor(range / 2 ** 16) * word + Math.floor(low / 2 ** 16)) / 2 ** 16);
};

/**
 * An i32 tensor of whole numbers from low to high - 1, each as likely to within 2^-32 of its probability. A longer tensor begins
 * with the shorter one. Made on the host.
 * @throws ValueError unless low and high are whole numbers, low < high, and i32 holds low and high - 1.
 */
export function randint(device: Device, shape: Shape, k: Key, low: number, high: number): Tensor {
	expects("randint", { device, shape, k, low, high }, { device: "device", shape: "shape", k: "key", low: "number", high: "number" });
	if (!(Number.isInteger(low) && Number.isInteger(high) && low < high)) {
		throw new ValueError("random/range", `randint: ${low}..${high} holds no whole number`, { op: "randint" });
	}
	if (low < -(2 ** 31) || high > 2 ** 31) {
		throw new ValueError("random/range", `randint: i32 does not hold all of ${low}..${high}`, {
			op: "randint",
			hint: "low is at least -2^31, high at most 2^31, itself not drawn",
		});
	}
	const values = new Int32Array(countOf("randint", shape));
	for (let i = 0; i < values.length; i += 2) {
		const heads = threefry(k.k0, k.k1, i >>> 1, 0);
		const tails = threefry(k.k0, k.k1, i >>> 1, 3);
		for (let j = 0; j < 2; j++) values[i + j] = low + scaled(high - low, heads[j], scaled(high - low, tails[j], 0));
	}
	return blaming("randint", () => device.fromHost(values, shape));
}

/** A bool tensor, each element true with probability p. Made on the host. @throws ValueError unless 0 <= p <= 1. */
export function bernoulli(device: Device, shape: Shape, k: Key, p: number): Tensor {
	expects("bernoulli", { device, shape, k, p }, { device: "device", shape: "shape", k: "key", p: "number" });
	if (!(p >= 0 && p <= 1)) throw new ValueError("random/p", `bernoulli: ${p} is no probability`, { op: "bernoulli" });
	const values = uniformValues(k, countOf("bernoulli", shape)).map((u) => Number(u < p));
	return blaming("bernoulli", () => device.fromHost(Uint32Array.from(values), shape, "bool"));
}

/** A random order of 0..n-1, on the host (Fisher and Yates). The same key and n give the same order. */
export function permutation(n: number, k: Key): Int32Array {
	expects("permutation", { n, k }, { n: "count", k: "key" });
	checkCount("permutation", n);
	const { k0, k1 } = k;
	const out = Int32Array.from({ length: n }, (_, i) => i);
	for (let i = n - 1; i > 0; i--) {
		const [hi, lo] = threefry(k0, k1, i, 2);
		const j = Math.floor(((hi * 2 ** 21 + (lo >>> 11)) / 2 ** 53) * (i + 1));
		[out[i], out[j]] = [out[j], out[i]];
	}
	return out;
}
