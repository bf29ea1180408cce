import { add, assign, type Device, data, full, matmul, mul, sum, type Tensor, tanh, vjp, zeros } from "@hushgrad/tensor";
import { copyInto, physicalOf } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

/* A kernel whose result nobody can read any more is not run. */

const device = useDevice();

/** Kernels that were run for what `act` records. */
async function kernelsOf(d: Device, act: () => unknown): Promise<number> {
	await d.flush();
	const before = d.counters().dispatches;
	const result = act();
	await d.flush();
	const count = d.counters().dispatches - before;
	if (result !== undefined) (result as Tensor).dispose();
	return count;
}

describe("a result that nobody reads", () => {
	it("is not computed, nor what it alone was computed from", async () => {
		const x = full(device(), [64, 64], 0.5);
		const square = () => matmul(x, x);
		expect(await kernelsOf(device(), () => device().scope<Tensor>(square))).toBe(1);
		expect(await kernelsOf(device(), () => device().scope<void>(() => void square()))).toBe(0);
		expect(await kernelsOf(device(), () => device().scope<void>(() => void matmul(square(), square())))).toBe(0);
		x.dispose();
	});

	it("costs nothing on the way to a gradient that does not need it", async () => {
		const [x, w, dy] = [0.1, 0.2, 1].map((v) => full(device(), [32, 32], v));
		const both = () => vjp((a: Tensor) => matmul(a, w), [x], dy);
		const [value, gradient] = [() => device().scope<Tensor>(() => both().value), () => device().scope<Tensor>(() => both().grads[0])];
		expect([await kernelsOf(device(), value), await kernelsOf(device(), gradient)]).toEqual([1, 1]);
		for (const t of [x, w, dy]) t.dispose();
	});

	it("is computed where something else that is read was computed from it", async () => {
		const x = full(device(), [8, 8], 2);
		const y = device().scope<Tensor>(() => {
			const product = matmul(x, x);
			matmul(product, x);
			return sum(matmul(product, product));
		});
		expect([...(await data(y))]).toEqual([64 * 8 ** 3 * 16]);
		for (const t of [x, y]) t.dispose();
	});

	it("is computed where it is on its way to be read, and released", async () => {
		const x = full(device(), [8, 8], 2);
		const y = matmul(x, x);
		const read = data(y);
		y.dispose();
		expect(await read).toEqual(new Float32Array(64).fill(32));
		x.dispose();
	});

	it("does not keep the others from becoming one kernel", async () => {
		const x = full(device(), [64], 3);
		const chain = (isRead: boolean) => () =>
			device().scope<Tensor>(() => {
				const squares = mul(x, x);
				if (isRead) tanh(squares);
				return add(squares, 1);
			});
		expect([await kernelsOf(device(), chain(false)), await kernelsOf(device(), chain(true))]).toEqual([1, 1]);
		x.dispose();
	});

	it("is computed where only a part of it is written over", async () => {
		const [zero, part] = [zeros(device(), [4, 4]), full(device(), [2, 4], 3)];
		const written = device().scope<Tensor>(() => {
			const sums = add(zero, 1);
			copyInto(physicalOf(part, 1), physicalOf(sums, 1).view({ shape: [1, 2, 4], strides: [16, 4, 1], offset: 4 }));
			return sums;
		});
		expect([...(await data(written))]).toEqual([1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 1, 1, 1, 1]);
		for (const t of [zero, part, written]) t.dispose();
	});

	it("leaves what is written in place", async () => {
		const state = full(device(), [4], 1);
		device().scope<void>(() => {
			tanh(state);
			assign(state, mul(state, 5));
		});
		expect([...(await data(state))]).toEqual([5, 5, 5, 5]);
		state.dispose();
	});

	it("gives the memory back that it would have read", async () => {
		await device().flush();
		const turn = async () => {
			const x = full(device(), [70_000], 1);
			await device().flush();
			const y = mul(x, 2);
			x.dispose();
			y.dispose();
			await device().flush();
			return device().memory();
		};
		const first = await turn();
		expect(await turn()).toEqual(first);
	});
});
