import {
	add,
	capture,
	checkpoint,
	customVjp,
	type Device,
	data,
	full,
	grad,
	key,
	mean,
	mul,
	normalValues,
	type Slot,
	sin,
	slice,
	square,
	sum,
	type Tensor,
	tanh,
	valueAndGrad,
	vjp,
	vmap,
	write,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { expectSame, expectWithin } from "../support/bounds.ts";
import { useDevice } from "../support/device.ts";
import { useFlatMemory } from "../support/flatMemory.ts";
import { entry, read } from "../support/reading.ts";

const device = useDevice({ debug: { memory: true } });
const random = (seed: number, ...shape: number[]): Tensor =>
	device().fromHost(
		normalValues(
			key(seed),
			shape.reduce((a, b) => a * b, 1),
		),
		shape,
	);
const counting = (...shape: number[]): Tensor =>
	device().fromHost(
		Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
		shape,
	);
const numbersOf = async (t: Tensor): Promise<number[]> => [...(await data(t))];

useFlatMemory(device);

/** Runs a test's program, reads what it returns, and releases everything. */
async function reading(program: () => Tensor | readonly Tensor[]): Promise<number[][]> {
	const results = device().scope<Tensor[]>(() => [program()].flat() as Tensor[]);
	return (await read(results)).map((v) => Array.from(v));
}
describe("arguments", () => {
	it("count records along axis 0, or along another one, for all or for each", async () => {
		const shapes: string[] = [];
		const [a, b, c, d] = await reading(() => {
			const x = counting(2, 3);
			const f = (r: Tensor): Tensor => {
				shapes.push(r.shape.join());
				return sum(r);
			};
			const g = (r: Tensor, q: Tensor): Tensor => sum(mul(r, q));
			return [vmap(f)(x), vmap(f, { inAxes: 1 })(x), vmap(f, { inAxes: -1 })(x), vmap(g, { inAxes: [1, 0] })(x, counting(3, 2))];
		});
		expect(shapes).toEqual(["3", "2", "2"]);
		expect([a, b, c]).toEqual([
			[3, 12],
			[3, 5, 7],
			[3, 5, 7],
		]);
		expect(d).toEqual([0 * 0 + 3 * 1, 1 * 2 + 4 * 3, 2 * 4 + 5 * 5]);
	});

	it("with axis null, and tensors read from outside, are the same for all records", async () => {
		const [a, b] = await reading(() => {
			const [x, w] = [counting(3, 2), device().fromHost([10, 100], [2])];
			return [vmap((r: Tensor, v: Tensor) => mul(r, v), { inAxes: [0, null] })(x, w), vmap((r: Tensor) => mul(r, w))(x)];
		});
		expect(a).toEqual([0, 100, 20, 300, 40, 500]);
		expect(b).toEqual(a);
	});

	it("are arrays, maps and plain objects of tensors; other values pass as they are", async () => {
		const marker = Symbol("marker");
		const seen: unknown[] = [];
		const out = device().scope(() => {
			const batch = { x: counting(2, 2), list: [counting(2), { deep: counting(2, 1) }], scale: 3, name: "n", none: null, marker };
			const run = vmap((r: typeof batch, m: Map<string, Tensor>, flag: boolean) => {
				seen.push(r.scale, r.name, r.none, r.marker, flag, r.x.shape, (r.list[0] as Tensor).shape, m.get("k")?.shape);
				return {
					y: mul(r.x, full(device(), [], r.scale)),
					rest: [m.get("k") as Tensor, 7, "s"],
					map: new Map([["z", r.x]]),
					nothing: undefined,
				};
			});
			return run(batch, new Map([["k", counting(2, 3)]]), true);
		});
		expect(seen).toEqual([3, "n", null, marker, true, [2], [], [3]]);
		expect(out.rest.slice(1)).toEqual([7, "s"]);
		expect(out.nothing).toBeUndefined();
		expect(await numbersOf(out.y)).toEqual([0, 3, 6, 9]);
		expect((out.rest[0] as Tensor).shape).toEqual([2, 3]);
		expect(await numbersOf(out.map.get("z") as Tensor)).toEqual([0, 1, 2, 3]);
		for (const t of [out.y, out.rest[0] as Tensor, out.map.get("z") as Tensor]) t.dispose();
	});

	it("that a result does not depend on are repeated for every record", async () => {
		const out = device().scope(() => {
			const w = device().fromHost([5, 6], [2]);
			return vmap((_: Tensor) => [w, full(device(), [], 2)])(counting(3, 1));
		});
		expect(out.map((t) => t.shape)).toEqual([[3, 2], [3]]);
		expect(await numbersOf(out[0])).toEqual([5, 6, 5, 6, 5, 6]);
		expect(await numbersOf(out[1])).toEqual([2, 2, 2]);
		for (const t of out) t.dispose();
	});

	it("may have one record, or none", async () => {
		const [one, none] = await reading(() => {
			const f = (r: Tensor): Tensor => add(square(r), sum(r));
			return [vmap(f)(counting(1, 3)), vmap(f)(counting(0, 3))];
		});
		expect(one).toEqual([3, 4, 7]);
		expect(none).toEqual([]);
	});
});

describe("derivatives", () => {
	const f = (w: Tensor, r: Tensor): Tensor => sum(mul(tanh(mul(w, r)), sin(add(w, r))));

	it("per record, plain, and second order agree with those of single records", async () => {
		const w = random(1, 4);
		const u = random(2, 4);
		const batch = random(3, 3, 4);
		const hessian = (r: Tensor): Tensor => grad((v: Tensor) => sum(mul(grad((q: Tensor) => f(q, r))(v), u)))(w);
		const slot: Slot = { value: w };
		const ofOne = (r: Tensor): Tensor[] => {
			const { value, grads } = valueAndGrad(() => f(slot.value, r), [slot]);
			const jacobian = vjp((v: Tensor) => square(mul(v, r)), [w], u);
			return [value, grads[0], hessian(r), jacobian.value, jacobian.grads[0], grad((v: Tensor) => f(w, v))(r)];
		};
		const together = await read(device().scope<Tensor[]>(() => vmap(ofOne)(batch)));
		const rows = await numbersOf(batch);
		const sums = [new Array<number>(4).fill(0), new Array<number>(4).fill(0)];
		for (let b = 0; b < 3; b++) {
			const alone = await read(device().scope<Tensor[]>(() => ofOne(device().fromHost(rows.slice(4 * b, 4 * b + 4), [4]))));
			for (const [k, values] of entry(together, 3, b).entries()) expectSame(values, alone[k], `record ${b}, result ${k}`);
			for (let i = 0; i < 4; i++) {
				sums[0][i] += alone[1][i];
				sums[1][i] += alone[2][i];
			}
		}
		const plain = await read(
			device().scope<Tensor[]>(() => {
				const total = (v: Tensor): Tensor => mean(vmap((r: Tensor) => f(v, r))(batch));
				return [grad(total)(w), grad((v: Tensor) => sum(mul(grad(total)(v), u)))(w)];
			}),
		);
		plain.forEach((g, k) => {
			expectWithin(
				g,
				sums[k].map((s) => s / 3),
				{ abs: 1e-5, ulp: 8, why: "a mean of three" },
			);
		});
		for (const t of [w, u, batch]) t.dispose();
	});

	it("checkpoint and customVjp give each record its own, bit for bit, first and second order", async () => {
		const cube = customVjp({
			name: "cube",
			forward: (x) => ({ value: mul(x, square(x)), saved: [x] }),
			backward: (dy, [x]) => [mul(dy, mul(square(x), full(device(), [], 3)))],
		});
		const w = random(1, 4);
		const batch = random(2, 3, 4);
		const loss = (v: Tensor, r: Tensor): Tensor => sum(checkpoint((a, b) => cube(mul(a, sin(b))), [v, r]));
		const plainly = (v: Tensor, r: Tensor): Tensor => {
			const x = mul(v, sin(r));
			return sum(mul(x, square(x)));
		};
		const ofOne =
			(g: typeof loss) =>
			(r: Tensor): Tensor[] => {
				const first = grad((v: Tensor) => g(v, r));
				return [first(w), grad((v: Tensor) => sum(square(first(v))))(w)];
			};
		const rows = await numbersOf(batch);
		const together = await read(device().scope<Tensor[]>(() => vmap(ofOne(loss))(batch)));
		const byHand = await read(device().scope<Tensor[]>(() => vmap(ofOne(plainly))(batch)));
		for (let b = 0; b < 3; b++) {
			const alone = await read(device().scope<Tensor[]>(() => ofOne(loss)(device().fromHost(rows.slice(4 * b, 4 * b + 4), [4]))));
			for (const [k, values] of entry(together, 3, b).entries()) expectSame(values, alone[k], `record ${b}, result ${k}`);
		}
		together.forEach((values, k) => {
			expectWithin(values, byHand[k], { abs: 1e-5, ulp: 16, why: "3 x^2 in place of the product rule" });
		});
		for (const t of [w, batch]) t.dispose();
	});

	it("by a slot that the loss does not read are 0 for each record", async () => {
		const [g] = await reading(() => {
			const w: Slot = { value: counting(2) };
			return vmap((r: Tensor) => valueAndGrad(() => sum(r), [w]).grads[0])(counting(3, 2));
		});
		expect(g).toEqual([0, 0, 0, 0, 0, 0]);
	});
});

describe("a captured step of records", () => {
	it("replays with other records, written between replays, and other parameters", async () => {
		const x = counting(3, 2);
		const w: Slot = { value: device().keep(device().fromHost([1, 2], [2])) };
		const step = capture(device(), () => vmap((r: Tensor) => valueAndGrad(() => sum(square(mul(r, w.value))), [w]).grads[0])(x));
		const expected = (rows: number[], weights: number[]): number[] => rows.map((v, i) => 2 * v * v * weights[i % 2]);
		expect(await numbersOf(step.outputs)).toEqual(expected([0, 1, 2, 3, 4, 5], [1, 2]));
		write(x, [5, 4, 3, 2, 1, 0]);
		step.replay();
		expect(await numbersOf(step.outputs)).toEqual(expected([5, 4, 3, 2, 1, 0], [1, 2]));
		write(w.value, [-1, 3]);
		step.replay();
		expect(await numbersOf(step.outputs)).toEqual(expected([5, 4, 3, 2, 1, 0], [-1, 3]));
		step.dispose();
		for (const t of [x, w.value]) t.dispose();
	});
});

describe("memory", () => {
	it("is what results take, and flat over many calls", async () => {
		const w: Slot = { value: random(1, 8) };
		const batch = random(2, 5, 8);
		const step = (): readonly Tensor[] =>
			vmap((r: Tensor) => {
				const { value, grads } = valueAndGrad(
					() =>
						sum(
							tanh(
								mul(
									checkpoint((v) => sin(mul(v, w.value)), [r]),
									r,
								),
							),
						),
					[w],
				);
				return [value, ...grads];
			})(batch);
		const start = device().memory();
		let first: ReturnType<Device["memory"]> | undefined;
		for (let i = 0; i < 20; i++) {
			const results = step();
			expect(device().memory().liveBuffers).toBe(start.liveBuffers + results.length);
			expect(results.map((t) => t.shape)).toEqual([[5], [5, 8]]);
			for (const t of results) t.dispose();
			first ??= device().memory();
			expect(device().memory().liveBytes).toBe(start.liveBytes);
			expect(device().memory().heldBytes).toBe(first.heldBytes);
		}
		for (const t of [w.value, batch]) t.dispose();
	});

	it("of what is one for all records is not taken once a record", () => {
		const big = full(device(), [1 << 16], 1);
		const batch = counting(8, 1);
		const start = device().memory().liveBytes;
		device().scope<void>(() => {
			vmap((r: Tensor) => {
				sum(mul(slice(big, 0, 0, 4), r));
				expect(device().memory().liveBytes - start).toBeLessThan(1 << 12);
				return r;
			})(batch);
		});
		big.dispose();
		batch.dispose();
	});
});
