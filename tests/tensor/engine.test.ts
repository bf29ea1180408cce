import {
	add,
	attentionSoftmax,
	data,
	div,
	exp,
	item,
	matmul,
	mean,
	mul,
	permute,
	requestDevice,
	reshape,
	type Slot,
	slice,
	sub,
	sum,
	type Tensor,
	transpose,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { insideOf } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const vector = (...values: number[]): Tensor => device().fromHost(Float32Array.from(values), [values.length]);
const grid = (rows: number, columns: number, from = 0): Tensor =>
	device().fromHost(
		Float32Array.from({ length: rows * columns }, (_, i) => from + i),
		[rows, columns],
	);

describe("views", () => {
	it("share memory: no view makes a buffer", async () => {
		const x = grid(4, 6);
		const { liveBuffers } = device().memory();
		const v = slice(transpose(reshape(permute(x, [1, 0]), [6, 4])), 1, 1, 4);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
		expect(v.shape).toEqual([4, 3]);
		expect([...(await data(v))]).toEqual([1, 2, 3, 7, 8, 9, 13, 14, 15, 19, 20, 21]);
		v.dispose();
		x.dispose();
	});

	it("outlive the tensor they look at", async () => {
		const x = grid(2, 2);
		const row = slice(x, 0, 1, 2);
		x.dispose();
		expect([...(await data(row))]).toEqual([2, 3]);
		expect(() => insideOf(x)).toThrow(expect.objectContaining({ name: "DisposedError" }));
	});
});

describe("memory", () => {
	it("a scope releases what it does not return, also when it throws", () => {
		const { liveBuffers, liveBytes } = device().memory();
		const kept = device().scope(() => add(mul(vector(1, 2), vector(3, 4)), vector(1, 1)));
		expect(device().memory().liveBuffers).toBe(liveBuffers + 1);
		kept.dispose();
		expect(() =>
			device().scope<void>(() => {
				mul(vector(1), vector(2));
				throw new Error("stop");
			}),
		).toThrow("stop");
		expect(device().memory()).toMatchObject({ liveBuffers, liveBytes });
	});

	it("keep takes a tensor out of every scope", async () => {
		let kept: Tensor | undefined;
		device().scope<void>(() => {
			device().scope<void>(() => {
				kept = device().keep(vector(5, 6));
			});
		});
		expect([...(await data(kept as Tensor))]).toEqual([5, 6]);
		kept?.dispose();
	});

	it("a gradient computation that fails leaves nothing behind", () => {
		const w: Slot = { value: vector(1, 2, 3) };
		const { liveBuffers } = device().memory();
		expect(() => valueAndGrad(() => mul(w.value, w.value), [w])).toThrow(expect.objectContaining({ name: "ShapeError" }));
		expect(() =>
			valueAndGrad(() => {
				exp(w.value);
				throw new Error("stop");
			}, [w]),
		).toThrow("stop");
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("a read-back sees values in the order of the program", async () => {
		let x = vector(1, 1, 1, 1);
		for (let i = 0; i < 30; i++) x = add(x, x);
		expect([...(await data(x))]).toEqual(new Array(4).fill(2 ** 30));
	});
});

describe("valueAndGrad", () => {
	it("differentiates shared, repeated and broadcast uses", async () => {
		const w: Slot = { value: vector(1, 2, 3) };
		const b: Slot = { value: device().fromHost(Float32Array.of(0.5), []) };
		// f = sum(w w w + b w / w): df/dw = 3 w^2, df/db = 3.
		const f = () => sum(add(mul(w.value, mul(w.value, w.value)), mul(b.value, div(w.value, w.value))));
		const { value, grads } = valueAndGrad(f, [w, b]);
		expect(await item(value)).toBeCloseTo(36 + 1.5, 4);
		expect([...(await data(grads[0]))].map((v) => Math.round(v * 1e4) / 1e4)).toEqual([3, 12, 27]);
		expect(await item(grads[1])).toBeCloseTo(3, 5);
	});

	it("gives zeros for what the value does not depend on, and nothing for frozen tensors", async () => {
		const w: Slot = { value: vector(1, 2) };
		const unused: Slot = { value: vector(3, 4) };
		const { grads } = valueAndGrad(() => sum(sub(w.value, vector(1, 1))), [w, unused]);
		expect([...(await data(grads[0]))]).toEqual([1, 1]);
		expect([...(await data(grads[1]))]).toEqual([0, 0]);
	});

	it("puts the original tensors back", () => {
		const w: Slot = { value: vector(1, 2) };
		const original = w.value;
		valueAndGrad(() => sum(w.value), [w]);
		expect(w.value).toBe(original);
		expect(() => valueAndGrad(() => w.value, [w])).toThrow();
		expect(w.value).toBe(original);
	});

	it("equals matrix calculus: d sum(A B) = 1 B^T, A^T 1", async () => {
		const a: Slot = { value: grid(2, 3) };
		const b: Slot = { value: grid(3, 2, 1) };
		const { grads } = valueAndGrad(() => sum(matmul(a.value, b.value)), [a, b]);
		expect([...(await data(grads[0]))]).toEqual([3, 7, 11, 3, 7, 11]);
		expect([...(await data(grads[1]))]).toEqual([3, 3, 5, 5, 7, 7]);
	});
});

describe("the record axis", () => {
	const rows = () => grid(3, 2, 1);
	const gradients = (loss: (row: Tensor, w: Slot) => Tensor): Tensor => {
		const w: Slot = { value: vector(1, 1) };
		return vmap((row: Tensor) => valueAndGrad(() => loss(row, w), [w]).grads[0])(rows());
	};

	it("gives one gradient a record", async () => {
		const g = gradients((row, w) => sum(mul(row, w.value)));
		expect(g.shape).toEqual([3, 2]);
		expect([...(await data(g))]).toEqual([1, 2, 3, 4, 5, 6]);
	});

	it.each<[string, (row: Tensor, w: Slot) => Tensor, number[]]>([
		["a mean", (row, w) => mean(mul(row, w.value)), [0.5, 1, 1.5, 2, 2.5, 3]],
		["a sum over axis 0", (row, w) => sum(mul(row, w.value), [0]), [1, 2, 3, 4, 5, 6]],
		["reshaping everything into one axis", (row, w) => sum(reshape(mul(row, w.value), [-1])), [1, 2, 3, 4, 5, 6]],
		["slicing axis 0", (row, w) => sum(slice(mul(row, w.value), 0, 0, 1)), [1, 0, 3, 0, 5, 0]],
		["a product with itself", (row, w) => matmul(mul(row, w.value), row), [1, 4, 9, 16, 25, 36]],
		["a loss without the record", (_, w) => sum(w.value), [1, 1, 1, 1, 1, 1]],
	])("is out of reach of %s", async (_, loss, expected) => {
		expect([...(await data(gradients(loss)))]).toEqual(expected);
	});

	it.each<[string, (row: Tensor) => Tensor]>([
		["moving it", (row) => permute(row, [1, 0])],
		["transposing the batch", (row) => transpose(row)],
		["summing over it", (row) => sum(row, [-2])],
		["slicing records off", (row) => slice(row, 1, 0, 2)],
		["reshaping it away", (row) => reshape(row, [6])],
	])("has no number: %s is an error", (_, f) => {
		const { liveBuffers } = device().memory();
		const batch = rows();
		expect(() => vmap(f)(batch)).toThrow(
			expect.objectContaining({ code: expect.stringMatching(/^(permute\/order|axis\/range|shape\/reshape)$/) }),
		);
		batch.dispose();
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("sums the gradient of what is one for all records", async () => {
		const w: Slot = { value: vector(1, 1) };
		const { grads } = valueAndGrad(() => sum(vmap((row: Tensor) => sum(mul(row, w.value)))(rows())), [w]);
		expect([...(await data(grads[0]))]).toEqual([9, 12]);
	});
});

describe("options", () => {
	it("that are undefined are the defaults", async () => {
		const x = grid(3, 3);
		const [left, given] = [attentionSoftmax(x), attentionSoftmax(x, { scale: undefined, causal: undefined, window: undefined })];
		expect([...(await data(given))]).toEqual([...(await data(left))]);
		const quiet = await requestDevice({ memoryBudget: undefined, debug: { level: undefined, log: undefined } });
		expect(quiet.debug.level).toBe(0);
		quiet.destroy();
	});
});
