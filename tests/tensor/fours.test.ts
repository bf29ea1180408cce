import {
	cat,
	data,
	linearCrossEntropy,
	permute,
	reshape,
	rope,
	type Slot,
	slice,
	sum,
	type Tensor,
	valueAndGrad,
	zeros,
} from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { linearCrossEntropyHiddenGradPrimitive } from "../../packages/tensor/src/ops/linearCrossEntropy.grad.ts";
import { useDevice } from "../support/device.ts";
import { part } from "../support/environment.ts";

/* Kernels that take four elements at once where operands lie so, on operands that do, that nearly do and that do not. */

const device = useDevice();

const AXIS = fc.constantFrom(1, 2, 3, 4, 8, 12);
const ORDERS = [
	[0, 1, 2],
	[1, 0, 2],
	[0, 2, 1],
	[2, 1, 0],
] as const;
/** A part of a ramp of rank 3, its axes in another order. */
const VIEW = fc.record({
	shape: fc.tuple(AXIS, AXIS, AXIS),
	order: fc.constantFrom(...ORDERS),
	skipped: fc.constantFrom(0, 1, 2, 4),
	step: fc.constantFrom(1, 1, 2),
	after: fc.constantFrom(0, 1, 2, 3),
});

type ViewOptions = typeof VIEW extends fc.Arbitrary<infer T> ? T : never;

const IN_ORDER: ViewOptions = { shape: [3, 2, 4], order: [0, 1, 2], skipped: 0, step: 1, after: 0 };
const BETWEEN: ViewOptions = { ...IN_ORDER, skipped: 1, after: 3 };
const UNEVEN: ViewOptions = { ...IN_ORDER, after: 1 };
const HALVES: ViewOptions = { ...IN_ORDER, shape: [3, 2, 2], after: 2 };

/** The view, and what it holds by its definition. */
function viewOf({ shape: [a, b, c], order, skipped, step, after }: ViewOptions, first = 0) {
	const extents = [a, b, skipped + c * step + after];
	const values = Float32Array.from({ length: extents[0] * extents[1] * extents[2] }, (_, i) => first + i);
	const own = [a, b, c];
	const shape = order.map((axis) => own[axis]);
	const view = permute(slice(device().fromHost(values, extents), 2, skipped, skipped + c * step, step), order);
	const at = (place: readonly number[]): number => {
		const index = [0, 0, 0];
		for (const [i, axis] of order.entries()) index[axis] = place[i];
		return values[(index[0] * extents[1] + index[1]) * extents[2] + skipped + index[2] * step];
	};
	return { view, shape, at };
}

const all = ([a, b, c]: readonly number[], at: (place: readonly number[]) => number): number[] =>
	Array.from({ length: a * b * c }, (_, i) => at([Math.floor(i / (b * c)), Math.floor(i / c) % b, i % c]));

describe("four elements at once", () => {
	it("copies what a view holds", async () => {
		await fc.assert(
			fc.asyncProperty(VIEW, async (options) => {
				const { view, shape, at } = viewOf(options);
				expect([...(await data(reshape(view, [view.size])))]).toEqual(all(shape, at));
			}),
			{ ...part(0.5), examples: [[IN_ORDER], [BETWEEN], [UNEVEN]] },
		);
	});

	it("joins what views hold", async () => {
		await fc.assert(
			fc.asyncProperty(VIEW, fc.array(fc.constantFrom(0, 1, 2, 4), { minLength: 1, maxLength: 4 }), async (options, skips) => {
				const parts = skips.map((skipped, i) => viewOf({ ...options, skipped }, 1000 * i));
				const [{ shape }] = parts;
				const whole = [shape[0], shape[1], shape[2] * parts.length];
				const expected = all(whole, ([a, b, c]) => parts[Math.floor(c / shape[2])].at([a, b, c % shape[2]]));
				expect([
					...(await data(
						cat(
							parts.map((p) => p.view),
							2,
						),
					)),
				]).toEqual(expected);
			}),
			{
				...part(0.5),
				examples: [IN_ORDER, BETWEEN, UNEVEN, HALVES].map((view): [ViewOptions, number[]] => [view, [view.skipped, view.skipped]]),
			},
		);
	});

	it.each([2, 4, 6, 8, 16])("turns heads of %d numbers, however they lie", async (K) => {
		const [T, J] = [3, K / 2];
		const angle = (t: number, j: number): number => (t + 1) / (j + 1);
		const table = (f: (x: number) => number): Tensor =>
			device().fromHost(
				Float32Array.from({ length: T * J }, (_, i) => f(angle(Math.floor(i / J), i % J))),
				[T, J],
			);
		const wide = Float32Array.from({ length: 2 * T * (K + 4) }, (_, i) => Math.sin(i));
		const doubled = Float32Array.from({ length: 4 * T * K }, (_, i) => Math.cos(i));
		for (const skipped of [0, 1, 4]) {
			const x = slice(device().fromHost(wide, [2, T, K + 4]), 2, skipped, skipped + K);
			const columns = device().fromHost(wide.subarray(0, 2 * T * K), [2, K, T]);
			const apart = slice(device().fromHost(doubled, [2, T, 2 * K]), 2, 0, 2 * K, 2);
			for (const [given, at] of [
				[x, (h: number, t: number, k: number) => wide[(h * T + t) * (K + 4) + skipped + k]],
				[apart, (h: number, t: number, k: number) => doubled[2 * ((h * T + t) * K + k)]],
				[permute(columns, [0, 2, 1]), (h: number, t: number, k: number) => wide[(h * K + k) * T + t]],
			] as const) {
				const y = await data(rope(given, table(Math.cos), table(Math.sin)));
				const expected = Array.from({ length: 2 * T * K }, (_, i) => {
					const [h, t, k] = [Math.floor(i / (T * K)), Math.floor(i / K) % T, i % K];
					const [c, s] = [Math.cos(angle(t, k % J)), Math.sin(angle(t, k % J))];
					return k < J ? at(h, t, k) * c - at(h, t, k + J) * s : at(h, t, k) * c + at(h, t, k - J) * s;
				});
				for (const [i, v] of expected.entries()) expect(Math.abs(y[i] - v)).toBeLessThan(1e-6);
			}
		}
	});

	it.each([4, 5, 8, 13])("has the gradients of a head of %d classes, with a row that is left out, one of them capped", async (V) => {
		const [R, D] = [5, 4];
		const h = Float32Array.from({ length: R * D }, (_, i) => Math.sin(3 * i));
		const w = Float32Array.from({ length: V * D }, (_, i) => Math.cos(5 * i));
		const labels = Int32Array.from({ length: R }, (_, r) => (r === 2 ? -100 : (3 * r) % V));
		for (const softcap of [0, 1.5]) {
			const at = device().fromHost(h, [R, D]);
			const [weight, label] = [device().fromHost(w, [V, D]), device().fromHost(labels, [R])];
			const slots: Slot[] = [{ value: at }, { value: weight }];
			const { grads } = valueAndGrad(() => sum(linearCrossEntropy(slots[0].value, slots[1].value, label, { softcap })), slots);
			const [dh, dw] = [await data(grads[0]), await data(grads[1])];
			const ofWeight = new Float64Array(V * D);
			const cap = (z: number): number => (softcap > 0 ? softcap * Math.tanh(z / softcap) : z);
			for (let r = 0; r < R; r++) {
				const dot = (v: number): number => [...Array(D).keys()].reduce((sum, d) => sum + h[r * D + d] * w[v * D + d], 0);
				const capped = Array.from({ length: V }, (_, v) => cap(dot(v)));
				const total = capped.reduce((sum, c) => sum + Math.exp(c), 0);
				const slopes = capped.map((c, v) => {
					const ofCap = softcap > 0 ? 1 - (c / softcap) ** 2 : 1;
					return r === 2 ? 0 : (Math.exp(c) / total - Number(v === labels[r])) * ofCap;
				});
				for (let d = 0; d < D; d++) {
					const expected = slopes.reduce((sum, slope, v) => sum + slope * w[v * D + d], 0);
					expect(Math.abs(dh[r * D + d] - expected)).toBeLessThan(1e-5);
					for (const [v, slope] of slopes.entries()) ofWeight[v * D + d] += slope * h[r * D + d];
				}
			}
			for (const [i, v] of ofWeight.entries()) expect(Math.abs(dw[i] - v)).toBeLessThan(1e-5);
		}
	});

	it("has the gradient of a head whose slope begins between two fours", async () => {
		const [R, D] = [3, 4];
		const slope = Float32Array.from({ length: R * D + 1 }, (_, i) => i);
		const given = reshape(slice(device().fromHost(slope, [R * D + 1]), 0, 1), [R, D]);
		const [dy, h, w] = [device().fromHost([1, 2, 3], [R]), zeros(device(), [R, D]), zeros(device(), [5, D])];
		const labels = device().fromHost(Int32Array.of(0, 1, 2), [R]);
		const [dh] = linearCrossEntropyHiddenGradPrimitive.apply([dy, given, h, w, labels, dy]);
		expect([...(await data(dh))]).toEqual([...slope.subarray(1)].map((s, i) => s * (1 + Math.floor(i / D))));
	});
});
