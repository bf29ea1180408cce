import {
	add,
	checkpoint,
	crossEntropy,
	customVjp,
	DropoutKey,
	data,
	div,
	dropout,
	exp,
	gelu,
	grad,
	item,
	key,
	layerNorm,
	linear,
	maskedFill,
	matmul,
	mul,
	normalValues,
	pow,
	relu,
	reshape,
	rmsNorm,
	type Slot,
	scaledDotProductAttention,
	sin,
	slice,
	square,
	sum,
	type Tensor,
	tanh,
	transpose,
	valueAndGrad,
	vjp,
	vmap,
	where,
} from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const random = (seed: number, ...shape: number[]): Tensor =>
	device().fromHost(
		normalValues(
			key(seed),
			shape.reduce((a, b) => a * b, 1),
		),
		shape,
	);

describe("grad", () => {
	it("of grad of grad: the derivatives of x^5", async () => {
		const f = (x: Tensor): Tensor => sum(pow(x, 5));
		const up = (g: (x: Tensor) => Tensor) => (x: Tensor) => sum(g(x));
		const first = grad(f);
		const second = grad(up(first));
		const third = grad(up(second));
		const x = device().fromHost([1, 2, -0.5], [3]);
		const close = async (g: Tensor, c: number, n: number) => {
			const expected = [1, 2, -0.5].map((v) => c * v ** n);
			[...(await data(g))].forEach((v, i) => expect(v).toBeCloseTo(expected[i], 3));
			g.dispose();
		};
		await close(first(x), 5, 4);
		await close(second(x), 20, 3);
		await close(third(x), 60, 2);
		x.dispose();
	});

	it("of a gradient penalty equals its closed form: d/dw |d/dx sum(sin(w x))|^2", async () => {
		const w: Slot = { value: device().fromHost([0.3, -1.2], [2]) };
		const x = device().fromHost([0.7, 0.4], [2]);
		const penalty = () => sum(square(grad((v: Tensor) => sum(sin(mul(w.value, v))))(x)));
		const { value, grads } = device().scope(() => {
			const r = valueAndGrad(penalty, [w]);
			return { value: r.value, grads: [...r.grads] };
		});
		const pairs = [
			[0.3, 0.7],
			[-1.2, 0.4],
		];
		expect(await item(value)).toBeCloseTo(
			pairs.reduce((s, [a, b]) => s + (a * Math.cos(a * b)) ** 2, 0),
			2, // WGSL: cos is within 2^-11
		);
		const expected = pairs.map(([a, b]) => 2 * a * Math.cos(a * b) * (Math.cos(a * b) - a * b * Math.sin(a * b)));
		(await data(grads[0])).forEach((v, i) => expect(v).toBeCloseTo(expected[i], 2));
		for (const t of [value, ...grads, x]) t.dispose();
	});

	/** H u of a scalar function of x. */
	const hessianTimes = (f: (x: Tensor) => Tensor, x: Tensor, u: Tensor): Tensor => grad((v: Tensor) => sum(mul(grad(f)(v), u)))(x);

	it("of what a condition chooses, with something non-linear behind it", async () => {
		const x = device().fromHost([0.5, -1, 2], [3]);
		const u = device().fromHost([1, 2, 3], [3]);
		const mask = device().fromHost(Uint32Array.of(1, 0, 1), [3], "bool");
		const chosen = await data(hessianTimes((v) => sum(exp(where(mask, square(v), v))), x, u));
		const curve = (v: number): number => (2 + 4 * v * v) * Math.exp(v * v);
		[curve(0.5), 2 * Math.exp(-1), 3 * curve(2)].forEach((e, i) => expect(Math.abs(chosen[i] / e - 1)).toBeLessThan(2e-6));
		const filled = await data(hessianTimes((v) => sum(exp(maskedFill(square(v), mask, 0))), x, u));
		[0, 2 * curve(-1), 0].forEach((e, i) => expect(Math.abs(filled[i] - e)).toBeLessThan(2e-6 * (1 + e)));
	});

	it("of a squared cross-entropy equals 2 (p - o)(p - o)^T + 2 l (diag(p) - p p^T)", async () => {
		const [z, u] = [
			[0.5, -1, 2],
			[1, 2, 3],
		];
		const label = device().fromHost(Int32Array.of(1), [1]);
		const f = (v: Tensor): Tensor => square(crossEntropy(reshape(v, [1, 3]), label));
		const got = await data(hessianTimes(f, device().fromHost(z, [3]), device().fromHost(u, [3])));
		const total = z.reduce((s, v) => s + Math.exp(v), 0);
		const p = z.map((v) => Math.exp(v) / total);
		const loss = Math.log(total) - z[1];
		const d = p.map((v, i) => v - Number(i === 1));
		const [du, pu] = [d.reduce((s, v, i) => s + v * u[i], 0), p.reduce((s, v, i) => s + v * u[i], 0)];
		d.forEach((v, i) => expect(Math.abs(got[i] - (2 * v * du + 2 * loss * p[i] * (u[i] - pu)))).toBeLessThan(1e-5));
	});

	it("of attention behind a mask is symmetric and not zero: u H v = v H u", async () => {
		const mask = device().fromHost(Uint32Array.of(1, 0, 1, 1, 1, 0, 0, 1, 1), [3, 3], "bool");
		const values = (seed: number): Tensor =>
			device().fromHost(
				Array.from({ length: 6 }, (_, i) => Math.sin(seed + i)),
				[3, 2],
			);
		const [x, u, v] = [values(1), values(20), values(40)];
		const f = (q: Tensor): Tensor => sum(square(scaledDotProductAttention(q, q, q, { mask })));
		const form = async (a: Tensor, b: Tensor): Promise<number> => item(sum(mul(hessianTimes(f, x, a), b)));
		const [uv, vu] = [await form(u, v), await form(v, u)];
		expect(Math.abs(uv)).toBeGreaterThan(0.1);
		expect(Math.abs(uv - vu)).toBeLessThan(1e-5 * Math.abs(uv));
	});

	it("of a network with respect to its gradient is symmetric: u H v = v H u", async () => {
		const w: Slot = { value: mul(random(1, 6, 6), 0.4) };
		const x = random(2, 3, 6);
		const loss = () =>
			sum(square(layerNorm(gelu(linear(rmsNorm(tanh(linear(x, w.value)), device().fromHost(new Float32Array(6).fill(1), [6])), w.value)))));
		const [u, v] = [random(3, 6, 6), random(4, 6, 6)];
		const hessianTimes = (by: Tensor) =>
			device().scope<Tensor>(() => valueAndGrad(() => sum(mul(valueAndGrad(loss, [w]).grads[0], by)), [w]).grads[0]);
		const dot = async (a: Tensor, b: Tensor) => {
			const [p, q] = [await data(a), await data(b)];
			return [...p].reduce((s, value, i) => s + value * q[i], 0);
		};
		const [left, right] = [await dot(hessianTimes(v), u), await dot(hessianTimes(u), v)];
		expect(Math.abs(left)).toBeGreaterThan(0.1);
		expect(Math.abs(left - right)).toBeLessThan(1e-3 * Math.abs(left));
	});
});

describe("vjp", () => {
	it("is v^T J, one product for each input", async () => {
		const [a, b] = [random(1, 2, 3), random(2, 3, 4)];
		const v = random(3, 2, 4);
		const { value, grads } = vjp(matmul, [a, b], v);
		expect(value.shape).toEqual([2, 4]);
		expect(await data(grads[0])).toEqual(await data(matmul(v, transpose(b))));
		expect(await data(grads[1])).toEqual(await data(matmul(transpose(a), v)));
		expect(() => vjp(matmul, [a, b], random(1, 4, 2))).toThrow(expect.objectContaining({ code: "grad/cotangent" }));
	});
});

describe("checkpoint", () => {
	const layers = () => Array.from({ length: 4 }, (_, i): Slot => ({ value: mul(random(i, 8, 8), 0.3) }));
	const block = (w: Slot, d: DropoutKey) => (x: Tensor) => add(x, dropout(gelu(linear(layerNorm(x), w.value)), 0.2, d));

	it("gives the same gradients, bit for bit, dropout included, with less memory", async () => {
		const slots = layers();
		const x = random(9, 16, 8);
		const run = (isSaving: boolean) => {
			const d = DropoutKey.of(device(), key(5));
			const { liveBytes } = device().memory();
			let most = 0;
			const result = device().scope(() => {
				const { value, grads } = valueAndGrad(() => {
					const h = slots.reduce((t, w, i) => {
						const step = block(w, d.fold(`block ${i}`));
						return isSaving ? checkpoint(step, [t]) : device().scope<Tensor>(() => step(t));
					}, x);
					most = device().memory().liveBytes - liveBytes;
					return sum(square(h));
				}, slots);
				return { value, grads: [...grads] };
			});
			return { ...result, most };
		};
		const [plain, saving] = [run(false), run(true)];
		expect(await data(saving.value)).toEqual(await data(plain.value));
		for (const [i, g] of plain.grads.entries()) expect(await data(saving.grads[i])).toEqual(await data(g));
		expect(saving.most).toBeLessThan(plain.most / 2);
	});

	it("works for gradients of single records, inside checkpoints, and for second derivatives", async () => {
		const slots = layers();
		const xs = random(9, 3, 5, 8);
		const words = device().fromHost(Uint32Array.from([1, 2, 3].flatMap((seed) => Object.values(key(seed)))), [3, 2]);
		type Wrap = (f: (t: Tensor) => Tensor, t: Tensor) => Tensor;
		const gradients = (wrap: Wrap): readonly Tensor[] =>
			vmap((x: Tensor, own: Tensor) => {
				const d = new DropoutKey(own);
				const half = (part: Slot[], name: string) => (t: Tensor) => part.reduce((h, w, i) => wrap(block(w, d.fold(`${name} ${i}`)), h), t);
				const loss = () => sum(square(wrap(half(slots.slice(2), "second"), wrap(half(slots.slice(0, 2), "first"), x))));
				return valueAndGrad(loss, slots).grads;
			})(xs, words);
		const plain = gradients((f, t) => f(t));
		const saved = gradients((f, t) => checkpoint(f, [t]));
		for (const [i, g] of plain.entries()) {
			expect(g.shape).toEqual([3, 8, 8]);
			expect(await data(saved[i])).toEqual(await data(g));
		}

		const f = (t: Tensor) => sum(exp(sin(t)));
		const [a, b] = [
			grad((t: Tensor) => sum(square(grad(f)(t)))),
			grad((t: Tensor) => sum(square(grad((s: Tensor) => checkpoint(f, [s]))(t)))),
		];
		const at = random(1, 5);
		const [ga, gb] = [await data(a(at)), await data(b(at))];
		ga.forEach((v, i) => expect(gb[i]).toBeCloseTo(v, 5));
	});

	it("leaves nothing behind, also when the function throws the second time", () => {
		const [w] = layers();
		const x = random(1, 2, 8);
		let calls = 0;
		const f = (t: Tensor): Tensor => {
			if (++calls === 2) throw new Error("second time");
			return linear(t, w.value);
		};
		const { liveBuffers } = device().memory();
		expect(() => valueAndGrad(() => sum(square(checkpoint(f, [x]))), [w])).toThrow("second time");
		expect(device().memory().liveBuffers).toBe(liveBuffers);
		expect(runtimeOf(device()).tape).toBeUndefined();
	});
});

describe("customVjp", () => {
	/** Identity whose gradient is limited to 1. */
	const limited = customVjp({
		name: "limited",
		forward: (x) => ({ value: mul(x, 1) }),
		backward: (dy) => [mul(tanh(dy), 1)],
	});
	/** log(1 + exp(x)) with the gradient that does not overflow. */
	const log1pexp = customVjp({
		name: "log1pexp",
		forward: (x) => ({ value: relu(x), saved: [x] }),
		backward: (dy, [x]) => [div(dy, add(exp(mul(x, -1)), device().fromHost([1], [])))],
	});

	it("replaces the gradient of a function", async () => {
		const x: Slot = { value: device().fromHost([1, 2], [2]) };
		const { grads } = valueAndGrad(() => sum(mul(limited(x.value), 1000)), [x]);
		expect([...(await data(grads[0]))]).toEqual([1, 1]);
	});

	it("can be differentiated again when its gradient reads inputs only", async () => {
		const x = device().fromHost([0.5, -1], [2]);
		const second = grad((v: Tensor) => sum(grad((u: Tensor) => sum(log1pexp(u)))(v)))(x);
		const s = (v: number) => 1 / (1 + Math.exp(-v));
		(await data(second)).forEach((v, i) => expect(v).toBeCloseTo(s([0.5, -1][i]) * (1 - s([0.5, -1][i])), 5));
	});

	it("may compute gradients of its own in its forward", async () => {
		const newton = customVjp({
			name: "newton",
			forward: (x) => ({ value: grad((v: Tensor) => sum(square(v)))(x) }),
			backward: (dy) => [mul(dy, 2)],
		});
		const x: Slot = { value: device().fromHost([3], [1]) };
		const { value, grads } = valueAndGrad(() => sum(newton(x.value)), [x]);
		expect([await item(value), await item(grads[0])]).toEqual([6, 2]);
	});

	it("gives one gradient a record inside vmap", async () => {
		const w: Slot = { value: device().fromHost([2, 3], [2]) };
		const gradient = (x: Tensor): Tensor => valueAndGrad(() => sum(limited(mul(mul(x, w.value), 100))), [w]).grads[0];
		const x = random(1, 3, 2);
		const all = vmap(gradient)(x);
		expect(all.shape).toEqual([3, 2]);
		const values = await data(all);
		for (let i = 0; i < 3; i++) {
			const alone = await data(gradient(slice(x, 0, i, i + 1)));
			expect(values.slice(2 * i, 2 * i + 2)).toEqual(alone);
			expect(Math.max(...alone.map(Math.abs))).toBeGreaterThan(0);
		}
	});

	it("refuses a forward that reads a traced tensor past its arguments, and a gradient of the wrong shape", () => {
		const w: Slot = { value: random(1, 2) };
		const captured = customVjp({ name: "captured", forward: (x) => ({ value: mul(x, w.value) }), backward: (dy) => [dy] });
		expect(() => valueAndGrad(() => sum(captured(w.value)), [w])).toThrow(expect.objectContaining({ code: "customVjp/captured" }));
		const wrong = customVjp({ name: "wrong", forward: (x) => ({ value: mul(x, 2) }), backward: (dy) => [slice(dy, 0, 0, 1)] });
		expect(() => valueAndGrad(() => sum(wrong(w.value)), [w])).toThrow(expect.objectContaining({ code: "grad/shape" }));
	});
});

describe("valueAndGrad", () => {
	it("keeps nothing for what is frozen, and runs no kernel for its gradient", () => {
		const frozen = random(1, 64, 64);
		const trained: Slot = { value: random(2, 64, 64) };
		const x = random(3, 4, 64);
		const count = (fn: () => void) => {
			const before = device().counters().dispatches;
			device().scope<void>(() => fn());
			return device().counters().dispatches - before;
		};
		const loss = () => sum(linear(square(linear(square(linear(x, frozen)), frozen)), trained.value));
		const forward = count(loss);
		// Backward: one product for the trained weight, its sum's gradient and the seed; nothing below.
		expect(count(() => valueAndGrad(loss, [trained])) - forward).toBeLessThanOrEqual(3);
	});

	it("refuses integers and nothing", () => {
		const ids: Slot = { value: device().fromHost(Int32Array.of(1), [1]) };
		const w: Slot = { value: random(1, 2) };
		expect(() => valueAndGrad(() => sum(w.value), [ids])).toThrow(expect.objectContaining({ code: "grad/dtype" }));
		expect(() => valueAndGrad(() => sum(w.value), [])).toThrow(expect.objectContaining({ code: "grad/slots" }));
	});

	it("differentiates gradients of single records: d/dw of the sum of d/dw (w x)^2 is the sum of 2 x^2", async () => {
		const w: Slot = { value: random(1, 2) };
		const xs = random(2, 3, 2);
		const inner = (x: Tensor): Tensor => valueAndGrad(() => sum(square(mul(x, w.value))), [w]).grads[0];
		const [g] = valueAndGrad(() => sum(vmap(inner)(xs)), [w]).grads;
		const x = await data(xs);
		const expected = [0, 1].map((k) => [0, 1, 2].reduce((s, i) => s + 2 * x[2 * i + k] ** 2, 0));
		(await data(g)).forEach((v, k) => expect(v).toBeCloseTo(expected[k], 4));
	});

	it("gives no gradients for no records", async () => {
		const w: Slot = { value: random(1, 2) };
		const none = device().fromHost(new Float32Array(0), [0, 2]);
		const grads = vmap((x: Tensor) => valueAndGrad(() => sum(mul(x, w.value)), [w]).grads[0])(none);
		expect(grads.shape).toEqual([0, 2]);
		expect(await data(grads)).toEqual(new Float32Array(0));
	});
});

describe("gradients that are added to what has arrived", () => {
	it("are the sum of all uses, in as many kernels as there are uses", async () => {
		const slot: Slot = { value: random(1, 4, 8) };
		const [v, w] = [random(2, 8, 8), random(3, 8, 8)];
		const uses = (...weights: Tensor[]) => weights.map((m) => linear(slot.value, m)).reduce((a, b) => add(a, b));
		const run = (...weights: Tensor[]) => device().scope<Tensor>(() => valueAndGrad(() => sum(uses(...weights)), [slot]).grads[0]);
		const count = async (...weights: Tensor[]) => {
			await device().flush();
			const before = device().counters().dispatches;
			const g = (await data(run(...weights))) as Float32Array;
			return { g, kernels: device().counters().dispatches - before };
		};
		const [one, other, both] = [await count(v), await count(w), await count(v, w)];
		expect([...both.g]).toEqual([...one.g.map((x, i) => Math.fround(x + other.g[i]))]);
		// One more product on the way back; what comes of the way forth nobody reads.
		expect(both.kernels - one.kernels).toBe(1);
	});

	it("count once what has arrived at a tensor of all records", async () => {
		const slot: Slot = { value: random(1, 4, 8) };
		const weights = random(2, 3, 8, 8);
		// The square is last, so that its gradient arrives first.
		const run = (uses: () => Tensor) => device().scope(() => valueAndGrad(() => add(uses(), sum(square(slot.value))), [slot]).grads[0]);
		const actual = await data(run(() => sum(vmap((w: Tensor) => sum(linear(slot.value, w)))(weights))));
		const expected = await data(run(() => sum(linear(slot.value, sum(weights, [0])))));
		expected.forEach((e, i) => {
			expect(Math.abs(Number(actual[i]) - Number(e))).toBeLessThan(1e-4);
		});
	});
});
