import type { NdArray } from "@hushgrad/tensor/author";
import { expect } from "vitest";
import { numbers } from "./cases.ts";
import { build } from "./nd.ts";

/** Numbers over seven powers of ten. */
export const values = (shape: readonly number[], seed: number, scale = 1): NdArray => {
	const next = numbers(seed, 0);
	return build(shape, () => Math.fround(scale * (2 * next() - 1) * 10 ** (3 * next())));
};
/** Numbers that bf16 holds. */
export const coarse = (x: NdArray): NdArray => {
	const words = new Uint32Array(Float32Array.from(x.data).buffer).map((w) => w & 0xffff0000);
	return { ...x, data: Float64Array.from(new Float32Array(words.buffer)) };
};

/** Checks y = a [Z, M, K] times b [Z, K, N] by float64 and the bound that the plan states. */
export function expectProduct(y: ArrayLike<number>, a: NdArray, b: NdArray): void {
	const [Z, M, K] = a.shape;
	const N = b.shape[2];
	for (let z = 0; z < Z; z++) {
		for (let m = 0; m < M; m++) {
			for (let n = 0; n < N; n++) {
				let [sum, size, sumA, sumB, maxA, maxB] = [0, 0, 0, 0, 0, 0];
				for (let k = 0; k < K; k++) {
					const [u, v] = [a.data[(z * M + m) * K + k], b.data[(z * K + k) * N + n]];
					const [x, w] = [Math.abs(u), Math.abs(v)];
					sum += u * v;
					size += x * w;
					sumA += x;
					sumB += w;
					maxA = Math.max(maxA, x);
					maxB = Math.max(maxB, w);
				}
				const bound = (2 ** -20 + K * 2 ** -23) * size + 2 ** -28 * (maxA * sumB + maxB * sumA);
				const value = y[(z * M + m) * N + n];
				if (!(Math.abs(value - sum) <= bound)) expect.fail(`(${z}, ${m}, ${n}) is ${value}, expected ${sum} within ${bound}`);
			}
		}
	}
}
