import {
	cast,
	type Device,
	data,
	linear,
	matmul,
	requestDevice,
	reshape,
	slice,
	squeeze,
	type Tensor,
	transpose,
	vmap,
} from "@hushgrad/tensor";
import { gemm, type NdArray, runtimeOf } from "@hushgrad/tensor/author";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EMULATED, MATRIX_FEATURES, matrixUnitOf } from "../../packages/tensor/src/gpu/matrices.ts";
import { planFor } from "../../packages/tensor/src/gpu/plan.ts";
import { expectSame } from "../support/bounds.ts";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { matrixDevice } from "../support/matrixDevice.ts";
import { coarse, expectProduct, values } from "../support/matrixProducts.ts";
import { build } from "../support/nd.ts";

const other = useDevice({ plan: "gpu" });
let opened: Device | undefined;
beforeAll(async () => {
	opened = await matrixDevice();
});
afterAll(() => opened?.destroy());
const device = (): Device => {
	if (opened === undefined) throw new Error("no device");
	return opened;
};

const upload = (x: NdArray, on: Device = device()): Tensor => on.fromHost([...x.data], x.shape);
const swapped = ({ data: from, shape: [z, m, n] }: NdArray): NdArray => build([z, n, m], ([i, j, k]) => from[(i * m + k) * n + j]);

describe.each([
	[1, 33, 35],
	[2, 40, 36],
	[1, 65, 130],
])("%i products of %i x K x %i", (Z, M, N) => {
	it.each(M % 4 === 0 ? [4, 32, 100] : [1, 50])("equal float64 over K = %i, whichever axis of a and b is innermost", async (K) => {
		const [a, b] = [values([Z, M, K], 1, 1e-4), values([Z, K, N], 2, 1e6)];
		for (const [turnsA, turnsB] of [
			[false, false],
			[true, true],
		]) {
			const y = device().scope<Tensor>(() => {
				const given = (x: NdArray, turns: boolean): Tensor => (turns ? transpose(upload(swapped(x)), 1, 2) : upload(x));
				return matmul(given(a, turnsA), given(b, turnsB));
			});
			expectProduct(await data(y), a, b);
			y.dispose();
		}
		const kernels = runtimeOf(device()).pipelines.kernels();
		expect(kernels.some(({ key }) => key.startsWith("gemm/matrix/"))).toBe(true);
	});
});

it("sums longer than a workgroup takes of a row at once", async () => {
	const [a, b] = [values([1, 34, 600], 15, 1e-4), values([1, 600, 36], 16)];
	for (let i = 300; i < a.data.length; i += 600) a.data[i] = i;
	const y = device().scope<Tensor>(() => matmul(transpose(upload(swapped(a)), 1, 2), upload(b)));
	expectProduct(await data(y), a, b);
	y.dispose();
});

it("batches that share a matrix, whichever it is", async () => {
	const [a, b] = [values([3, 40, 36], 3), values([3, 36, 44], 4)];
	const first = (x: NdArray): NdArray => build(x.shape, ([_, i, j]) => x.data[i * x.shape[2] + j]);
	const one = (x: NdArray): Tensor => squeeze(slice(upload(x), 0, 0, 1), 0);
	const { right, left } = device().scope(() => ({
		right: vmap((x: Tensor) => transpose(linear(transpose(x), one(swapped(b)))))(upload(swapped(a))),
		left: vmap((w: Tensor) => matmul(one(a), w))(upload(b)),
	}));
	expectProduct(await data(left), first(a), b);
	const turned = swapped({ data: Float64Array.from(await data(right)), shape: right.shape });
	expectProduct(turned.data, a, first(b));
	for (const t of [right, left]) t.dispose();
});

it("a weight in f16 is taken as it is", async () => {
	if (!device().has("shader-f16")) return;
	const [x, w] = [values([1, 40, 44], 3), values([1, 48, 44], 4)];
	const { y, narrow } = device().scope(() => {
		const half = cast(squeeze(upload(w), 0), "f16");
		return { y: linear(squeeze(upload(x), 0), half), narrow: cast(half, "f32") };
	});
	expectProduct(await data(y), x, swapped({ data: Float64Array.from(await data(narrow)), shape: [1, 48, 44] }));
	for (const t of [y, narrow]) t.dispose();
});

it.each([
	[1, 50, 33, 50, 10240],
	[4, 20, 33, 34, 18432],
])("%i products %i x %i x %i whose factors exceed a binding in f16, %i bytes, are taken in parts", async (Z, M, K, N, bytes) => {
	const small = await matrixDevice({ maxStorageBufferBindingSize: bytes });
	const [a, b] = [values([Z, M, K], 13), values([Z, K, N], 14)];
	const y = small.scope<Tensor>(() => matmul(upload(a, small), upload(b, small)));
	expectProduct(await data(y), a, b);
	expect(small.counters().dispatches).toBeGreaterThan(4);
	small.destroy();
});

it("rows and columns far apart in size, of zeros and of numbers below the normal ones, each as exact as alone", async () => {
	const sizes = [1e-38, 1e-30, 1e-3, 1, 0, 1e5, 1e17];
	const next = numbers(5, 0);
	const a = build([1, 42, 40], ([_, m]) => Math.fround(sizes[m % 7] * (1 + next())));
	const b = build([1, 40, 35], ([_, k, n]) => Math.fround(sizes[n % 7] * (1 + next()) * (k % 2 === 0 ? 1 : -1)));
	const [y, z] = [device(), other()].map((on) => on.scope<Tensor>(() => matmul(upload(a, on), upload(b, on))));
	const [own, f32] = [await data(y), await data(z)];
	for (let m = 0; m < 42; m++) {
		for (let n = 0; n < 35; n++) {
			const [value, expected] = [own[m * 35 + n], f32[m * 35 + n]];
			const size = 40 * 4 * sizes[m % 7] * sizes[n % 7];
			if (size > 3e38) continue;
			expect(Math.abs(value - expected)).toBeLessThanOrEqual(2 ** -17 * size + 40 * 2 ** -126);
		}
	}
	for (const t of [y, z]) t.dispose();
});

it("infinity and NaN stay in their rows and columns, as in f32", async () => {
	const [a, b] = [values([1, 37, 40], 6), values([1, 40, 41], 7)];
	a.data[3 * 40 + 7] = Number.NaN;
	a.data[5 * 40 + 1] = Number.POSITIVE_INFINITY;
	a.data[6 * 40 + 2] = Number.NEGATIVE_INFINITY;
	b.data[2 * 41 + 9] = 0;
	b.data[4 * 41 + 11] = Number.POSITIVE_INFINITY;
	b.data[30 * 41 + 12] = Number.NaN;
	const [y, z] = [device(), other()].map((on) => on.scope<Tensor>(() => matmul(upload(a, on), upload(b, on))));
	const kind = (v: number): string => (Number.isFinite(v) ? "finite" : String(v));
	const [own, f32] = [await data(y), await data(z)];
	expect(Array.from(own, kind)).toEqual(Array.from(f32, kind));
	expect(new Set(Array.from(own, kind))).toEqual(new Set(["finite", "Infinity", "-Infinity", "NaN"]));
	for (const t of [y, z]) t.dispose();
});

it.each([
	["what is there", false],
	["another", true],
])("a product of a matrix in bf16 is added to %s", async (_, isApart) => {
	const runtime = runtimeOf(device());
	const [x, w, c] = [values([1, 36, 40], 8), coarse(values([1, 40, 44], 9)), values([1, 36, 44], 10)];
	const put = ({ data: from, shape }: NdArray) =>
		runtime.upload("test", Float32Array.from(from), shape.slice(1), from === w.data ? "bf16" : "f32");
	const read = runtime.scope(() => {
		const [a, b, summand] = [x, w, c].map(put);
		const view = isApart ? runtime.empty(summand.shape) : summand;
		gemm(a, b, { view, batchStride: 36 * 44, accumulate: !isApart, ...(isApart && { plus: summand }) });
		return { values: runtime.read(view) };
	});
	const y = Float64Array.from(await read.values);
	expectProduct(
		y.map((v, i) => v - c.data[i]),
		x,
		w,
	);
});

describe("a record", () => {
	it("has the same bits alone and with others, whatever they hold", async () => {
		const [B, T, K, N] = [5, 40, 70, 72];
		const x = values([B, T, K], 9);
		for (let i = 0; i < T * K; i++) x.data[i] = i % 3 === 0 ? Number.NaN : 1e30;
		for (let i = 0; i < T * K; i++) x.data[2 * T * K + i] *= 1e-20;
		const lists = device().scope(() => {
			const all = upload(x);
			const w = reshape(upload(values([1, N, K], 10)), [N, K]);
			const products = (record: Tensor): Tensor => matmul(transpose(linear(record, w)), record);
			return { together: vmap(products)(all), alone: [1, 2, 4].map((b) => products(squeeze(slice(all, 0, b, b + 1), 0))) };
		});
		const whole = await data(lists.together);
		for (const [i, b] of [1, 2, 4].entries())
			expectSame(await data(lists.alone[i]), whole.slice(b * N * K, (b + 1) * N * K), `record ${b}`);
		for (const t of [lists.together, ...lists.alone]) t.dispose();
	});

	it("has thin products by the kernels of plan gpu, by its own number of rows", async () => {
		const before = device().counters().dispatches;
		const y = device().scope<Tensor>(() => linear(upload(values([8, 200], 1)), upload(values([64, 200], 2))));
		expect(device().counters().dispatches - before).toBe(1);
		y.dispose();
	});
});

describe("the plan matrix of a device", () => {
	const info = { vendor: "nvidia", architecture: "hopper", device: "", description: "" };
	const limits = { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 };
	const config = (M: number, N: number, K: number, resultComponentType = "f32") => ({ componentType: "f16", resultComponentType, M, N, K });
	const able = { ...info, subgroupMinSize: 32, subgroupMaxSize: 32 };

	it("takes the largest matrices of f16 that are added in f32", () => {
		const offered = [config(16, 8, 8), config(16, 16, 16), config(16, 8, 16), config(16, 16, 32, "f16"), config(64, 16, 16)];
		const unit = { m: 16, n: 16, k: 16, lanes: 32, isEmulated: false, least: 2 ** 18 };
		expect(matrixUnitOf({ ...able, subgroupMatrixConfigs: offered } as typeof info)).toEqual(unit);
		expect(planFor({ ...able, subgroupMatrixConfigs: offered } as typeof info, limits, "matrix", new Set(MATRIX_FEATURES))).toEqual({
			plan: "matrix",
			matrices: unit,
		});
		expect(planFor({ ...able, subgroupMatrixConfigs: offered } as typeof info, limits).plan).toBe("gpu");
	});

	it("is refused with what is missing", async () => {
		const refused = (text: string) =>
			expect.objectContaining({ name: "DeviceError", code: "device/plan", message: expect.stringContaining(text) });
		expect(() => planFor(info, limits, "matrix", new Set(["shader-f16"]))).toThrow(refused("there is no subgroups"));
		expect(() => planFor(able, limits, "matrix", new Set(MATRIX_FEATURES))).toThrow(refused("no matrices"));
		const few = { ...limits, maxComputeInvocationsPerWorkgroup: 128 };
		expect(() => planFor(able, few, "matrix", new Set(MATRIX_FEATURES))).toThrow(refused("maxComputeInvocationsPerWorkgroup is 128"));
		if (!device().has(MATRIX_FEATURES[2])) {
			await expect(requestDevice({ plan: "matrix" })).rejects.toThrow(refused(MATRIX_FEATURES[2]));
		}
	});

	it("is told, with its unit", () => {
		expect(device().plan).toBe("matrix");
		if (!device().has(MATRIX_FEATURES[2])) expect(device().matrices).toEqual(EMULATED);
		expect(other().matrices).toBeUndefined();
	});
});
