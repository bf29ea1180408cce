import * as t from "@hushgrad/tensor";
import { data, type Tensor } from "@hushgrad/tensor";
import type { NdArray } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectWithin } from "../support/bounds.ts";
import { layouts, numbers, upload } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { RUNS } from "../support/environment.ts";
import { alongAxis, at, build, reduce } from "../support/nd.ts";

/* Axes long enough for the kernels that work in runs, tiles and passes: 256 values a partial sum, 4 x 8 a tile. */

const CALLS = Math.max(3, Math.ceil(RUNS / 20));
const device = useDevice({ debug: { memory: true } });

const add = (a: number, b: number): number => a + b;

interface Long {
	readonly run: (x: Tensor) => Tensor;
	readonly expected: (x: NdArray) => NdArray;
	/** Error for rows of n values of size up to 1. */
	readonly abs: (n: number) => number;
}

/** n additions of partial sums up to n in size, each rounded: n^2 / 2 * 2^-24 at the very worst. */
const summed = (n: number): number => n * n * 2 ** -25;

const REDUCTIONS: Record<string, Long> = {
	sum: { run: (x) => t.sum(x, [1]), expected: (x) => reduce(x, [1], (v) => v.reduce(add, 0)), abs: summed },
	"sum of everything": { run: (x) => t.sum(x), expected: (x) => reduce(x, [0, 1], (v) => v.reduce(add, 0)), abs: (n) => 9 * summed(n) },
	"sum over the first axis": {
		run: (x) => t.sum(t.transpose(x), [0]),
		expected: (x) => reduce(x, [1], (v) => v.reduce(add, 0)),
		abs: summed,
	},
	amax: { run: (x) => t.amax(x, [1]), expected: (x) => reduce(x, [1], (v) => Math.max(...v)), abs: () => 0 },
	amin: { run: (x) => t.amin(x, [1]), expected: (x) => reduce(x, [1], (v) => Math.min(...v)), abs: () => 0 },
	argmax: { run: (x) => t.argmax(x, 1), expected: (x) => reduce(x, [1], (v) => v.indexOf(Math.max(...v))), abs: () => 0 },
	logsumexp: {
		run: (x) => t.logsumexp(x, [1]),
		expected: (x) => reduce(x, [1], (v) => Math.log(v.map(Math.exp).reduce(add, 0))),
		abs: (n) => 1e-5 + n * 2 ** -24,
	},
	softmax: {
		run: (x) => t.softmax(x),
		expected: (x) =>
			alongAxis(x, 1, (v) => {
				const total = v.map(Math.exp).reduce(add, 0);
				return v.map((u) => Math.exp(u) / total);
			}),
		abs: (n) => 1e-6 + 2 ** -22 * (n / 1000),
	},
	cumsum: {
		run: (x) => t.cumsum(x, 1),
		expected: (x) =>
			alongAxis(x, 1, (v) => {
				let total = 0;
				return v.map((u) => {
					total += u;
					return total;
				});
			}),
		abs: summed,
	},
	sort: { run: (x) => t.sort(x).values, expected: (x) => alongAxis(x, 1, (v) => v.toSorted((a, b) => a - b)), abs: () => 0 },
	"indices of a descending sort": {
		run: (x) => t.sort(t.cast(t.mul(x, 8), "i32"), { descending: true }).indices,
		expected: (x) =>
			alongAxis(x, 1, (v) => {
				const keys = v.map((u) => Math.trunc(u * 8));
				return [...keys.keys()].sort((i, j) => keys[j] - keys[i] || i - j);
			}),
		abs: () => 0,
	},
	layerNorm: {
		run: (x) => t.layerNorm(x),
		expected: (x) =>
			alongAxis(x, 1, (v) => {
				const m = v.reduce(add, 0) / v.length;
				const s = v.reduce((q, u) => q + (u - m) ** 2, 0) / v.length;
				return v.map((u) => (u - m) / Math.sqrt(s + 1e-5));
			}),
		abs: (n) => 1e-5 + n * 2 ** -23,
	},
};

describe.each(Object.entries(REDUCTIONS))("%s", (_, { run, expected, abs }) => {
	it("of up to 3,000 values in a row equals its float64 reference", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.nat(2 ** 31 - 1),
				fc.integer({ min: 1, max: 3000 }),
				fc.integer({ min: 1, max: 3 }),
				layouts,
				async (seed, n, m, layout) => {
					const next = numbers(seed, 0);
					const x = build([m, n], () => Math.fround(2 * next() - 1));
					const y = device().scope<Tensor>(() => run(upload(device(), x, "f32", layout)));
					const wanted = expected(x);
					expect(y.shape).toEqual(wanted.shape);
					expectWithin(await data(y), wanted.data, { abs: abs(n), ulp: 8, why: "length of the sum" });
					y.dispose();
				},
			),
			{ numRuns: CALLS },
		);
		await device().flush();
	});
});

describe("products", () => {
	it("of matrices of many tiles equal their float64 reference, and so do their gradients", async () => {
		const sizes = fc.integer({ min: 1, max: 70 });
		await fc.assert(
			fc.asyncProperty(fc.nat(2 ** 31 - 1), sizes, sizes, fc.integer({ min: 1, max: 300 }), layouts, async (seed, m, n, k, layout) => {
				const next = numbers(seed, 0);
				const value = () => Math.fround(2 * next() - 1);
				const [x, w, v] = [build([2, m, k], value), build([n, k], value), build([2, m, n], value)];
				const { value: y, grads } = device().scope(() => {
					const [a, b, c] = [x, w, v].map((q) => upload(device(), q, "f32", layout));
					const r = t.vjp(t.linear, [a, b], c);
					return { value: r.value, grads: [...r.grads] };
				});
				const dot = (length: number, f: (i: number) => number): number => {
					let total = 0;
					for (let i = 0; i < length; i++) total += f(i);
					return total;
				};
				const bound = (length: number) => ({ abs: length * length * 2 ** -25, why: "length of the sum" });
				expectWithin(await data(y), build([2, m, n], ([z, i, j]) => dot(k, (q) => at(x, [z, i, q]) * at(w, [j, q]))).data, bound(k));
				expectWithin(await data(grads[0]), build([2, m, k], ([z, i, q]) => dot(n, (j) => at(v, [z, i, j]) * at(w, [j, q]))).data, bound(n));
				const dw = build([n, k], ([j, q]) =>
					dot(2 * m, (zi) => at(v, [Math.floor(zi / m), zi % m, j]) * at(x, [Math.floor(zi / m), zi % m, q])),
				);
				expectWithin(await data(grads[1]), dw.data, bound(2 * m));
				for (const g of [y, ...grads]) g.dispose();
			}),
			{ numRuns: CALLS },
		);
		await device().flush();
	});
});
