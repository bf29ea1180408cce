import { AdamW, Linear, Module, Parameter } from "@hushgrad/nn";
import * as t from "@hushgrad/tensor";
import { checkFinite, data, div, exp, mul, type Slot, sub, sum, type Tensor, transpose, valueAndGrad } from "@hushgrad/tensor";
import { contiguous, defineKernel, definePrimitive, reads, writes } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const bits = (...words: number[]): Float32Array => new Float32Array(Uint32Array.from(words).buffer);

describe("checkFinite", () => {
	const device = useDevice();

	it.each<[string, number, boolean, boolean]>([
		["a quiet NaN", 0x7fc00000, true, true],
		["a signalling NaN with the sign set", 0xff800001, true, true],
		["infinity", 0x7f800000, true, false],
		["minus infinity", 0xff800000, true, false],
		["the largest number", 0x7f7fffff, false, false],
		["a subnormal", 0x00000001, false, false],
	])("judges %s by its bits", async (_, word, isFound, isFoundAmongInfinities) => {
		const values = new Float32Array(1000).fill(1);
		values.set(bits(word), 997);
		const x = device().fromHost(values, [10, 100]);
		for (const [allowInfinity, found] of [
			[false, isFound],
			[true, isFoundAmongInfinities],
		]) {
			checkFinite(x, "x", { allowInfinity });
			if (found)
				await expect(device().flush()).rejects.toMatchObject({ code: "numeric/not-finite", message: expect.stringContaining("x holds") });
			else await device().flush();
		}
		checkFinite(transpose(x), "a view of x");
		if (isFound) await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("a view of x") });
		await device().flush();
		x.dispose();
	});

	it("names the first of several, and starts afresh after it was told", async () => {
		const good = device().fromHost([1], [1]);
		const bad = device().fromHost([Number.NaN], [1]);
		checkFinite(good, "first");
		checkFinite(bad, "second");
		checkFinite(bad, "third");
		await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("second holds") });
		checkFinite(good, "first");
		await device().flush();
		good.dispose();
		bad.dispose();
	});
});

class Block extends Module {
	readonly up_proj = new Linear(3, 3, { bias: false });
	forward(x: Tensor): Tensor {
		return this.up_proj.call(x);
	}
}
class Stack extends Module {
	readonly layers = [new Block(), new Block()];
	forward(x: Tensor): Tensor {
		return this.layers.reduce((h, layer) => layer.call(h), x);
	}
}
class Model extends Module {
	readonly model = new Stack();
	forward(x: Tensor): Tensor {
		return this.model.call(x);
	}
}

describe("debug: nan", () => {
	const device = useDevice({ debug: { nan: true } });

	it("names the first operation that made a number that is not finite, and the module it ran in", async () => {
		const x = device().fromHost([1, 0, 2], [1, 3]);
		const model = new Model();
		model.model.layers.forEach(({ up_proj }, i) => {
			up_proj.weight.assign(device().fromHost(new Float32Array(9).fill(i === 0 ? 1 : 3e38), [3, 3]));
		});
		device().scope<void>(() => {
			mul(model.call(x), 0.5);
		});
		await expect(device().flush()).rejects.toMatchObject({
			message: expect.stringContaining("the result of linear in model.layers.1.up_proj"),
		});
		device().scope<void>(() => {
			const y = div(x, device().fromHost([1, 0, 1], [3]));
			sum(exp(y));
		});
		await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("the result of div holds") });
		x.dispose();
		model.dispose();
	});

	it("names the gradient that is not finite although the value is", async () => {
		const small: Slot = { value: device().fromHost([1e-30], [1]) };
		device().scope<void>(() => {
			const { value } = valueAndGrad(() => sum(div(device().fromHost([1e-10], [1]), small.value)), [small]);
			checkFinite(value, "the value");
		});
		await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("the gradient of div by b holds") });
	});

	const LARGEST = 3.4e38;
	/** Operations without a formula, and what they are given: numbers that overflow, or a NaN that was uploaded. */
	it.each<[string, number, (x: Tensor) => Tensor]>([
		["sum", LARGEST, (x) => t.sum(x)],
		["cast", LARGEST, (x) => t.cast(x, "bf16")],
		["sum", Number.NaN, (x) => t.sum(x, [0])],
		["cast", Number.NaN, (x) => t.cast(x, "bf16")],
		["cat", Number.NaN, (x) => t.cat([t.zerosLike(x), x], 1)],
		["flip", Number.NaN, (x) => t.flip(x, [1])],
		[
			"place",
			Number.NaN,
			(x) =>
				t.pad(x, [
					[0, 0],
					[1, 0],
				]),
		],
		["slice", Number.NaN, (x) => t.slice(x, 1, 1, 3)],
		["permute", Number.NaN, (x) => t.transpose(x)],
		["reshape", Number.NaN, (x) => t.reshape(x, [9])],
		["expand", Number.NaN, (x) => t.expand(x, [2, ...x.shape])],
		["diagonal", Number.NaN, (x) => t.diagonal(x)],
		["cumsum", LARGEST, (x) => t.cumsum(x, 1)],
	])("blames %s for %d, alone and among records", async (name, value, run) => {
		const program = (x: Tensor): Tensor => mul(t.cast(run(x), "f32"), 0.5);
		const values = new Float32Array(18).fill(1);
		const good = device().fromHost(values, [2, 3, 3]);
		values.fill(value, 13, 15);
		const bad = device().fromHost(values, [2, 3, 3]);
		const alone = device().fromHost(values.slice(9), [3, 3]);
		device().scope<void>(() => {
			t.vmap(program)(good);
		});
		await device().flush();
		// A NaN that comes with a batch is in the argument of the program already.
		const amongRecords = Number.isNaN(value) ? "hide" : name;
		for (const [blamed, ask] of [
			[name, () => program(alone)],
			[amongRecords, () => t.vmap(program)(bad)],
		] as const) {
			device().scope<void>(() => {
				ask();
			});
			await expect(device().flush()).rejects.toMatchObject({
				code: "numeric/not-finite",
				message: expect.stringContaining(`the result of ${blamed} holds`),
			});
		}
		for (const x of [good, bad, alone]) x.dispose();
	});

	it("blames what makes numbers out of nothing", async () => {
		device().scope<void>(() => {
			mul(t.full(device(), [2], Number.NaN), 2);
		});
		await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("the result of full holds") });
	});

	it("blames an optimiser for what it overwrites", async () => {
		const p = new Parameter([2]);
		p.assign(device().fromHost([1, 2], [2]));
		const optimizer = new AdamW([p], { lr: LARGEST });
		device().scope<void>(() => {
			optimizer.step([device().fromHost([1, 1], [2])]);
			optimizer.step([device().fromHost([1, 1], [2])]);
		});
		await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("the result of adamw holds") });
		optimizer.dispose();
		p.dispose();
	});

	it("is silent when all is well", async () => {
		const x = device().fromHost([1, 2], [2]);
		device().scope<void>(() => {
			sub(exp(x), x);
		});
		await device().flush();
		x.dispose();
	});
});

type Fault = "beyond" | "copies beyond" | "unwritten";
const STORES: Readonly<Record<Fault, string>> = {
	beyond: "if (index <= p.n) { y_set(index, 1.0); }",
	"copies beyond": "if (index <= p.n) { y_set(index, x_at(index)); }",
	unwritten: "if (index + 1u < p.n) { y_set(index, x_at(index)); }",
};

const brokenKernel = defineKernel("broken", ({ fault }: { fault: Fault }) => ({
	params: { n: "u32" },
	buffers: { x: reads("f32"), y: writes("f32") },
	workgroup: 64,
	body: STORES[fault],
}));

/** Kernels that write one element too far, and one that leaves its result unwritten. */
const broken = (fault: Fault) =>
	definePrimitive({
		name: "broken",
		signature: "x[...] -> y[...]",
		attrs: {},
		forward: ({ runtime, inputs }) => {
			const x = contiguous(inputs.x);
			const y = runtime.empty(x.shape);
			brokenKernel.of({ fault }).run({ x, y }, { n: x.size }, x.size + 1);
			return [y];
		},
		grad: { x: "none" },
		reference: ({ x }) => [x],
	});

describe("debug: memory", () => {
	const device = useDevice({ debug: { memory: true } });

	it.each(["beyond", "copies beyond"] as const)("catches a kernel that writes (%s) a tensor, whatever its size", async (kind) => {
		for (const size of [1, 63, 64, 65, 1000, 70000]) {
			const x = device().fromHost(new Float32Array(size), [size]);
			device().within("model.head", () => broken(kind).apply([x])[0].dispose());
			await expect(device().flush()).rejects.toMatchObject({
				code: "device/stray-write",
				message: expect.stringContaining("in model.head"),
			});
			x.dispose();
			await device().flush();
		}
	});

	it("shows what was never written as NaN", async () => {
		const x = device().fromHost(new Float32Array(8).fill(2), [8]);
		const [y] = broken("unwritten").apply([x]);
		expect([...(await data(y))]).toEqual([2, 2, 2, 2, 2, 2, 2, Number.NaN]);
		x.dispose();
		y.dispose();
	});
});
