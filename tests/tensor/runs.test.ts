import { Parameter, SGD } from "@hushgrad/nn";
import { add, arange, type Device, data, full, mul, type Tensor } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

/** Invocations from which on each has several vectors, and the most that each has of a sum and of a fill. */
const [BUSY, OF_A_SUM, OF_A_FILL] = [16384, 8, 16];
const VECTORS = [1, 63, 65, BUSY, BUSY + 1, 3 * BUSY - 1, OF_A_SUM * BUSY, OF_A_SUM * BUSY + 5, OF_A_FILL * BUSY + 7];
/** Whole vectors, and numbers that fill none. */
const LENGTHS = VECTORS.flatMap((n) => [4 * n, 4 * n + 1]);

const devices = { cpu: useDevice({ plan: "cpu" }), gpu: useDevice({ plan: "gpu" }) };

/** The first number that is not as expected, and its place. */
function wrong(found: ArrayLike<number>, expected: (i: number) => number): readonly number[] | undefined {
	for (let i = 0; i < found.length; i++) if (found[i] !== expected(i)) return [i, found[i]];
	return undefined;
}

/** What is computed of every number x, with what it is. */
const COMPUTED: readonly (readonly [string, (device: Device, length: number) => Tensor, (x: number) => number])[] = [
	["full", (d, n) => full(d, [n], 3), () => 3],
	["arange", (d, n) => arange(d, 0, n), (x) => x],
	["a sum", (d, n) => add(arange(d, 0, n), full(d, [n], 2)), (x) => x + 2],
	["a chain", (d, n) => mul(add(arange(d, 0, n), arange(d, 0, n)), arange(d, 0, n)), (x) => Math.fround(2 * x * x)],
	["an update in place", updated, (x) => x - 1],
];

function updated(device: Device, length: number): Tensor {
	const p = new Parameter([length]);
	p.assign(arange(device, 0, length));
	const optimizer = new SGD([p], { lr: 1 });
	optimizer.step([full(device, [length], 1)]);
	return p.value;
}

it.each((["cpu", "gpu"] as const).flatMap((plan) => COMPUTED.map(([what, compute, expected]) => [what, plan, compute, expected] as const)))(
	"%s in plan %s takes every number once, whatever their count",
	async (_, plan, compute, expected) => {
		for (const length of LENGTHS) {
			const found = await data(devices[plan]().scope<Tensor>(() => compute(devices[plan](), length)));
			expect(found.length).toBe(length);
			expect(wrong(found, expected), `of ${length}`).toBeUndefined();
		}
	},
);
