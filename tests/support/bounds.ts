import type { Bound } from "@hushgrad/tensor/author";
import { expect } from "vitest";
import { numbers } from "./cases.ts";

/** Throws unless every element is as near to its reference as the bound allows, NaN where it is NaN. */
export function expectWithin(actual: ArrayLike<number>, expected: ArrayLike<number>, { abs = 0, ulp = 0, why }: Bound): void {
	expect(actual.length).toBe(expected.length);
	for (let i = 0; i < expected.length; i++) {
		const [a, e] = [actual[i], expected[i]];
		const allowed = abs + (ulp + 2) * 2 ** -23 * Math.abs(e) + 2 ** -126;
		if (a === e || (Number.isNaN(a) && Number.isNaN(e)) || Math.abs(a - e) <= allowed) continue;
		throw new Error(`element ${i} is ${a}, expected ${e} within ${allowed} (${why})`);
	}
}

/** Throws unless every element is the same number, the sign of 0 included, and NaN where it is NaN. */
export function expectSame(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
	expect(actual.length, what).toBe(expected.length);
	for (let i = 0; i < expected.length; i++) {
		if (!Object.is(actual[i], expected[i])) throw new Error(`${what}: element ${i} is ${actual[i]}, expected ${expected[i]} to the bit`);
	}
}

/** Weights of a random linear functional. */
export function cotangent(seed: number, length: number): Float64Array {
	const next = numbers(seed, 77);
	return Float64Array.from({ length }, () => Math.fround(next() - 0.5));
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
	let s = 0;
	for (let i = 0; i < a.length; i++) s += a[i] * b[i];
	return s;
}

/** The sum of the sizes of the terms of a dot product: what its rounding is in proportion to. */
export function dotSize(a: ArrayLike<number>, b: ArrayLike<number>): number {
	let s = 0;
	for (let i = 0; i < a.length; i++) s += Math.abs(a[i] * b[i]);
	return s;
}
