import { data, type Plan, slice, type Tensor, zeros } from "@hushgrad/tensor";
import { entry, gemm, Physical, physicalOf, stacked, stackedViews } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { expectWithin } from "../support/bounds.ts";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

/* Views that kernels read as one where they lie at equal distances, and products of them that are added up. */

/** A tensor as kernels see it, without the record axis. */
const flat = (t: Tensor): Physical => entry(physicalOf(t, 1), 0);

describe("views with a new axis in front", () => {
	const device = useDevice();

	it("lie there already where they follow each other in one memory", () => {
		const all = zeros(device(), [6, 4]);
		const part = (from: number, to: number) => flat(slice(all, 0, from, to));
		const [a, b, c, d] = [0, 2, 4, 3].map((i) => part(i, i + 1));
		const view = stackedViews([a, b, c]);
		expect([view?.shape, view?.strides, view?.offset]).toEqual([[3, 1, 4], [8, 4, 1], 0]);
		expect(stackedViews([b])?.offset).toBe(8);
		expect(stackedViews([a, a])?.strides).toEqual([0, 4, 1]);
		const others: Readonly<Record<string, Physical[]>> = {
			"at other distances": [a, b, d],
			backwards: [c, b, a],
			"of another shape": [a, part(2, 4)],
			"in another order": [a.view({ shape: [2, 2] }), a.view({ shape: [2, 2], strides: [1, 2], offset: 8 })],
			"in another memory": [flat(zeros(device(), [4])), flat(zeros(device(), [4]))],
			"of another type": [a, new Physical(b.runtime, b.storage, "i32", b)],
		};
		for (const [name, views] of Object.entries(others)) expect(stackedViews(views), name).toBeUndefined();
	});

	it("are copied where they lie otherwise", async () => {
		const all = device().fromHost(
			Float32Array.from({ length: 16 }, (_, i) => i),
			[4, 4],
		);
		const row = (i: number) => flat(slice(all, 0, i, i + 1));
		const column = (i: number) => flat(slice(all, 1, i, i + 1)).transpose();
		const y = zeros(device(), [3, 1, 4]);
		const product = (views: readonly Physical[]) => {
			const one = flat(device().fromHost(Float32Array.of(1), [1, 1]));
			const a = one.broadcast([3, 1, 1]);
			gemm(a, stacked(views), { view: flat(y), batchStride: 4, accumulate: false });
			return data(y);
		};
		expect([...(await product([row(2), row(0), row(1)]))]).toEqual([8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7]);
		expect([...(await product([column(2), column(0), row(1)]))]).toEqual([2, 6, 10, 14, 0, 4, 8, 12, 4, 5, 6, 7]);
	});
});

describe.each<Plan>(["cpu", "gpu"])("products that are added up in plan %s", (plan) => {
	const device = useDevice({ plan });
	const [Z, M, K, N] = [3, 6, 40, 8];
	const drawn = (seed: number, size: number): Float32Array => {
		const next = numbers(seed, 0);
		return Float32Array.from({ length: size }, () => 2 * next() - 1);
	};
	const [left, right, before, beside] = [drawn(1, Z * M * K), drawn(2, Z * K * N), drawn(3, M * N), drawn(4, M * N)];

	it.each([
		["alone", false, false],
		["onto what is there", true, false],
		["onto what lies beside", false, true],
	])("are the sum of them all, %s", async (_, accumulate, isBeside) => {
		const [a, b, y, c] = [
			device().fromHost(left, [Z, M, K]),
			device().fromHost(right, [Z, K, N]),
			device().fromHost(before, [1, M, N]),
			device().fromHost(beside, [1, M, N]),
		];
		gemm(flat(a), flat(b), { view: flat(y), batchStride: M * N, accumulate, summed: true, plus: isBeside ? flat(c) : undefined }, M);
		const expected = Float64Array.from({ length: M * N }, (_, i) => {
			const [m, n] = [Math.floor(i / N), i % N];
			let sum = accumulate ? before[i] : isBeside ? beside[i] : 0;
			for (let z = 0; z < Z; z++) for (let k = 0; k < K; k++) sum += left[(z * M + m) * K + k] * right[(z * K + k) * N + n];
			return sum;
		});
		expectWithin(await data(y), expected, { abs: 3e-5, why: "a sum of 120 products of size 1, and of one number more" });
	});
});
