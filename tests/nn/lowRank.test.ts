import { NF4Parameter, Parameter } from "@hushgrad/nn";
import {
	add,
	type Device,
	DropoutKey,
	data,
	dropout,
	key,
	linear,
	mul,
	normal,
	normalValues,
	requestDevice,
	slice,
	square,
	squeeze,
	stack,
	sum,
	type Tensor,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lowRankDropoutPrimitive, lowRankPrimitive } from "../../packages/nn/src/lowRank.ts";
import { linearUpdatedPrimitive } from "../../packages/nn/src/updated.ts";
import { EACH_PLAN } from "../support/environment.ts";
import { relativeError } from "../support/goldens.ts";

/** Longer than what the invocations of a row, or a tile of rows and ranks, take at once; none a multiple of those. */
const [B, T, K, R, N] = [3, 37, 392, 12, 40];
const ATTRS = { scale: 0.7, p: 0.3, stream: 5 };

describe.each(EACH_PLAN)("the low-rank branch in plan %s", (plan) => {
	let device: Device;
	beforeAll(async () => {
		device = await requestDevice({ plan });
	});
	afterAll(() => device.destroy());

	const random = (n: number, ...shape: number[]): Tensor => normal(device, shape, key(n));
	const slots = (k: number, r: number) => [random(1, T, k), random(2, r, k), random(3, N, r), random(4, N, k)].map((value) => ({ value }));
	const words = () => DropoutKey.of(device, key(7)).words;

	/** x W^T + s (dropout(x) A^T) B^T of plain operations. */
	const composite = (w: Tensor, x: Tensor, a: Tensor, b: Tensor, keys?: Tensor): Tensor => {
		const kept = keys === undefined ? x : dropout(x, ATTRS.p, new DropoutKey(keys, ATTRS.stream));
		return add(linear(x, w), linear(mul(linear(kept, a), ATTRS.scale), b));
	};
	const fused = (w: Tensor, x: Tensor, a: Tensor, b: Tensor, keys?: Tensor): Tensor => {
		const low = keys === undefined ? lowRankPrimitive.apply([x, a], ATTRS)[0] : lowRankDropoutPrimitive.apply([x, a, keys], ATTRS)[0];
		return linearUpdatedPrimitive.apply([x, w, low, b])[0];
	};

	// Of a sum of 2100 parts are added; ranks are taken eight, four or three at once.
	it.each([
		[K, R, false],
		[K, R, true],
		[2100, 8, true],
		[K, 3, false],
	])("is the composite of plain operations, and so are its gradients (K = %i, R = %i, dropout: %s)", async (k, r, drops) => {
		const results = async (f: typeof fused): Promise<Float32Array[]> => {
			const own = slots(k, r);
			const keys = drops ? words() : undefined;
			const run = () => {
				const [x, a, b, w] = own.map((s) => s.value);
				// x is used elsewhere, too: its gradient is added to what has arrived.
				return add(sum(square(f(w, x, a, b, keys))), sum(square(x)));
			};
			const { value, grads } = device.scope(() => valueAndGrad(run, own));
			return (await Promise.all([value, ...grads].map((t) => data(t)))) as Float32Array[];
		};
		const [expected, actual] = [await results(composite), await results(fused)];
		expected.forEach((e, i) => {
			expect(relativeError(actual[i], e), `result ${i}`).toBeLessThan(2e-6);
		});
	});

	it("gives each record what it gives alone, bit for bit, with a mask of its own", async () => {
		const [a, b, w] = [random(2, R, K), random(3, N, R), random(4, N, K)];
		const records = Array.from({ length: B }, (_, i) => ({
			x: random(10 + i, T, K),
			keys: DropoutKey.of(device, key(30 + i)).words,
		}));
		const [xs, keys] = (["x", "keys"] as const).map((name) => stack(records.map((r) => r[name])));
		const all = (await data(vmap((x: Tensor, keys: Tensor) => fused(w, x, a, b, keys))(xs, keys))) as Float32Array;
		for (const [i, { x, keys }] of records.entries()) {
			expect([...(await data(fused(w, x, a, b, keys)))]).toEqual([...all.subarray(i * T * N, (i + 1) * T * N)]);
		}
	});

	it("adds to the result of each record what is its own, bit for bit, and gives it the gradients that are its own", async () => {
		const [w, ...all] = [random(4, N, K), random(1, B, T, K), random(2, B, T, R), random(3, B, N, R)];
		const run = (x: Tensor, low: Tensor, b: Tensor): Tensor[] => {
			const operands = [x, w, low, b];
			const slots = operands.map((value) => ({ value }));
			const { value, grads } = valueAndGrad(() => sum(square(linearUpdatedPrimitive.apply(slots.map((s) => s.value))[0])), slots);
			return [value, linearUpdatedPrimitive.apply(operands)[0], ...grads];
		};
		const together = await Promise.all(vmap(run)(all[0], all[1], all[2]).map((t) => data(t)));
		for (let i = 0; i < B; i++) {
			const [x, low, b] = all.map((t) => squeeze(slice(t, 0, i, i + 1), 0));
			const alone = await Promise.all(run(x, low, b).map((t) => data(t)));
			for (const [k, own] of alone.entries()) expect([...own]).toEqual([...together[k].subarray(i * own.length, (i + 1) * own.length)]);
		}
	});

	// The second weight has more words than the workgroups that write it take in one turn.
	it.each([
		[40, 64, 0.3],
		[1040, 1024, 0.3],
		[40, 64, 0],
	])("is that of the same weight in f32 where it is held in four bits: %i x %i, dropout %f", async (n, k, p) => {
		const values = normalValues(key(9), n * k).map((v) => 0.1 * v);
		const [coded, numbers] = [new NF4Parameter([n, k]), new Parameter([n, k])];
		coded.load(device, values, "BF16");
		numbers.assign(device.scope(() => coded.dequantize()));
		const [xs, a, b] = [random(1, B, T, k), random(2, 8, k), random(3, n, 8)];
		const words = DropoutKey.of(device, key(7)).words;
		const mask = p === 0 ? undefined : { words, stream: 5, p };
		const results = async (weight: Parameter): Promise<Float32Array[]> => {
			const all = device.scope(() =>
				vmap((x: Tensor) => {
					const slots = [x, a, b].map((value) => ({ value }));
					const [own, down, up] = slots;
					const run = () => weight.adapted(own.value, { a: down.value, b: up.value, scale: 0.7, mask });
					return [run(), ...valueAndGrad(() => add(sum(square(run())), sum(square(own.value))), slots).grads];
				})(xs),
			);
			return (await Promise.all(all.map((t) => data(t)))) as Float32Array[];
		};
		const [actual, expected] = [await results(coded), await results(numbers)];
		expect(actual[0]).toEqual(expected[0]);
		for (const [i, e] of expected.entries()) expect(relativeError(actual[i], e), `result ${i}`).toBeLessThan(2e-6);
	});

	it.each([
		["where no sum is split", 8, 16, 0],
		["where one is split, of whose parts the sum is made", 8, 2100, 1],
	])("takes few kernels %s", (_, n, k, parts) => {
		const own = [random(1, T, k), random(2, 4, k), random(3, n, 4), random(4, n, k)].map((value) => ({ value }));
		const keys = words();
		const count = (run: () => void): number => {
			const before = device.counters().dispatches;
			device.scope<void>(run);
			return device.counters().dispatches - before;
		};
		const value = () => {
			const [x, a, b, w] = own.map((s) => s.value);
			return fused(w, x, a, b, keys);
		};
		expect(count(() => void value())).toBe(plan === "cpu" ? 3 : 2 + parts);
		const loss = count(() => void sum(value()));
		// One more makes the gradient of the loss, 1; that of the sum is a view, which is copied. Then come those of x, of w, of low and b, and of a.
		const gradients = 4 + (plan === "cpu" ? 1 : 0);
		expect(count(() => void valueAndGrad(() => sum(value()), own)) - loss).toBe(1 + 1 + gradients);
	});
});
