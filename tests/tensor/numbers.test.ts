import * as t from "@hushgrad/tensor";
import { type DType, data, type Tensor } from "@hushgrad/tensor";
import { privateProgram } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const INF = Number.POSITIVE_INFINITY;
const NAN = Number.NaN;
const of = (values: readonly number[], dtype: DType = "f32"): Tensor => device().fromHost(values, [values.length], dtype);
const read = async (make: () => Tensor): Promise<number[]> => {
	const y = device().scope<Tensor>(make);
	const values = [...(await data(y))];
	y.dispose();
	return values;
};
/** First and second derivative of the sum of f, at x. */
const slopes = async (f: (x: Tensor) => Tensor, x: readonly number[]) => ({
	first: await read(() => t.grad((v: Tensor) => t.sum(f(v)))(of(x))),
	second: await read(() => t.grad((v: Tensor) => t.sum(t.grad((u: Tensor) => t.sum(f(u)))(v)))(of(x))),
});

describe("numbers as operands", () => {
	it.each<[string, (x: Tensor) => Tensor, number[]]>([
		["x + 2", (x) => t.add(x, 2), [3, -2]],
		["2 + x", (x) => t.add(2, x), [3, -2]],
		["1 - x", (x) => t.sub(1, x), [0, 5]],
		["x - 1", (x) => t.sub(x, 1), [0, -5]],
		["x / 4", (x) => t.div(x, 4), [0.25, -1]],
		["4 / x", (x) => t.div(4, x), [4, -1]],
		["x to the 2", (x) => t.pow(x, 2), [1, 16]],
		["2 to the x", (x) => t.pow(2, x), [2, 0.0625]],
		["the larger of x and 0", (x) => t.maximum(x, 0), [1, 0]],
		["the smaller of 0 and x", (x) => t.minimum(0, x), [0, -4]],
		["x beyond infinity", (x) => t.maximum(-INF, x), [1, -4]],
		["what is left of x by 3", (x) => t.remainder(x, 3), [1, 2]],
		["what is left of 9 by x", (x) => t.fmod(9, x), [0, 1]],
		["the angle of x and 0", (x) => t.atan2(x, 0), [Math.PI / 2, -Math.PI / 2]],
		["x below 0", (x) => t.lt(x, 0), [0, 1]],
		["0 below x", (x) => t.lt(0, x), [1, 0]],
		["x is 1", (x) => t.eq(x, 1), [1, 0]],
		["relu", (x) => t.where(t.gt(x, 0), x, 0), [1, 0]],
		["what is chosen instead", (x) => t.where(t.gt(x, 0), -INF, x), [-INF, -4]],
		["a number either way", (x) => t.where(t.gt(x, 0), 3, 5), [3, 5]],
	])("%s", async (_, f, expected) => {
		const values = await read(() => f(of([1, -4])));
		values.forEach((v, i) => void expect(v).toBeCloseTo(expected[i], 6));
		values.forEach((v, i) => void (Number.isFinite(expected[i]) || expect(v).toBe(expected[i])));
	});

	it("take the element type of the tensor, exactly", async () => {
		const big = 2 ** 24 + 1;
		expect(await read(() => t.add(of([1], "i32"), big))).toEqual([big + 1]);
		expect(await read(() => t.eq(of([big, big - 1], "i32"), big))).toEqual([1, 0]);
		expect(await read(() => t.sub(2 ** 32 - 1, of([1], "u32")))).toEqual([2 ** 32 - 2]);
		expect(await read(() => t.maskedFill(of([1, 2], "i32"), of([1, 0], "bool"), -big))).toEqual([-big, 2]);
		expect(await read(() => t.maskedFill(of([1, 2], "u32"), of([1, 0], "bool"), 2 ** 32 - 1))).toEqual([2 ** 32 - 1, 2]);
		expect(await read(() => t.eq(of([1, 0], "bool"), true))).toEqual([1, 0]);
		expect(await read(() => t.ne(of([1, 0], "bool"), of([1, 1], "bool")))).toEqual([0, 1]);
		expect(await read(() => t.where(of([1, 0], "bool"), of([0, 0], "bool"), true))).toEqual([0, 1]);
		expect(await read(() => t.maskedFill(of([1, 1], "bool"), of([1, 0], "bool"), false))).toEqual([0, 1]);
		expect(await read(() => t.logicalXor(of([1, 0], "bool"), true))).toEqual([0, 1]);
		const types = device().scope(() => [
			t.mul(of([1], "i32"), 2).dtype,
			t.where(of([1], "bool"), 1, 0).dtype,
			t.where(of([1], "bool"), true, false).dtype,
		]);
		expect(types).toEqual(["i32", "f32", "bool"]);
	});

	it("leave f16 as it is", async () => {
		if (!device().has("shader-f16")) return;
		const y = device().scope<Tensor>(() => t.where(t.gt(of([1, 2], "f16"), 1), t.mul(of([1, 2], "f16"), 2), 0.5));
		expect(y.dtype).toBe("f16");
		expect([...(await data(y))]).toEqual([0.5, 4]);
	});

	it.each<[string, () => Tensor, string, string, RegExp]>([
		[
			"a fraction beside whole numbers",
			() => t.mul(of([1], "i32"), 0.5),
			"DTypeError",
			"op/number",
			/^mul: b is 0.5 beside i32.*\n.*cast\(x, "f32"\)/,
		],
		["a negative beside u32", () => t.sub(of([1], "u32"), -1), "DTypeError", "op/number", /^sub: b is -1 beside u32.*0 to 4294967295/],
		[
			"a fraction to fill i32",
			() => t.maskedFill(of([1], "i32"), of([1], "bool"), 1.5),
			"DTypeError",
			"op/number",
			/^maskedFill: value is 1.5/,
		],
		["a number beside bool", () => t.eq(of([1], "bool"), 1), "DTypeError", "op/number", /^eq: b is 1 beside bool, expected true or false/],
		["a truth beside f32", () => t.eq(of([1]), true), "DTypeError", "op/number", /^eq: b is true beside f32, expected a number/],
		["numbers alone", () => t.add(1 as unknown as Tensor, 2), "ValueError", "op/operands", /^add: got numbers only/],
		["NaN", () => t.where(of([1], "bool"), of([1]), NAN), "ValueError", "op/attribute", /^where: b is NaN/],
		["infinity in arithmetic", () => t.sub(INF, of([1])), "ValueError", "op/attribute", /^sub: a is Infinity/],
		[
			"a number for the condition",
			() => t.where(1 as unknown as Tensor, of([1]), 0),
			"ValueError",
			"call/argument",
			/^where: condition is 1, expected a tensor/,
		],
	])("refuse %s", (_, make, name, code, message) => {
		expect(() => device().scope(make)).toThrow(expect.objectContaining({ name, code, message: expect.stringMatching(message) }));
	});

	it("cost no memory and no upload, so that private programs have them", async () => {
		const x = of([1, -4]);
		const { liveBuffers } = device().memory();
		const y = privateProgram(device(), [x], () => t.where(t.gt(x, 0), t.mul(x, 3), t.sub(1, x)));
		expect(device().memory().liveBuffers).toBe(liveBuffers + 1);
		expect([...(await data(y))]).toEqual([3, 5]);
		const each = device().scope<Tensor>(() => t.vmap((row: Tensor) => t.pow(t.sub(row, 1), 2))(x));
		expect([...(await data(each))]).toEqual([0, 25]);
	});
});

describe("derivatives at corners are torch's", () => {
	it.each<[string, (x: Tensor) => Tensor, number[], number[], number[] | undefined]>([
		["pow to 0", (x) => t.pow(x, 0), [0, -2, NAN, 3], [0, 0, 0, 0], [0, 0, 0, 0]],
		["pow to 1", (x) => t.pow(x, 1), [0, -2, 3], [1, 1, 1], [0, 0, 0]],
		["pow to 2", (x) => t.pow(x, 2), [0, 1, -3], [0, 2, -6], [2, 2, 2]],
		["pow to 3", (x) => t.pow(x, 3), [0, 1], [0, 3], [0, 6]],
		["a power of 0", (x) => t.pow(0, x), [0, 2], [0, 0], undefined],
		["a power of 2", (x) => t.pow(2, x), [0, 1], [Math.LN2, 2 * Math.LN2], [Math.LN2 ** 2, 2 * Math.LN2 ** 2]],
		["pow by tensors at 0", (x) => t.pow(x, of([0, 2, 1])), [0, 0, 0], [0, 0, 1], [0, 2, 0]],
		["the angle of nothing", (x) => t.atan2(x, of([0, 0])), [0, 1], [0, 0], undefined],
		["the angle of nothing, by the other", (x) => t.atan2(of([0, 1]), x), [0, 0], [0, -1], undefined],
		["leakyRelu at 0", (x) => t.leakyRelu(x, 0.1), [0, 1, -1], [0.1, 1, 0.1], undefined],
		["elu at 0", (x) => t.elu(x, 0.5), [0, 1], [0.5, 1], undefined],
		["the larger of equals", (x) => t.maximum(x, 2), [2, 3, 1], [0.5, 1, 0], undefined],
		["the smaller of two and NaN", (x) => t.minimum(x, of([1, NAN, 0])), [NAN, 1, 0], [NAN, NAN, 0.5], undefined],
		["silu far out", (x) => t.silu(x), [-1e36, -100], [0, 0], undefined],
		["gelu far out", (x) => t.gelu(x), [-1e18, 1e18], [0, 1], undefined],
		["what is not chosen", (x) => t.where(t.gt(x, 0), x, t.mul(t.sqrt(x), 2)), [-1, 4], [NAN, 1], undefined],
		["what is chosen, squared", (x) => t.square(t.where(t.gt(x, 2), x, t.square(x))), [1, 3], [4, 6], [12, 2]],
		["what is filled, to the third", (x) => t.pow(t.maskedFill(x, t.gt(x, 2), 5), 3), [1, 3], [3, 0], [6, 0]],
	])("%s", async (_, f, at, first, second) => {
		const actual = await slopes(f, at);
		const near = (values: number[], expected: number[]) =>
			values.forEach((v, i) => void (Number.isNaN(expected[i]) ? expect(v).toBeNaN() : expect(v).toBeCloseTo(expected[i], 5)));
		near(actual.first, first);
		if (second !== undefined) near(actual.second, second);
	});

	it.each<[string, () => Tensor, number[]]>([
		[
			"a small whole power is a product",
			() => t.pow(of([1.1, -3.3, 0.7]), 3),
			[1.1, -3.3, 0.7].map(Math.fround).map((x) => Math.fround(Math.fround(x * x) * x)),
		],
		["a power of 0 to NaN", () => t.pow(of([0]), of([NAN])), [NAN]],
		["silu far out", () => t.silu(of([-1e36, -200, INF, -INF])), [-0, -0, INF, NAN]],
		["sigmoid far out", () => t.sigmoid(of([-100, -INF, -1e36, INF])), [0, 0, 0, 1]],
		["gelu far out", () => t.gelu(of([-1e36, 1e36])), [-0, Math.fround(1e36)]],
	])("%s", async (_, make, expected) => {
		expect(await read(make)).toEqual(expected);
	});
});
