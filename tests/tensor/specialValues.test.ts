import * as t from "@hushgrad/tensor";
import { data, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const INF = Number.POSITIVE_INFINITY;
const LEAST = -3.4028234663852886e38;
const f32 = (...v: number[]): Tensor => device().fromHost(v, [v.length]);
const u32 = (...v: number[]): Tensor => device().fromHost(v, [v.length], "u32");
const i32 = (...v: number[]): Tensor => device().fromHost(v, [v.length], "i32");

/** What IEEE 754, C's Annex F or torch say of the ends of the range. */
const CASES: [string, () => Tensor, number[]][] = [
	["amax of minus infinities", () => t.amax(f32(-INF, -INF)), [-INF]],
	["amin of infinities", () => t.amin(f32(INF, INF)), [INF]],
	["amax with NaN", () => t.amax(f32(1, Number.NaN, 3)), [Number.NaN]],
	["amax of bools", () => t.amax(t.cast(f32(0, 2, 0), "bool")), [1]],
	["remainder by infinity", () => t.remainder(f32(3, -3, 3, -3), f32(INF, INF, -INF, -INF)), [3, INF, -INF, -3]],
	["fmod by infinity", () => t.fmod(f32(3, -3), f32(INF, INF)), [3, -3]],
	["remainder near the limits of u32", () => t.remainder(u32(3e9), u32(4e9)), [3e9]],
	["remainder near the limits of i32", () => t.remainder(i32(2147483646, -7, 7), i32(2147483647, 3, -3)), [2147483646, 2, -2]],
	["softmax at the end of the range", () => t.softmax(f32(LEAST, LEAST)), [0.5, 0.5]],
	["softmax with a masked value", () => t.softmax(f32(LEAST, -INF)), [1, 0]],
	["softmax of nothing but minus infinity", () => t.softmax(f32(-INF, -INF)), [Number.NaN, Number.NaN]],
	["logsumexp of nothing but minus infinity", () => t.logsumexp(f32(-INF, -INF)), [-INF]],
	["logsumexp of nothing", () => t.logsumexp(device().fromHost([], [2, 0]), [1]), [-INF, -INF]],
	["logsumexp with infinity", () => t.logsumexp(f32(INF, 0)), [INF]],
	["logsumexp of large values", () => t.logsumexp(f32(3e38, 0)), [Math.fround(3e38)]],
	["comparisons with NaN", () => t.cat([t.ne, t.eq, t.lt, t.ge].map((f) => f(f32(Number.NaN), f32(1)))), [1, 0, 0, 0]],
	["NaN as a truth", () => t.cast(f32(Number.NaN, 0, -0), "bool"), [1, 0, 0]],
	["a truth is 0 or 1", () => t.logicalAnd(t.cast(f32(5), "bool"), t.ones(device(), [1], "bool")), [1]],
	["pow of zeros", () => t.pow(f32(0, -0, 0, -0, -0), f32(-2, -2, -1, -1, 3)), [INF, INF, INF, -INF, -0]],
	["pow to 1", () => t.pow(f32(1, 1, -1, Number.NaN), f32(INF, Number.NaN, -INF, 0)), [1, 1, 1, 1]],
	["pow of negatives", () => t.pow(f32(-2, -2, -2, -8), f32(2, 3, -1, 0.5)), [4, -8, -0.5, Number.NaN]],
	["tanh near 0", () => t.tanh(f32(1e-5, -1e-5)), [1e-5, -1e-5].map(Math.fround)],
	["sinh near 0", () => t.sinh(f32(1e-5)), [Math.fround(1e-5)]],
	["tanh far out", () => t.tanh(f32(1e30, -INF)), [1, -1]],
	["sigmoid far out", () => t.sigmoid(f32(INF, 1e30)), [1, 1]],
	["exp far out", () => t.exp(f32(-INF, INF, 1000)), [0, INF, INF]],
	["log at the edge", () => t.log(f32(0, INF)), [-INF, INF]],
	["log of negatives", () => t.log(f32(-1, -0)), [Number.NaN, -INF]],
	["log2 at the edge", () => t.log2(f32(0, 8, -1)), [-INF, 3, Number.NaN]],
	["log1p at the edge", () => t.log1p(f32(-1, -2)), [-INF, Number.NaN]],
	["sqrt of negatives", () => t.sqrt(f32(-1, 0, INF)), [Number.NaN, 0, INF]],
	["rsqrt at the edge", () => t.rsqrt(f32(0, -1)), [INF, Number.NaN]],
	["reciprocal at the edge", () => t.reciprocal(f32(0, -0, INF)), [INF, -INF, 0]],
	["division by zero", () => t.div(f32(1, -1, 0), f32(0, 0, 0)), [INF, -INF, Number.NaN]],
	["infinity less infinity", () => t.sub(f32(INF), f32(INF)), [Number.NaN]],
	["infinity times zero", () => t.mul(f32(INF), f32(0)), [Number.NaN]],
	["the angle of nothing", () => t.atan2(f32(0), f32(0)), [0]],
	["argmax of zeros", () => t.argmax(f32(-0, 0)), [0]],
	["sort with NaN and infinity", () => t.sort(f32(Number.NaN, INF, -1, -INF)).values, [-INF, -1, INF, Number.NaN]],
	["a diagonal beside NaN", () => t.einsum("ii->i", device().fromHost([1, INF, Number.NaN, 4], [2, 2])), [1, 4]],
	["a triangle of minus infinity", () => t.triu(t.full(device(), [2, 2], -INF), 1), [0, -INF, 0, 0]],
	["maskedFill with minus infinity", () => t.maskedFill(f32(1, 2), t.cast(f32(0, 1), "bool"), -INF), [1, -INF]],
	["rounding halves to even", () => t.round(f32(0.5, 1.5, 2.5, -0.5)), [0, 2, 2, -0]],
	["mean of nothing", () => t.mean(device().fromHost([], [0])), [Number.NaN]],
	["sum of nothing", () => t.sum(device().fromHost([], [2, 0]), [1]), [0, 0]],
	["variance of one value", () => t.variance(f32(3)), [Number.NaN]],
];

describe("special values", () => {
	it.each(CASES)("%s", async (_, make, expected) => {
		const y = device().scope<Tensor>(make);
		const values = [...(await data(y))];
		y.dispose();
		expected.forEach((e, i) => {
			if (Object.is(e, -0)) expect(values[i]).toBe(-0);
			else if (Number.isFinite(e)) expect(values[i]).toBeCloseTo(e, 6);
			else expect(values[i]).toBe(e);
		});
	});

	it("gradients of the largest of infinities are shared, not NaN", async () => {
		const x = { value: f32(-INF, -INF) };
		const { grads } = t.valueAndGrad(() => t.amax(x.value), [x]);
		expect([...(await data(grads[0]))]).toEqual([0.5, 0.5]);
	});
});
