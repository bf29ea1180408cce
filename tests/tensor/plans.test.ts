import {
	cast,
	type Device,
	type DType,
	data,
	linear,
	linearCrossEntropy,
	matmul,
	requestDevice,
	reshape,
	slice,
	squeeze,
	sum,
	type Tensor,
	transpose,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { defineKernel, type NdArray, runtimeOf, wgsl, writes } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { planFor } from "../../packages/tensor/src/gpu/plan.ts";
import { extentOf, TILES, type Tile } from "../../packages/tensor/src/ops/gemm.tiled.kernel.ts";
import { expectSame, expectWithin } from "../support/bounds.ts";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { build } from "../support/nd.ts";
import { smallDevice } from "../support/smallDevice.ts";

const device = useDevice({ plan: "gpu" });
const other = useDevice({ plan: "cpu" });

const values = (shape: readonly number[], seed: number): NdArray => {
	const next = numbers(seed, 0);
	return build(shape, () => Math.fround(2 * next() - 1));
};
const upload = (x: NdArray, on: Device = device()): Tensor => on.fromHost([...x.data], x.shape);

/** a [Z, M, K] times b [Z, K, N], in float64. */
function product(a: NdArray, b: NdArray): Float64Array {
	const [Z, M, K] = a.shape;
	const N = b.shape[2];
	const y = new Float64Array(Z * M * N);
	for (let z = 0; z < Z; z++) {
		for (let m = 0; m < M; m++) {
			for (let k = 0; k < K; k++) {
				const v = a.data[(z * M + m) * K + k];
				for (let n = 0; n < N; n++) y[(z * M + m) * N + n] += v * b.data[(z * K + k) * N + n];
			}
		}
	}
	return y;
}

const bound = (k: number) => ({ abs: k * k * 2 ** -25, why: "length of the sum" });
const swapped = ({ data: from, shape: [z, m, n] }: NdArray): NdArray => build([z, n, m], ([i, j, k]) => from[(i * m + k) * n + j]);

/** Kernels of plan gpu that products ran, by the tile. */
const tilesRun = (): Set<string> =>
	new Set(
		runtimeOf(device())
			.pipelines.kernels()
			.flatMap(({ key }) => /^gemm\/tiled\/.*\/(\w+)$/.exec(key)?.[1] ?? []),
	);

/** Batches of so many matrices for which a tile is chosen: extents beyond one tile, with a rest, or all within. */
const SHAPES: readonly (readonly [tile: Tile, Z: number, M: number, N: number])[] = [
	["128x128", 64, 131, 134],
	["128x128", 64, 132, 136],
	["64x64", 64, 65, 67],
	["64x64", 64, 68, 72],
	["32x32", 3, 33, 35],
	["32x32", 2, 36, 40],
	["64x16", 2, 67, 5],
	["64x16", 2, 68, 8],
	["16x64", 2, 5, 67],
	["16x64", 2, 8, 68],
	["4x256", 128, 3, 259],
	["4x256", 128, 4, 260],
];

describe.each(SHAPES)("tile %s, for %i products %i x K x %i", (tile, Z, M, N) => {
	// Depths of a part of a slice, of one, and of several with a rest.
	it.each(M % 4 === 0 ? [12, 32, 100] : [1, 50])("equals float64 over K = %i, whichever axis of a and b is innermost", async (K) => {
		const [a, b] = [values([Z, M, K], 1), values([Z, K, N], 2)];
		const expected = product(a, b);
		for (const [turnsA, turnsB] of [
			[false, false],
			[true, false],
			[false, true],
			[true, true],
		]) {
			const y = device().scope<Tensor>(() => {
				const given = (x: NdArray, turns: boolean): Tensor => (turns ? transpose(upload(swapped(x)), 1, 2) : upload(x));
				return matmul(given(a, turnsA), given(b, turnsB));
			});
			expectWithin(await data(y), expected, bound(K));
			y.dispose();
		}
		expect(tilesRun()).toContain(tile);
	});
});

it("every tile is chosen for some shape, and keeps to what every device grants", () => {
	expect(new Set(SHAPES.map(([tile]) => tile))).toEqual(new Set(Object.keys(TILES)));
	for (const { x, y, rows, columns, depth } of Object.values(TILES)) {
		expect(x * y).toBeLessThanOrEqual(256);
		expect(16 * depth * (y * rows + x * columns)).toBeLessThanOrEqual(16384);
	}
	expect(extentOf("128x128")).toEqual({ rows: 128, columns: 128 });
});

it.each(["f16", "bf16"] as DType[])("a weight in %s is widened", async (dtype) => {
	const [x, w] = [values([1, 40, 44], 3), values([1, 48, 44], 4)];
	const run = (on: Device): Tensor => on.scope<Tensor>(() => linear(squeeze(upload(x, on), 0), cast(squeeze(upload(w, on), 0), dtype)));
	if (dtype === "f16" && !device().has("shader-f16")) return;
	const [y, z] = [run(device()), run(other())];
	expectWithin(await data(y), Float64Array.from(await data(z)), bound(44));
	for (const t of [y, z]) t.dispose();
});

it("an element is the same by any tile: products of a batch, and each alone", async () => {
	const [Z, M, K, N] = [64, 132, 21, 136];
	const { together, alone } = device().scope(() => {
		const [a, b] = [upload(values([Z, M, K], 5)), upload(values([Z, K, N], 6))];
		const one = (t: Tensor): Tensor => slice(t, 0, 7, 8);
		const some = slice(one(a), 1, 0, 9);
		return { together: one(matmul(a, b)), alone: [matmul(one(a), one(b)), matmul(some, one(b))] };
	});
	const whole = await data(together);
	for (const t of alone) expectSame(await data(t), whole.slice(0, t.size), `${t.shape}`);
	for (const t of [together, ...alone]) t.dispose();
});

describe("sums in parts", () => {
	const dispatches = (): number => device().counters().dispatches;

	it.each([
		[1, 1000, 40],
		[7, 517, 300],
		[200, 700, 8],
		[3, 256, 3],
		[130, 2100, 72],
	])("%i rows of %i numbers by %i columns equal float64, in two passes", async (M, K, N) => {
		const [x, w] = [values([1, M, K], 7), values([1, K, N], 8)];
		const before = dispatches();
		const [a, b] = [squeeze(upload(x), 0), transpose(squeeze(upload(w), 0))];
		const y = linear(a, b);
		expect(dispatches() - before).toBe(2);
		expectWithin(await data(y), product(x, w), bound(K));
		for (const t of [a, b, y]) t.dispose();
	});

	it.each([
		[40, 30, 400, 72],
		[12, 40, 2100, 136],
	])("do not depend on the number of records, of which there may be as many as make another tile better: %i x %i", async (B, T, K, N) => {
		const some = [0, B >> 1, B - 1];
		const lists = device().scope<{ together: Tensor; alone: Tensor[] }>(() => {
			const x = upload(values([B, T, K], 9));
			const w = reshape(upload(values([1, N, K], 10)), [N, K]);
			const together = vmap((record: Tensor) => linear(record, w))(x);
			return { together, alone: some.map((b) => linear(squeeze(slice(x, 0, b, b + 1), 0), w)) };
		});
		const whole = await data(lists.together);
		for (const [i, b] of some.entries()) {
			expectSame(await data(lists.alone[i]), whole.slice(b * T * N, (b + 1) * T * N), `record ${b}`);
		}
		for (const t of [lists.together, ...lists.alone]) t.dispose();
	});

	it("of the gradient by the hidden states of a head do not, either", async () => {
		const [B, T, V, D] = [9, 40, 2100, 72];
		const grads = device().scope<{ together: Tensor; alone: Tensor }>(() => {
			const w = reshape(upload(values([1, V, D], 14)), [V, D]);
			const labels = device().fromHost(
				Int32Array.from({ length: B * T }, (_, i) => (37 * i) % V),
				[B, T],
			);
			const run = vmap((value: Tensor, own: Tensor) => {
				const h = { value };
				return valueAndGrad(() => sum(linearCrossEntropy(h.value, w, own)), [h]).grads[0];
			});
			const h = upload(values([B, T, D], 13));
			return { together: run(h, labels), alone: run(slice(h, 0, 4, 5), slice(labels, 0, 4, 5)) };
		});
		expectSame(await data(grads.alone), (await data(grads.together)).slice(4 * T * D, 5 * T * D), "record 4");
		for (const t of [grads.together, grads.alone]) t.dispose();
	});

	it("are right where the weight is larger than one binding", async () => {
		const small = await smallDevice(2 ** 18, "gpu");
		const [x, w] = [values([1, 3, 512], 11), values([1, 512, 300], 12)];
		const y = small.scope<Tensor>(() => linear(squeeze(upload(x, small), 0), squeeze(upload(swapped(w), small), 0)));
		expectWithin(await data(y), product(x, w), bound(512));
		small.destroy();
	});

	it("are for linear maps alone: products, whose rows may be streamed, are summed in order", async () => {
		const before = dispatches();
		const y = device().scope<Tensor>(() => matmul(upload(values([1, 8, 1000], 1)), upload(values([1, 1000, 8], 2))));
		expect(dispatches() - before).toBe(1);
		y.dispose();
	});
});

describe("the plan of a device", () => {
	const software = { vendor: "mesa", architecture: "", device: "llvmpipe", description: "" };
	const graphics = { vendor: "nvidia", architecture: "hopper", device: "", description: "" };
	const granted = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 };

	it("follows from the kind of the adapter", () => {
		expect(planFor(software, granted).plan).toBe("cpu");
		expect(planFor(graphics, granted).plan).toBe("gpu");
		expect(planFor(software, granted, "gpu").plan).toBe("gpu");
		expect(planFor(graphics, granted, "cpu").plan).toBe("cpu");
		expect([device().plan, other().plan]).toEqual(["gpu", "cpu"]);
	});

	it.each([
		["maxComputeWorkgroupStorageSize", 16383],
		["maxComputeInvocationsPerWorkgroup", 128],
	])("that lacks %s is cpu; asked for gpu it says what is missing", (limit, value) => {
		const limits = { ...granted, [limit]: value };
		expect(planFor(graphics, limits).plan).toBe("cpu");
		expect(planFor(graphics, limits, "cpu").plan).toBe("cpu");
		expect(() => planFor(graphics, limits, "gpu")).toThrow(
			expect.objectContaining({
				name: "DeviceError",
				code: "device/plan",
				message: expect.stringContaining(`${limit} is ${value}`),
				hint: expect.stringContaining('"cpu"'),
			}),
		);
	});

	it("is one of those that there are", async () => {
		await expect(requestDevice({ plan: "tpu" as "gpu" })).rejects.toMatchObject({
			name: "ValueError",
			message: expect.stringContaining("plan"),
		});
	});

	it.each([
		[1024 * 1024, 1],
		[4, 4096],
	])(
		"a kernel that shares %i numbers among %i invocations, which no workgroup has, is refused before it is compiled",
		(length, workgroup) => {
			const kernel = defineKernel("needy", {
				params: { n: "u32" },
				buffers: { y: writes("f32") },
				workgroup,
				shared: { all: { type: "f32", length } },
				body: wgsl`all[lane % ${length}u] = 1.0; workgroupBarrier(); if (index < p.n) { y_set(index, all[0]); }`,
			});
			const run = () => device().scope<void>(() => kernel.run({ y: runtimeOf(device()).empty([4]) }, { n: 4 }, 4));
			expect(run).toThrow(
				expect.objectContaining({ name: "DeviceError", code: "kernel/workgroup", hint: expect.stringContaining('plan: "cpu"') }),
			);
		},
	);
});
