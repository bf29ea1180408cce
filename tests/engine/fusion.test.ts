import {
	abs,
	add,
	assign,
	capture,
	data,
	div,
	exp,
	maximum,
	mul,
	neg,
	relu,
	reshape,
	slice,
	sqrt,
	square,
	sub,
	sum,
	type Tensor,
	tanh,
	transpose,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { part } from "../support/environment.ts";

const device = useDevice();
const size = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
const drawn = (seed: number, shape: readonly number[]): Tensor => {
	const next = numbers(seed, 9);
	return device().fromHost(
		Float32Array.from({ length: size(shape) }, () => 4 * next() - 2),
		shape,
	);
};
const bits = async (t: Tensor): Promise<Uint32Array> => new Uint32Array(((await data(t)) as Float32Array).slice().buffer);

/** Kernels that `fn` runs, and the bits of what it returns. */
async function run(fn: () => Tensor): Promise<{ readonly bits: Uint32Array; readonly kernels: number }> {
	await device().flush();
	const before = device().counters().dispatches;
	const result = device().scope(fn);
	const out = await bits(result);
	result.dispose();
	return { bits: out, kernels: device().counters().dispatches - before };
}

/** The same with every result in memory: while a handle is open, no kernel may do without it. */
function apart(fn: () => Tensor): ReturnType<typeof run> {
	const open: Tensor[] = [];
	const runtime = runtimeOf(device());
	const track = vi.spyOn(runtime, "track").mockImplementation((t) => {
		open.push(t);
		return t;
	});
	return run(fn).finally(() => {
		track.mockRestore();
		for (const t of open) t.dispose();
	});
}

afterEach(() => vi.restoreAllMocks());

type Operation = (a: Tensor, b: Tensor) => Tensor;
const OPERATIONS: readonly Operation[] = [
	add,
	sub,
	mul,
	maximum,
	(a) => tanh(a),
	(a) => neg(a),
	(a) => relu(a),
	(a) => square(a),
	(a) => sqrt(abs(a)),
	(a) => mul(a, 1.1),
	(a) => add(a, -0.3),
	(a, b) => div(a, add(square(b), 1)),
	(a, b) => sub(b, a),
];

/** A program that takes results of earlier operations, or what it is given, as operands. */
interface Program {
	readonly full: readonly number[];
	readonly inputs: readonly (readonly number[])[];
	readonly lines: readonly { readonly op: number; readonly a: number; readonly b: number }[];
	readonly seed: number;
}

const programs = fc.array(fc.constantFrom(1, 2, 3, 4, 8, 12), { minLength: 1, maxLength: 4 }).chain(
	(full): fc.Arbitrary<Program> =>
		fc.record({
			full: fc.constant(full),
			inputs: fc.array(
				fc.array(fc.boolean(), { minLength: full.length, maxLength: full.length }).map((mask) => full.map((d, i) => (mask[i] ? 1 : d))),
				{ minLength: 1, maxLength: 3 },
			),
			lines: fc.array(fc.record({ op: fc.nat(OPERATIONS.length - 1), a: fc.nat(5), b: fc.nat(5) }), { minLength: 2, maxLength: 20 }),
			seed: fc.nat(1000),
		}),
);

/** `a` counts back from the last result, so that chains are long; `b` may be any. */
function evaluated({ lines }: Program, inputs: readonly Tensor[]): Tensor {
	const values = [...inputs];
	for (const { op, a, b } of lines) values.push(OPERATIONS[op](values[values.length - 1 - (a % 2)], values[b % values.length]));
	return values[values.length - 1];
}

describe("element-wise operations in a row", () => {
	it("give the same bits in fewer kernels, whatever their shapes", async () => {
		let fewer = 0;
		await fc.assert(
			fc.asyncProperty(programs, async (program) => {
				const inputs = [drawn(program.seed, program.full), ...program.inputs.map((s, i) => drawn(program.seed + i + 1, s))];
				const [one, all] = [await run(() => evaluated(program, inputs)), await apart(() => evaluated(program, inputs))];
				for (const t of inputs) t.dispose();
				fewer += all.kernels - one.kernels;
				expect(one.bits).toEqual(all.bits);
			}),
			part(0.3),
		);
		expect(fewer).toBeGreaterThan(0);
	});

	it("are one kernel, and their results need no memory", async () => {
		const [x, row, column] = [drawn(1, [64, 96]), drawn(2, [96]), drawn(3, [64, 1])];
		const chain = () => maximum(add(mul(tanh(mul(add(mul(x, row), row), column)), row), row), sub(x, column));
		const [one, all] = [await run(chain), await apart(chain)];
		expect(all.kernels).toBe(8);
		expect(one.kernels).toBe(1);
		expect(one.bits).toEqual(all.bits);
		await device().flush();
		const taken = vi.spyOn(runtimeOf(device()).pool, "take");
		await run(chain);
		expect(taken).toHaveBeenCalledTimes(1);
	});

	it("are one kernel beyond multiples of four, through a reshape, and where an operand stands twice", async () => {
		const x = drawn(1, [7, 9]);
		expect((await run(() => tanh(mul(x, x)))).kernels).toBe(1);
		expect((await run(() => square(reshape(add(x, 1), [63])))).kernels).toBe(1);
		const y = () => {
			const once = add(x, 1);
			return mul(once, once);
		};
		const [one, all] = [await run(y), await apart(y)];
		expect(one.kernels).toBe(1);
		expect(one.bits).toEqual(all.bits);
	});

	it("read what lies in one memory each in its own order", async () => {
		const x = drawn(1, [8, 8]);
		const step = () => mul(add(x, 1), transpose(x, 0, 1));
		const [one, all] = [await run(step), await apart(step)];
		expect(one.kernels).toBe(1);
		expect(one.bits).toEqual(all.bits);
	});

	it("give back the memory that they read", async () => {
		const x = drawn(1, [8, 100]);
		const step = () => tanh(mul(sum(x, [0]), 2));
		await run(step);
		const { heldBuffers } = device().memory();
		// More than may lie idle, from which what does not come back would be taken.
		for (let i = 0; i < 100; i++) await run(step);
		expect(device().memory().heldBuffers).toBe(heldBuffers);
	});

	it("keep no more in memory than they would apart", async () => {
		const x = drawn(1, [8, 100]);
		const of = (from: number) => sum(slice(x, 0, from, from + 4), [0]);
		const { kernels } = await run(() => of(0));
		expect((await run(() => tanh(mul(of(0), 2)))).kernels).toBe(kernels + 1);
		const both = await run(() => tanh(mul(of(0), of(4))));
		expect(both.kernels, "two sums would have to stay, in place of a product").toBe(2 * kernels + 2);
	});

	it("are as many kernels as they need, where they are many", async () => {
		const [x, y] = [drawn(1, [64]), drawn(2, [64])];
		const long = () => {
			let z = x;
			for (let i = 0; i < 50; i++) z = add(z, y);
			return z;
		};
		const [one, all] = [await run(long), await apart(long)];
		expect(all.kernels).toBe(50);
		expect(one.kernels).toBe(Math.ceil(50 / 12));
		expect(one.bits).toEqual(all.bits);
		const many = Array.from({ length: 12 }, (_, i) => drawn(i, [64]));
		const wide = () => many.reduce((a, b) => add(a, b));
		const [few, each] = [await run(wide), await apart(wide)];
		expect(few.kernels).toBe(2);
		expect(few.bits).toEqual(each.bits);
	});
});

describe("a result stays in memory", () => {
	const x = () => drawn(1, [32]);

	it("that is returned, read by two, read in part, or read otherwise", async () => {
		const input = x();
		const [a, b] = device().scope(() => {
			const first = mul(add(input, 1), 1.5);
			return [first, mul(first, 2)];
		});
		expect([...((await data(b)) as Float32Array)]).toEqual([...((await data(a)) as Float32Array)].map((v) => Math.fround(2 * v)));
		for (const fn of [
			() => {
				const once = exp(input);
				return add(sub(once, 1), sum(once));
			},
			() => neg(slice(exp(input), 0, 0, 16)),
			() => neg(transpose(reshape(exp(input), [4, 8]), 0, 1)),
			() => neg(slice(exp(input), 0, 16, 32)),
		]) {
			const [one, all] = [await run(fn), await apart(fn)];
			expect(one.bits).toEqual(all.bits);
			expect(one.kernels).toBeGreaterThan(1);
		}
	});

	it("that was computed before what it read is overwritten", async () => {
		const state = x();
		const before = (await data(state)) as Float32Array;
		const y = device().scope(() => {
			const doubled = mul(state, 2);
			assign(state, add(state, 100));
			return add(doubled, 1);
		});
		expect([...((await data(y)) as Float32Array)]).toEqual([...before].map((v) => Math.fround(2 * v + 1)));
	});

	it("that a debug check looks at, whose fault names the operation", async () => {
		const input = device().fromHost([-1, 4], [2]);
		expect((await run(() => add(sqrt(input), 1))).kernels).toBe(1);
		const { requestDevice } = await import("@hushgrad/tensor");
		const strict = await requestDevice({ plan: device().plan, debug: { nan: true } });
		try {
			const z = strict.fromHost([-1, 4], [2]);
			strict.scope(() => add(sqrt(z), 1));
			await expect(strict.flush()).rejects.toThrow(/result of sqrt/);
		} finally {
			strict.destroy();
		}
	});
});

describe("gradients, records and captured steps", () => {
	const loss = (x: Tensor, w: Tensor) => sum(square(tanh(add(mul(x, w), 0.25))));

	it("are the same bits in fewer kernels", async () => {
		const [x, slot] = [drawn(1, [6, 20]), { value: drawn(2, [20]) }];
		const gradient = () => valueAndGrad(() => loss(x, slot.value), [slot]).grads[0];
		const each = () => vmap((record: Tensor) => valueAndGrad(() => loss(record, slot.value), [slot]).grads[0])(x);
		for (const fn of [gradient, each]) {
			const [one, all] = [await run(fn), await apart(fn)];
			expect(one.bits).toEqual(all.bits);
			expect(one.kernels).toBeLessThan(all.kernels);
		}
	});

	it("of a record do not depend on the others", async () => {
		const [x, w] = [drawn(1, [5, 12]), drawn(2, [12])];
		const program = vmap((record: Tensor) => mul(tanh(add(mul(record, w), 0.5)), record));
		const together = await run(() => program(x));
		const alone = await run(() => program(slice(x, 0, 3, 4)));
		expect([...alone.bits]).toEqual([...together.bits.slice(36, 48)]);
	});

	it("replay the same kernels, and know a step that has not changed", async () => {
		const x = drawn(1, [16]);
		const step = () => mul(tanh(add(mul(x, 2), 1)), x);
		const eager = await run(step);
		const captured = capture(device(), step);
		expect(captured.dispatches).toBe(1);
		captured.replay();
		expect(await bits(captured.outputs)).toEqual(eager.bits);
		expect(captured.difference(step)).toBeUndefined();
		captured.dispose();
	});
});
