import * as t from "@hushgrad/tensor";
import { type DType, data, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

/* What the random calls leave out: element types, scalars, empty axes, and what is refused. */

const device = useDevice({ debug: { memory: true } });
const f32 = (...shape: number[]): Tensor => t.ones(device(), shape);
const of = (values: readonly number[], dtype: DType = "f32", shape: readonly number[] = [values.length]): Tensor =>
	device().fromHost(values, shape, dtype);
const i32 = (...values: number[]): Tensor => of(values, "i32");
const scalar = (value: number, dtype: DType = "f32"): Tensor => of([value], dtype, []);

async function valuesOf(run: () => Tensor): Promise<{ shape: readonly number[]; dtype: DType; values: number[] }> {
	const y = device().scope<Tensor>(run);
	const values = [...(await data(y))];
	y.dispose();
	return { shape: y.shape, dtype: y.dtype, values };
}

describe("whole numbers and truth values", () => {
	it.each<[string, () => Tensor, DType, number[]]>([
		["a product of matrices wraps around", () => t.matmul(of([2 ** 16, 1], "u32"), of([2 ** 16, 5], "u32")), "u32", [5]],
		["one beyond 2^24 is exact", () => t.matmul(i32(4097, 1), i32(4097, -1)), "i32", [16785408]],
		["a batch of products", () => t.bmm(of([1, 2, 3, 4], "i32", [2, 1, 2]), of([5, 6, 7, 8], "i32", [2, 2, 1])), "i32", [17, 53]],
		["einsum", () => t.einsum("ij,j->i", of([1, 2, 3, 4], "i32", [2, 2]), i32(5, -6)), "i32", [-7, -9]],
		["a product", () => t.prod(i32(-3, 5, 7)), "i32", [-105]],
		["a running product", () => t.cumprod(of([3, 2 ** 31, 2], "u32"), 0), "u32", [3, 2 ** 31, 0]],
		["padding with a value", () => t.pad(i32(5), [[1, 2]], { value: -7 }), "i32", [-7, 5, -7, -7]],
		["padding with truth", () => t.pad(of([0, 1], "bool"), [[1, 1]], { value: 1 }), "bool", [1, 0, 1, 1]],
		["padding in mode circular", () => t.pad(of([0, 1, 1], "bool"), [[1, 2]], { mode: "circular" }), "bool", [1, 0, 1, 1, 0, 1]],
		["scatterAdd", () => t.scatterAdd(i32(1, 2), 0, i32(1, 1), i32(2 ** 30, 2 ** 30)), "i32", [1, -(2 ** 31) + 2]],
		["scatter of bools", () => t.scatter(of([0, 1, 0], "bool"), 0, i32(2, 1), of([1, 0], "bool")), "bool", [0, 0, 1]],
		["indexPut of bools", () => t.indexPut(of([0, 1, 0], "bool"), [i32(-1)], of([1], "bool")), "bool", [0, 1, 1]],
		["indexAdd", () => t.indexAdd(of([1, 2], "u32"), 0, i32(1, 1), of([3, 2 ** 32 - 1], "u32")), "u32", [1, 4]],
		["rounding down", () => t.floorDivide(i32(-(2 ** 31), -1, 5, 0), i32(2, 3, 0, -3)), "i32", [-(2 ** 30), -1, 0, 0]],
		["rounding towards 0", () => t.truncDivide(of([7, 2 ** 32 - 1, 1], "u32"), of([2, 2 ** 31, 0], "u32")), "u32", [3, 1, 0]],
		["div with a rounding", () => t.div(i32(-7, 7), 2, { rounding: "floor" }), "i32", [-4, 3]],
		["a power wraps around", () => t.pow(of([3, 2, 5], "u32"), of([21, 32, 0], "u32")), "u32", [3 ** 21 % 2 ** 32, 0, 1]],
		["a power of a number", () => t.pow(i32(-2, 7), 3), "i32", [-8, 343]],
		["a power of 2", () => t.pow(2, i32(30, 31, -1)), "i32", [2 ** 30, -(2 ** 31), 0]],
		[
			"the least of places that nothing reaches",
			() => t.scatterReduce(i32(5, 6), 0, i32(1), i32(7), "amin", { includeSelf: false }),
			"i32",
			[5, 7],
		],
		["a product into places", () => t.scatterReduce(of([2 ** 31, 3], "u32"), 0, i32(0, 1), of([2, 5], "u32"), "prod"), "u32", [0, 15]],
		["places in sorted rows", () => t.searchsorted(of([1, 2 ** 31, 2 ** 32 - 1], "u32"), of([2 ** 31 + 1, 0], "u32")), "i32", [2, 0]],
		["whether negative numbers are among others", () => t.isin(i32(-1, 1), i32(-1, 3)), "bool", [1, 0]],
		["tensordot", () => t.tensordot(i32(1, 2), i32(3, -4), 1), "i32", [-5]],
		["kron", () => t.kron(i32(1, 2), i32(3, 4)), "i32", [3, 4, 6, 8]],
		["cross", () => t.cross(i32(1, 0, 0), i32(0, 1, 0)), "i32", [0, 0, 1]],
		["diff wraps around", () => t.diff(of([1, 0], "u32")), "u32", [2 ** 32 - 1]],
		["windows of bools", () => t.unfold(of([1, 0, 1], "bool"), 0, 2), "bool", [1, 0, 0, 1]],
		["kthvalue", () => t.kthvalue(i32(5, -3, 4), 2).values, "i32", [4]],
		["nansum of whole numbers", () => t.nansum(i32(2, 3)), "i32", [5]],
		["limits that are tensors", () => t.clip(i32(-9, 2 ** 30 + 1, 9), i32(-5, 0, 0), 2 ** 30), "i32", [-5, 2 ** 30, 9]],
		["equal bools", () => t.eq(of([0, 1], "bool"), of([1, 1], "bool")), "bool", [0, 1]],
		["a sum of bools counts", () => t.sum(of([1, 0, 1], "bool")), "i32", [2]],
		["a mask", () => t.tril(t.ones(device(), [2, 3], "bool"), 1), "bool", [1, 1, 0, 1, 1, 1]],
		["any of nothing", () => t.any(f32(2, 0), 1), "bool", [0, 0]],
		["all of nothing", () => t.all(f32(2, 0), 1), "bool", [1, 1]],
		["all of NaN", () => t.all(of([Number.NaN, 1])), "bool", [1]],
		["the norm of nothing", () => t.norm(f32(2, 0), 1), "f32", [0, 0]],
		["an exact one-hot of another type", () => t.oneHot(i32(1, 5), 2, "i32"), "i32", [0, 1, 0, 0]],
	])("%s", async (_, run, dtype, expected) => {
		const { values, dtype: got } = await valuesOf(run);
		expect({ dtype: got, values }).toEqual({ dtype, values: expected });
	});

	it("f32 becomes whole numbers as far as they reach, NaN 0", async () => {
		const wild = [
			Number.NaN,
			Number.POSITIVE_INFINITY,
			Number.NEGATIVE_INFINITY,
			2147483520,
			2147483648,
			4294967040,
			4294967296,
			254.9,
			-0.9,
		];
		const cast = async (dtype: DType) => (await valuesOf(() => t.cast(of(wild), dtype))).values;
		expect(await cast("i32")).toEqual([0, 2147483647, -2147483648, 2147483520, 2147483647, 2147483647, 2147483647, 254, 0]);
		expect(await cast("u32")).toEqual([0, 4294967295, 0, 2147483520, 2147483648, 4294967040, 4294967295, 254, 0]);
		expect(await cast("u8")).toEqual([0, 255, 0, 255, 255, 255, 255, 254, 0]);
	});

	it("assign overwrites bf16 and u8, whole and odd, and refuses what lies within words", async () => {
		for (const dtype of ["bf16", "u8"] as const) {
			const make = (values: number[], shape: number[]): Tensor => t.cast(of(values, "f32", shape), dtype);
			const target = make([1, 2, 3, 4, 5, 6], [2, 3]);
			t.assign(target, t.transpose(make([7, 8, 9, 10, 11, 12], [3, 2])));
			expect([...(await data(target))]).toEqual([7, 9, 11, 8, 10, 12]);
			const odd = make([1, 2, 3, 4, 5], [5]);
			t.assign(odd, make([5, 4, 3, 2, 1], [5]));
			expect([...(await data(odd))]).toEqual([5, 4, 3, 2, 1]);
			t.assign(t.slice(odd, 0, 0, 3), make([9, 8, 7], [3]));
			expect([...(await data(odd))]).toEqual([9, 8, 7, 2, 1]);
			for (const part of [t.slice(odd, 0, 1), t.transpose(target)]) {
				expect(() => t.assign(part, make(new Array<number>(part.size).fill(0), [...part.shape]))).toThrow(
					expect.objectContaining({ code: "assign/view", message: expect.stringContaining(dtype) }),
				);
			}
			expect([...(await data(odd))]).toEqual([9, 8, 7, 2, 1]);
		}
	});
});

describe("scalars", () => {
	it.each<[string, (x: Tensor) => Tensor]>([
		["sum", (x) => t.sum(x, 0)],
		["mean", (x) => t.mean(x, -1)],
		["prod", (x) => t.prod(x, [0])],
		["amax", (x) => t.amax(x, -1, { keepDim: true })],
		["max", (x) => t.max(x, 0).values],
		["cumsum", (x) => t.cumsum(x, 0)],
		["cumprod", (x) => t.cumprod(x, -1)],
		["cummin", (x) => t.cummin(x, -1).values],
		["sort", (x) => t.sort(x, { axis: 0 }).values],
		["median", (x) => t.median(x, 0)],
		["norm", (x) => t.norm(x, 0)],
		["nansum", (x) => t.nansum(x, 0)],
		["nanmean", (x) => t.nanmean(x, -1)],
		["kthvalue", (x) => t.kthvalue(x, 1).values],
		["kron", (x) => t.kron(x, scalar(1))],
		["scatterReduce", (x) => t.scatterReduce(scalar(1), 0, scalar(0, "i32"), x, "prod")],
		["flip", (x) => t.flip(x, -1)],
		["roll", (x) => t.roll(x, 3, 0)],
		["squeeze", (x) => t.squeeze(x, 0)],
		["gather", (x) => t.gather(x, 0, scalar(0, "i32"))],
		["scatter", (x) => t.scatter(scalar(9), 0, scalar(0, "i32"), x)],
		["permute", (x) => t.permute(x, [])],
	])("%s takes a scalar for a vector of one", async (_, f) => {
		expect(await valuesOf(() => f(scalar(3)))).toEqual({ shape: [], dtype: "f32", values: [3] });
	});
});

describe("indices outside", () => {
	const x = () => of([1, 2, 3, 4, 5, 6], "f32", [2, 3]);
	const [NAN, own] = [Number.NaN, [1, 2, 3, 4, 5, 6]];
	const seven = () => of([7, 7, 7], "f32");
	it.each<[string, () => Tensor, readonly number[], readonly number[]]>([
		["index", () => t.index(x(), [i32(0, 0, -3), i32(3, -4, 0)]), [3], [NAN, NAN, NAN]],
		["index of rows", () => t.index(x(), [i32(2, -2)]), [2, 3], [NAN, NAN, NAN, 1, 2, 3]],
		["index of whole numbers", () => t.index(of(own, "i32", [2, 3]), [i32(0, 1), i32(3, 2)]), [2], [0, 6]],
		["take", () => t.take(x(), i32(5, 6, -7, -6)), [4], [6, NAN, NAN, 1]],
		["takeAlongAxis", () => t.takeAlongAxis(x(), of([3, -3, -4], "i32", [1, 3]), 1), [2, 3], [NAN, 1, NAN, NAN, 4, NAN]],
		["indexSelect", () => t.indexSelect(x(), 1, i32(-1, 3, 1)), [2, 3], [NAN, NAN, 2, NAN, NAN, 5]],
		["indexPut", () => t.indexPut(x(), [i32(0, 0, -3), i32(3, -4, 0)], seven()), [2, 3], own],
		["indexPut that adds", () => t.indexPut(x(), [i32(0, 0, 2), i32(3, -4, 0)], seven(), { accumulate: true }), [2, 3], own],
		["indexAdd", () => t.indexAdd(of(own), 0, i32(-1, 6, 0), seven()), [6], [8, 2, 3, 4, 5, 6]],
		["scatter", () => t.scatter(of(own), 0, i32(-1, 6, 0), seven()), [6], [7, 2, 3, 4, 5, 6]],
		["scatterAdd", () => t.scatterAdd(of(own), 0, i32(-1, 6, 0), seven()), [6], [8, 2, 3, 4, 5, 6]],
	])("%s reads NaN or 0 there, or writes nothing", async (_, f, shape, expected) => {
		const { values, ...rest } = await valuesOf(f);
		expect(rest.shape).toEqual(shape);
		expect(values).toEqual(expected);
	});
});

describe("records that lie apart in memory", () => {
	it("scatter writes where the index of each record says", async () => {
		const wide = of([0, 2, 9, 1, 0, 9], "i32", [2, 3]);
		const scattered = t.vmap((ids: Tensor) => t.scatter(t.zeros(device(), [3]), 0, ids, of([5, 6], "f32")));
		const y = device().scope<Tensor>(() => scattered(t.slice(wide, 1, 0, 2)));
		expect([...(await data(y))]).toEqual([5, 0, 6, 6, 5, 0]);
	});
});

describe("products into places", () => {
	it.each<[string, number[], number[]]>([
		["no zero", [3, 4, 5], [0, 10, 8, 10, 0, 6, 8, 6, 0]],
		["one zero", [3, 0, 5], [0, 10, 0, 10, 0, 6, 0, 6, 0]],
		["two zeros", [3, 0, 0], [0, 0, 0, 0, 0, 6, 0, 6, 0]],
		["three zeros", [0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0]],
	])("of %s have the second derivatives of 2 a b c", async (_, values, expected) => {
		const product = (src: Tensor): Tensor => t.reshape(t.scatterReduce(of([2]), 0, i32(0, 0, 0), src, "prod"), []);
		const h = device().scope<Tensor>(() => t.hessian(product)(of(values)));
		expect([...(await data(h))].map((v) => Math.round(v * 1e5) / 1e5 + 0)).toEqual(expected);
	});
});

describe("detach", () => {
	it("is the same memory, and a constant", async () => {
		const x = of([2, 3]);
		const { grads } = device().scope(() => {
			const slot: t.Slot = { value: x };
			return { grads: [...t.valueAndGrad(() => t.sum(t.mul(slot.value, t.detach(slot.value))), [slot]).grads] };
		});
		expect([...(await data(grads[0]))]).toEqual([2, 3]);
		const { liveBuffers } = device().memory();
		t.detach(x).dispose();
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});
});

describe("allclose", () => {
	it("reads whether all are close, and leaves nothing behind", async () => {
		const [a, b] = [of([1, 2]), of([1, 2.00001])];
		const { liveBuffers } = device().memory();
		expect([await t.allclose(a, b), await t.allclose(a, b, { rtol: 1e-7 }), await t.allclose(f32(0), f32(0))]).toEqual([true, false, true]);
		expect(device().memory().liveBuffers).toBe(liveBuffers + 2);
	});
});

const none = undefined as unknown as Tensor;

describe("errors name the function and the argument", () => {
	it.each<[string, () => unknown, string, string[]]>([
		["chunk", () => t.chunk(f32(4), -1), "call/argument", ["chunk", "count is -1", "one or more"]],
		["chunk", () => t.chunk(f32(4), 0.5), "call/argument", ["chunk", "count is 0.5"]],
		["split", () => t.split(f32(5), [7, -2]), "call/argument", ["split", "-2"]],
		["split", () => t.split(f32(5), [2.5, 2.5]), "call/argument", ["split", "2.5"]],
		["split", () => t.split(f32(5), Number.NaN), "call/argument", ["split", "NaN"]],
		["arange", () => t.arange(device(), 0, 1, 1.5, "i32"), "call/argument", ["arange", "step is 1.5"]],
		["arange", () => t.arange(device(), 0.5, 3, 1, "u32"), "create/value", ["arange", "start 0.5", "u32"]],
		["tril", () => t.tril(f32(2, 2), 0.5), "call/argument", ["tril", "diagonal is 0.5"]],
		["triu", () => t.triu(f32(2, 2), Number.POSITIVE_INFINITY), "call/argument", ["triu", "diagonal is Infinity"]],
		["roll", () => t.roll(f32(2), 0.5, 0), "call/argument", ["roll", "shift is 0.5"]],
		["roll", () => t.roll(f32(2, 2), [1], [0, 1]), "roll/shifts", ["roll", "[1]", "[0, 1]"]],
		["slice", () => t.slice(f32(3), 0, 2, 1), "slice/range", ["slice", "2..1"]],
		["slice", () => t.slice(f32(3), 0, -4), "slice/range", ["slice", "-4..", "[3]"]],
		["slice", () => t.slice(f32(3), 0, 0, 3, 0), "slice/range", ["by 0"]],
		["slice", () => t.slice(f32(3), 0, 0, 2, -1), "slice/range", ["by -1"]],
		["slice", () => t.slice(t.cast(f32(3), "u8"), 0, 2, 0, -1), "op/dtype", ["slice", "u8 [3]", "storage only"]],
		["select", () => t.select(f32(3), 0, 3), "select/index", ["select", "entry 3", "[3]"]],
		["narrow", () => t.narrow(f32(3), 0, 1, 3), "slice/range", ["narrow", "3 elements from 1"]],
		["stack", () => t.stack([t.cast(f32(2), "u8"), t.cast(f32(2), "u8")]), "op/dtype", ["stack", "u8", "storage only"]],
		["stack", () => t.stack([f32(2), i32(1, 2)]), "shape/stack", ["stack", "f32 [2] and i32 [2]"]],
		["pad", () => t.pad(f32(2), [[2, 0]], { mode: "reflect" }), "pad/extent", ["pad", "reflect", "[2]"]],
		["pad", () => t.pad(f32(2), [[0, 0]], { mode: "edge" as "reflect" }), "call/argument", ["pad: mode", "edge", "replicate"]],
		["pad", () => t.pad(f32(2), [1, 1] as never), "pad/pairs", ["pad", "[1, 1]"]],
		["pad", () => t.pad(i32(2), [[1, 0]], { value: 0.5 }), "create/value", ["pad", "0.5", "i32"]],
		["repeat", () => t.repeat(f32(2, 2), 2), "shape/repeat", ["repeat", "[2, 2]", "tile"]],
		["tile", () => t.tile(f32(2), -1), "call/argument", ["tile", "-1"]],
		["meshgrid", () => t.meshgrid([f32(2, 2)]), "shape/meshgrid", ["meshgrid", "[2, 2]"]],
		["diagonal", () => t.diagonal(f32(2, 2), { axis1: 0, axis2: -2 }), "shape/diagonal", ["diagonal", "0 and -2"]],
		["diagEmbed", () => t.diagEmbed(f32()), "shape/diagonal", ["diagEmbed", "scalar"]],
		["mean", () => t.mean(i32(1, 2)), "op/dtype", ["mean", "i32", "cast"]],
		["std", () => t.std(i32(1, 2)), "op/dtype", ["std", "i32"]],
		["norm", () => t.norm(f32(2), 0, { p: Number.NaN }), "norm/p", ["norm", "NaN"]],
		["norm", () => t.norm(f32(2, 0), 1, { p: Number.POSITIVE_INFINITY }), "reduce/empty", ["norm"]],
		["max", () => t.max(f32(2, 0), 1), "reduce/empty", ["max"]],
		["quantile", () => t.quantile(f32(2), 1.5), "quantile/q", ["quantile", "1.5"]],
		[
			"quantile",
			() => t.quantile(f32(2), 0.5, 0, { interpolation: "mean" as "linear" }),
			"call/argument",
			["quantile: interpolation", "mean", "midpoint"],
		],
		["median", () => t.median(f32(0)), "reduce/empty", ["median"]],
		["histc", () => t.histc(f32(2), 0), "call/argument", ["histc", "bins is 0"]],
		["histc", () => t.histc(f32(2), 3, { min: 2, max: 1 }), "histc/range", ["2", "1"]],
		["bincount", () => t.bincount(f32(2), 3), "op/dtype", ["bincount", "f32 [2]", "i32"]],
		["gather", () => t.gather(f32(2, 2), 0, t.zeros(device(), [1, 3], "i32")), "shape/index", ["gather", "[2, 2]", "[1, 3]"]],
		["scatter", () => t.scatter(f32(2), 0, i32(0, 1), f32(1)), "shape/index", ["scatter", "[2], [2], [1]"]],
		["scatterAdd", () => t.scatterAdd(f32(2), 0, i32(0), i32(1)), "op/dtype", ["scatterAdd", "f32", "i32"]],
		["indexAdd", () => t.indexAdd(f32(2, 3), 1, i32(0, 1), f32(2, 3)), "shape/index", ["indexAdd", "[2, 3]", "[2]"]],
		["index", () => t.index(f32(2), [i32(0), i32(0)]), "shape/index", ["index", "2 indices", "[2]"]],
		["index", () => t.index(f32(2), []), "index/indices", ["index"]],
		["indexPut", () => t.indexPut(f32(2), [i32(0)], f32(3)), "shape/index", ["indexPut", "[3]", "[1]"]],
		["takeAlongAxis", () => t.takeAlongAxis(f32(2), t.zeros(device(), [1, 1], "i32"), 0), "shape/index", ["takeAlongAxis", "rank"]],
		["div", () => t.div(f32(2), 2, { rounding: "up" as "floor" }), "div/rounding", ["div", "up", "floor or trunc"]],
		[
			"scatterReduce",
			() => t.scatterReduce(f32(2), 0, i32(0), f32(1), "max" as "amax"),
			"scatter/reduce",
			["scatterReduce", "max", "amax"],
		],
		["scatterReduce", () => t.scatterReduce(f32(2), 0, i32(0), i32(1), "sum"), "op/dtype", ["scatterReduce", "f32", "i32"]],
		["scatterReduce", () => t.scatterReduce(f32(2), 0, i32(0, 1), f32(1), "sum"), "shape/index", ["scatterReduce", "[2], [2], [1]"]],
		["searchsorted", () => t.searchsorted(f32(2, 3), f32(3, 3)), "shape/index", ["searchsorted", "[2, 3]", "[3, 3]"]],
		["bucketize", () => t.bucketize(f32(3), f32(2, 2)), "shape/index", ["bucketize", "[2, 2]", "one axis"]],
		["isin", () => t.isin(f32(3), i32(2)), "op/dtype", ["f32", "i32"]],
		["tensordot", () => t.tensordot(f32(2, 3), f32(2, 3), 1), "shape/operands", ["tensordot", "[2, 3]", "do not meet"]],
		["tensordot", () => t.tensordot(f32(2), f32(2), 3), "shape/operands", ["tensordot", "3 axes"]],
		["cross", () => t.cross(f32(2), f32(2)), "shape/operands", ["cross", "[2]", "is not 3"]],
		["cdist", () => t.cdist(f32(2, 3), f32(2, 2)), "shape/operands", ["cdist", "[2, 3]", "[2, 2]"]],
		["diff", () => t.diff(f32(2), { n: -1 }), "call/argument", ["diff", "n is -1"]],
		["unfold", () => t.unfold(f32(2), 0, 3), "unfold/size", ["unfold", "3", "2 elements"]],
		["unflatten", () => t.unflatten(f32(6), 0, [4, -1]), "shape/reshape", ["unflatten", "[4, -1]", "[6]"]],
		["rot90", () => t.rot90(f32(2, 2), 1, [0]), "axis/list", ["rot90", "[0]", "two"]],
		["kthvalue", () => t.kthvalue(f32(2), 3), "topk/k", ["kthvalue", "k is 3", "2 values"]],
		["normalize", () => t.normalize(i32(2)), "op/dtype", ["normalize", "i32"]],
		["nanmean", () => t.nanmean(i32(2)), "op/dtype", ["nanmean", "i32"]],
		["swapaxes", () => t.swapaxes(f32(2), 0, 1), "axis/range", ["swapaxes", "axis 1"]],
		["moveaxis", () => t.moveaxis(f32(2, 2), [0, 1], 0), "movedim/axes", ["moveaxis", "[0,1]"]],
		["broadcastTo", () => t.broadcastTo(f32(2), [3]), "shape/expand", ["broadcastTo", "[2]", "[3]"]],
		["clip", () => t.clip(f32(2), undefined), "clip/limits", ["clip"]],
		["clip", () => t.clip(f32(2), i32(0)), "op/dtype", ["clip", "f32 [2]", "i32 [1]"]],
		["isclose", () => t.isclose(i32(2), i32(2)), "op/dtype", ["isclose", "i32"]],
		["dot", () => t.dot(f32(2), f32(3)), "shape/vectors", ["dot", "2", "3"]],
		["outer", () => t.outer(f32(2, 2), f32(3)), "shape/vectors", ["outer", "[2, 2]"]],
		["matmul", () => t.matmul(i32(2), f32(1)), "op/dtype", ["matmul", "i32 [1, 1] and f32 [1, 1]"]],
		["movedim", () => t.movedim(f32(2, 2), [0, 1], 0), "movedim/axes", ["movedim", "[0,1]"]],
		["squeeze", () => t.squeeze(f32(1, 2), [0, 1]), "shape/squeeze", ["squeeze", "axis 1", "[1, 2]"]],
		["sum", () => t.sum(f32(2), "0" as unknown as number), "call/argument", ["sum", 'axes is "0"']],
		["sum", () => t.sum(f32(2), 1), "axis/range", ["sum", "axis 1"]],
	])("%s", (_, run, code, words) => {
		const { liveBuffers } = device().memory();
		let message = "nothing was thrown";
		device().scope<void>(() => {
			try {
				run();
			} catch (e) {
				expect((e as { code?: string }).code).toBe(code);
				message = (e as Error).message;
			}
		});
		for (const word of words) expect(message).toContain(word);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it.each<[string, () => unknown]>([
		["sum", () => t.sum(none)],
		["max", () => t.max(none, 0)],
		["slice", () => t.slice(none, 0)],
		["cat", () => t.cat([none])],
		["stack", () => t.stack([none])],
		["split", () => t.split(none, 1)],
		["pad", () => t.pad(none, [])],
		["flip", () => t.flip(none, 0)],
		["permute", () => t.permute(none, [0])],
		["transpose", () => t.transpose(none)],
		["reshape", () => t.reshape(none, [1])],
		["expand", () => t.expand(none, [1])],
		["cumsum", () => t.cumsum(none, 0)],
		["sort", () => t.sort(none)],
		["topk", () => t.topk(none, 1)],
		["gather", () => t.gather(f32(1), 0, none)],
		["scatter", () => t.scatter(f32(1), 0, none, 1)],
		["index", () => t.index(f32(1), [none])],
		["indexSelect", () => t.indexSelect(f32(1), 0, none)],
		["matmul", () => t.matmul(none, f32(1))],
		["einsum", () => t.einsum("i->", none)],
		["roll", () => t.roll(none, 1, 0)],
		["diagonal", () => t.diagonal(none)],
		["detach", () => t.detach(none)],
		["assign", () => t.assign(none, f32(1))],
		["median", () => t.median(none)],
		["clip", () => t.clip(none, 1)],
		["isclose", () => t.isclose(none, f32(1))],
	])("%s of what is no tensor", (name, run) => {
		expect(run).toThrow(
			expect.objectContaining({
				code: "call/argument",
				message: expect.stringMatching(new RegExp(`^${name}: .*undefined.*expected a .*tensor`)),
			}),
		);
	});
});
