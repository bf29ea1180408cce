import { add, type Device, data, full, matmul, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();

/** The device submits by itself what is worth it: at least so many kernels. */
const WORTH = 64;

function chain(x: Tensor, count: number): Tensor {
	let y = x;
	for (let i = 0; i < count; i++) y = add(y, 1);
	return y;
}

/** Submits while `act` records. */
function submitsOf(d: Device, act: () => unknown): number {
	const before = d.counters().submits;
	act();
	return d.counters().submits - before;
}

describe("an outermost scope", () => {
	it("hands what it recorded to the GPU when it ends, before anybody waits", async () => {
		const x = full(device(), [4], 0);
		await data(x);
		const few = submitsOf(device(), () => device().scope(() => chain(x, WORTH - 1)));
		await device().flush();
		const many = submitsOf(device(), () => device().scope(() => chain(x, WORTH)));
		const inner = submitsOf(device(), () =>
			device().scope(() => {
				const before = device().counters().submits;
				const y = device().scope(() => chain(x, WORTH));
				expect(device().counters().submits, "an inner one does not").toBe(before);
				return y;
			}),
		);
		expect([few, many, inner]).toEqual([0, 1, 1]);
		await device().flush();
	});
});

describe("a wait for a GPU that is the processor", () => {
	it("leaves the processor to it: few turns of the event loop, each with a pause", async () => {
		const big = full(device(), [512, 512], 1e-3);
		await device().flush();
		let turns = 0;
		let isDone = false;
		const turn = (): void => {
			turns++;
			if (!isDone) setImmediate(turn);
		};
		setImmediate(turn);
		const before = performance.now();
		await Promise.all(Array.from({ length: 3 }, () => data(matmul(big, big))));
		isDone = true;
		const mostTurns = (performance.now() - before) / 0.2 + 20;
		expect(turns).toBeLessThan(mostTurns);
	});
});
