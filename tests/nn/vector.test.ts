import { AdamW, Embedding, Linear, Module, Parameter, RMSNorm, SGD } from "@hushgrad/nn";
import {
	bernoulli,
	cast,
	checkFinite,
	type Device,
	data,
	foldIn,
	key,
	normalValues,
	square,
	sum,
	type Tensor,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { smallDevice } from "../support/smallDevice.ts";
import { parametersOf, uploads } from "./parameters.ts";

const device = useDevice();

const SHAPES = [[3], [5, 7], [2, 1, 2], [], [6]];
const values = (seed: number, size: number): Float32Array => normalValues(key(seed), size);
/** An error with this code, whose message holds the text. */
const error = (code: string, text = "") => expect.objectContaining({ code, message: expect.stringContaining(text) });

describe("the trainable vector", () => {
	it("is one buffer of which the parameters are views, in order", async () => {
		const parameters = parametersOf(device(), SHAPES);
		const before = await Promise.all(parameters.map((p) => data(p.value)));
		const start = device().memory();
		const { vector } = new SGD(parameters, { lr: 1 });
		expect(vector.length).toBe(3 + 35 + 4 + 1 + 6);
		expect([...(await data(vector.tensor))]).toEqual(before.flatMap((v) => [...v]));
		for (const [i, p] of parameters.entries()) {
			expect(p.value.shape).toEqual(SHAPES[i]);
			expect(await data(p.value)).toEqual(before[i]);
		}
		// Five buffers have become one.
		expect(device().memory().liveBuffers).toBe(start.liveBuffers - SHAPES.length + 1);
		expect(vector.rangeOf(parameters[1])).toEqual({ start: 3, end: 38 });
		expect([0, 2, 3, 37, 38, 42, 43, 48].map((at) => vector.nameAt(at))).toEqual([0, 0, 1, 1, 2, 3, 4, 4].map((i) => `layer.${i}`));
	});

	it("takes what is assigned to a parameter, and takes it over", async () => {
		const parameters = parametersOf(device(), SHAPES);
		const { vector } = new SGD(parameters, { lr: 1 });
		const before = [...(await data(vector.tensor))];
		const { liveBuffers } = device().memory();
		parameters[1].assign(device().fromHost(values(9, 35), [5, 7]));
		parameters[1].assign(parameters[1].value);
		const after = [...(await data(vector.tensor))];
		expect(after).toEqual([...before.slice(0, 3), ...values(9, 35), ...before.slice(38)]);
		expect(await data(parameters[1].value)).toEqual(values(9, 35));
		expect(device().memory().liveBuffers).toBe(liveBuffers);
		const wrong = device().fromHost(values(9, 35), [7, 5]);
		expect(() => parameters[1].assign(wrong)).toThrow(error("parameter/shape", "layer.1"));
		expect([...(await data(vector.tensor))]).toEqual(after);
		wrong.dispose();
	});

	it("holds in f32 what was stored in bf16", async () => {
		const table = new Parameter([4, 3], { keepsBf16: true });
		table.load(
			device(),
			Float32Array.from({ length: 12 }, (_, i) => i - 5),
			"BF16",
		);
		expect(table.format).toBe("bf16");
		const { vector } = new SGD([table], { lr: 1 });
		expect([...(await data(vector.tensor))]).toEqual(Array.from({ length: 12 }, (_, i) => i - 5));
		expect(table.format).toBe("f32");
	});

	it("computes with views at any offset as with tensors of their own, bit for bit", async () => {
		class Net extends Module {
			readonly odd = new Parameter([3]);
			readonly table = new Embedding(5, 7);
			readonly norm = new RMSNorm(7);
			readonly up = new Linear(7, 9);
			readonly down = new Linear(9, 1);

			forward(ids: Tensor): Tensor {
				return sum(square(this.down.call(this.up.call(this.norm.call(this.table.call(ids))))));
			}
		}
		const made = (): Net => {
			const net = new Net();
			net.namePaths();
			for (const [i, [, p]] of [...net.namedParameters()].entries()) p.assign(device().fromHost(values(i, p.size), p.shape));
			return net;
		};
		const run = async (net: Net): Promise<unknown[]> => {
			const ids = device().fromHost(Int32Array.of(0, 4, 2, 2, 1, 3), [2, 3]);
			const parameters = [...net.trainableParameters().values()];
			const { value, grads } = vmap((row: Tensor) => valueAndGrad(() => net.call(row), parameters))(ids);
			return Promise.all([value, ...grads].map((t) => data(t)));
		};
		const [apart, together] = [made(), made()];
		const optimizer = new SGD(together.trainableParameters(), { lr: 1 });
		expect(optimizer.vector.tensor.size).toBe(3 + 35 + 7 + 63 + 9 + 9 + 1);
		expect(await run(together)).toEqual(await run(apart));
	});
});

describe("whose a parameter is", () => {
	it("two optimisers on one parameter are refused, and the others stay free", async () => {
		const [a, b, c] = parametersOf(device(), [[2], [3], [4]]);
		const first = new AdamW([b], { lr: 0.1 });
		first.vector.tensor;
		const before = device().memory();
		const second = new AdamW([a, b, c], { lr: 0.1 });
		expect(() => second.vector.tensor).toThrow(
			error("parameter/bound", "AdamW: layer.1 is trained by AdamW, whose vector holds its numbers"),
		);
		const step = () => device().scope<void>(() => second.step(device().fromHost(new Float32Array(9), [9])));
		expect(step).toThrow(error("parameter/bound"));
		expect(second.steps).toBe(0);
		const third = new SGD([a, c], { lr: 1 });
		expect([...(await data(third.vector.tensor))]).toEqual([...(await data(a.value)), ...(await data(c.value))]);
		expect(device().memory().liveBuffers).toBe(before.liveBuffers - 1);
	});

	it("dispose lets them go with their values and frees the rest", async () => {
		const start = device().memory();
		const parameters = parametersOf(device(), [[2], [300]]);
		const optimizer = new AdamW(parameters, { lr: 0.1 });
		device().scope<void>(() => optimizer.step(device().fromHost(new Float32Array(302).fill(1), [302])));
		const trained = await Promise.all(parameters.map((p) => data(p.value)));
		optimizer.dispose();
		expect(await Promise.all(parameters.map((p) => data(p.value)))).toEqual(trained);
		// What is left is the one buffer that both values lie in.
		expect(device().memory().liveBuffers).toBe(start.liveBuffers + 1);
		const next = new SGD(parameters, { lr: 1 });
		expect([...(await data(next.vector.tensor))]).toEqual(trained.flatMap((v) => [...v]));
		next.dispose();
		for (const p of parameters) p.dispose();
		expect(device().memory()).toMatchObject({ liveBytes: start.liveBytes, liveBuffers: start.liveBuffers });
	});

	it("an optimiser that was disposed begins again at step 1", async () => {
		const steps = async (optimizer: AdamW, p: Parameter): Promise<Float32Array> => {
			p.assign(device().fromHost([1, 2], [2]));
			for (let i = 0; i < 2; i++) device().scope(() => optimizer.step([device().fromHost([0.5, -1], [2])]));
			return (await data(p.value)) as Float32Array;
		};
		const p = new Parameter([2]);
		const optimizer = new AdamW([p], { lr: 0.1 });
		const first = await steps(optimizer, p);
		optimizer.dispose();
		expect(optimizer.steps).toBe(0);
		expect(await steps(optimizer, p)).toEqual(first);
	});

	it("refuses a parameter given twice, a frozen one, one without a value, none, and an empty group", () => {
		const [a, b] = parametersOf(device(), [[2], [3]]);
		expect(() => new SGD([a, b, a], { lr: 1 })).toThrow(error("optim/twice", "SGD: layer.0 is given twice"));
		expect(() => new SGD([{ parameters: [a] }, { parameters: [b, a] }], { lr: 1 })).toThrow(error("optim/twice"));
		b.trainable = false;
		expect(() => new SGD([a, b], { lr: 1 })).toThrow(error("optim/frozen", "SGD: layer.1 is frozen"));
		for (const none of [[], new Map<string, Parameter>(), [{ parameters: [] }], [{ parameters: [a] }, { parameters: [] }]]) {
			expect(() => new SGD(none, { lr: 1 })).toThrow(error("optim/empty", "frozen?"));
		}
		expect(() => new SGD([new Parameter([2])], { lr: 1 }).vector.tensor).toThrow(error("parameter/empty"));
		expect(() => new SGD([a], {} as never)).toThrow(error("call/argument", "SGD: lr is undefined, expected a number"));
		for (const lr of [-1, Number.NaN]) {
			expect(() => new SGD([a], { lr })).toThrow(error("optim/lr"));
			expect(() => new SGD([{ parameters: [a], lr }], { lr: 1 })).toThrow(error("optim/lr"));
		}
	});
});

describe("gradients that do not fit", () => {
	const batch = 4;

	it.each<[string, string, (d: Device) => readonly Tensor[] | Tensor]>([
		["too few", "optim/grads", (d) => uploads(d, [[3]])],
		["too many", "optim/grads", (d) => uploads(d, [[3], [5, 7], [3]])],
		["one of another shape", "optim/grad-shape", (d) => uploads(d, [[3], [7, 5]])],
		["one of another rank", "optim/grad-shape", (d) => uploads(d, [[3], [35]])],
		[
			"one for each record",
			"optim/grad-shape",
			(d) =>
				uploads(d, [
					[batch, 3],
					[batch, 5, 7],
				]),
		],
		["a vector for each record", "optim/grads", (d) => uploads(d, [[batch, 38]])[0]],
		["a vector that is too long", "optim/grads", (d) => uploads(d, [[39]])[0]],
		["a vector of bf16", "optim/grads", (d) => cast(uploads(d, [[38]])[0], "bf16")],
		["whole numbers", "optim/grad-shape", (d) => [uploads(d, [[3]])[0], bernoulli(d, [5, 7], key(1), 0.5)]],
		["nothing", "call/argument", () => [undefined, undefined] as unknown as Tensor[]],
	])("%s: refused, and nothing has changed", async (_, expected, gradients) => {
		const parameters = parametersOf(device(), [[3], [5, 7]]);
		const optimizer = new AdamW(parameters, { lr: 0.1 });
		const before = await data(optimizer.vector.tensor);
		const attempt = (): void => device().scope<void>(() => optimizer.step(gradients(device())));
		expect(attempt).toThrow(error(expected));
		const start = device().memory();
		expect(attempt).toThrow(expect.objectContaining({ message: expect.stringContaining("AdamW") }));
		expect(optimizer.steps).toBe(0);
		expect(await data(optimizer.vector.tensor)).toEqual(before);
		expect(device().memory()).toMatchObject({ liveBytes: start.liveBytes, liveBuffers: start.liveBuffers });
		device().scope<void>(() => optimizer.step(uploads(device(), [[3], [5, 7]])));
		expect(optimizer.steps).toBe(1);
	});

	it("those of single records, inside vmap: refused, whatever their shape", () => {
		const parameters = parametersOf(device(), [[3]]);
		const optimizer = new SGD(parameters, { lr: 0.1 });
		const step = vmap((g: Tensor) => optimizer.step([g]));
		const rows = device().fromHost(values(1, 6), [2, 3]);
		expect(() => step(rows)).toThrow(error("optim/grad-shape", "privacy engine"));
		expect(() => vmap((g: Tensor) => optimizer.step(g))(rows)).toThrow(error("optim/grad-shape"));
		expect(optimizer.steps).toBe(0);
	});

	it("update() needs the numbers of a step", () => {
		const optimizer = new SGD(parametersOf(device(), [[3]]), { lr: 0.1 });
		expect(() => optimizer.update(uploads(device(), [[3]]))).toThrow(error("optim/prepare"));
	});
});

describe("a vector larger than one storage binding", () => {
	const SIZES = [[1000], [9000], [7], [13_000], [64, 128], [15_001], [16_000]];
	const LIMIT = 65_536;

	/** Three steps in two groups, of which one is larger than a binding of the small device. */
	async function train(d: Device) {
		const parameters = parametersOf(d, SIZES);
		const optimizer = new AdamW(
			[
				{ parameters: parameters.slice(0, 1), lr: 0.5 },
				{ parameters: parameters.slice(1), weightDecay: 0 },
			],
			{ lr: 0.1, weightDecay: 0.2 },
		);
		for (let step = 0; step < 3; step++) {
			d.scope<void>(() => {
				const grads = SIZES.map((shape, i) => {
					const g = normalValues(foldIn(key(step), i), parameters[i].size);
					return d.fromHost(g, shape);
				});
				optimizer.step(grads);
			});
		}
		return data(optimizer.vector.tensor);
	}

	it("works in pieces, with the same bits", async () => {
		const small = await smallDevice(LIMIT);
		const trained = await train(small);
		expect(trained.byteLength).toBeGreaterThan(LIMIT);
		expect(trained).toEqual(await train(device()));
		small.destroy();
	});

	it("is checked to its end for NaN", async () => {
		const small = await smallDevice(LIMIT);
		const parameters = parametersOf(small, SIZES);
		const { vector } = new SGD(parameters, { lr: 0.1 });
		checkFinite(vector.tensor, "the vector");
		await small.flush();
		for (const [i, p] of parameters.entries()) {
			const values = await data(p.value);
			values[p.size - 1] = Number.NaN;
			p.assign(small.fromHost(values, p.shape));
			checkFinite(vector.tensor, `the vector (${i})`);
			await expect(small.flush()).rejects.toMatchObject({ code: "numeric/not-finite", message: expect.stringContaining(`(${i})`) });
			values[p.size - 1] = 0;
			p.assign(small.fromHost(values, p.shape));
		}
		small.destroy();
	});
});
