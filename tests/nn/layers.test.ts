import type { Module, Parameter } from "@hushgrad/nn";
import * as nn from "@hushgrad/nn";
import { DropoutKey, data, flatten, key, mul, ones, relu, sum, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, relativeError } from "../support/goldens.ts";

/* Modules, optimiser options, schedules and initialisers against torch's. */

interface Shown {
	readonly shape: number[];
	readonly values: number[];
}

interface Golden {
	readonly modules: readonly { name: string; state: Record<string, Shown>; inputs: Shown[]; y: Shown }[];
	readonly optimisers: {
		readonly start: number[];
		readonly grads: number[][];
		readonly cases: readonly { kind: "SGD" | "Adam" | "AdamW"; options: { lr: number }; steps: number[][] }[];
		readonly clipped: readonly { max: number; norm: number; grads: number[][] }[];
	};
	readonly schedules: readonly { name: string; factors: number[] }[];
	readonly initialisers: readonly { name: string; shape: number[]; mean: number; std: number; low: number; high: number }[];
}

const device = useDevice();
const golden = goldenJson<Golden>("layers.json");
const upload = ({ values, shape }: Shown): Tensor => device().fromHost(values, shape);

type Net = Module & { forward(...x: never[]): Tensor };
const run = (model: Net, x: readonly Tensor[]): Tensor => (model as unknown as Module & { forward(...x: Tensor[]): Tensor }).call(...x);

const MODULES: Readonly<Record<string, () => Net>> = {
	attention: () => new nn.MultiheadAttention(8, 2),
	cross: () => new nn.MultiheadAttention(8, 4),
	convolutions: () =>
		new nn.Sequential(new nn.Conv2d(2, 4, 3, { stride: 2, padding: 1 }), new nn.GroupNorm(2, 4), relu, flatten, new nn.Linear(16, 3)),
	norms: () =>
		new nn.Sequential(new nn.Conv1d(3, 6, 3, { groups: 3 }), new nn.SiLU(), new nn.LayerNorm([6, 5]), new nn.Tanh(), new nn.RMSNorm(5)),
};

describe("modules", () => {
	it.each(golden.modules.filter((m) => m.name in MODULES))("$name has torch's names and results, for each record too", async (c) => {
		const model = MODULES[c.name]();
		device().scope<void>(() => {
			nn.loadStateDict(model, Object.fromEntries(Object.entries(c.state).map(([k, v]) => [k, upload(v)])));
		});
		expect([...nn.stateDict(model).keys()]).toEqual(Object.keys(c.state));
		const y = device().scope<Tensor>(() => run(model, c.inputs.map(upload)));
		expect(y.shape).toEqual(c.y.shape);
		expect(relativeError(await data(y), c.y.values)).toBeLessThan(1e-5);
		const batch = device().scope<Tensor>(() =>
			vmap((...x: Tensor[]) => run(model, x))(
				...c.inputs.map((s) => upload({ values: [...s.values, ...s.values], shape: [2, ...s.shape] })),
			),
		);
		expect(relativeError(await data(batch), [...c.y.values, ...c.y.values])).toBeLessThan(1e-5);
		model.dispose();
	});

	it("Embedding counts a negative padding row from the end: it is read, and gets no gradient", async () => {
		const c = golden.modules.find((m) => m.name === "embedding") as (typeof golden.modules)[number];
		const model = new nn.Embedding(7, 4, { paddingIdx: -2 });
		device().scope<void>(() => void nn.loadStateDict(model, { weight: upload(c.state.weight) }));
		const ids = device().fromHost(Int32Array.from(c.inputs[0].values), [3]);
		expect([...(await data(model.call(ids)))]).toEqual([...Float32Array.from(c.y.values)]);
		const [g] = valueAndGrad(() => sum(model.call(ids)), [model.weight]).grads;
		expect([...(await data(g))]).toEqual([0, 1, 2, 3, 4, 5, 6].flatMap((row) => new Array(4).fill(row === 0 || row === 6 ? 1 : 0)));
		expect(() => new nn.Embedding(7, 4, { paddingIdx: -8 })).toThrow(expect.objectContaining({ code: "embedding/padding" }));
		expect(() => new nn.Embedding(7, 4, { paddingIdx: 7 })).toThrow(expect.objectContaining({ code: "embedding/padding" }));
	});

	it("RMSNorm with offset 1 is that without, of a weight less 1", async () => {
		const x = device().fromHost([1, -2, 3], [3]);
		const [plain, gemma] = [new nn.RMSNorm(3), new nn.RMSNorm(3, { offset: 1 })];
		plain.weight.assign(device().fromHost([0.5, 1, 2], [3]));
		gemma.weight.assign(device().fromHost([-0.5, 0, 1], [3]));
		expect(await data(plain.call(x))).toEqual(await data(gemma.call(x)));
	});

	it("LayerNorm refuses an input that does not end in its shape", () => {
		const layer = new nn.LayerNorm(1);
		nn.initialize(layer, device(), key(0));
		expect(() => layer.call(ones(device(), [2, 3]))).toThrow(expect.objectContaining({ code: "norm/shape" }));
	});

	it("Dropout2d drops whole channels", async () => {
		const dropout = DropoutKey.of(device(), key(3));
		const y = await data(new nn.Dropout2d(0.5).call(ones(device(), [64, 2, 3]), dropout));
		const channels = Array.from({ length: 64 }, (_, c) => new Set(y.slice(6 * c, 6 * c + 6)));
		expect(channels.every((set) => set.size === 1)).toBe(true);
		expect(new Set(y)).toEqual(new Set([0, 2]));
	});

	it("Sequential gives the key to its modules, and is printed as torch prints it", async () => {
		const model = new nn.Sequential(new nn.Dropout(0.5), relu);
		const x = ones(device(), [64]);
		expect(new Set(await data(model.call(x)))).toEqual(new Set([1]));
		expect(new Set(await data(model.call(x, DropoutKey.of(device(), key(1)))))).toEqual(new Set([0, 2]));
		expect(`${new nn.Sequential(new nn.Conv2d(3, 8, 3, { padding: 1 }), new nn.GELU())}`).toBe(
			"Sequential(\n  (0): Conv2d(3, 8, kernel_size=(3, 3), padding=1)\n  (1): GELU(approximate='none')\n)",
		);
	});
});

describe("optimisers", () => {
	const { start, grads, cases, clipped } = golden.optimisers;

	it.each(cases)("$kind takes torch's steps with $options", async ({ kind, options, steps }) => {
		const p = new nn.Parameter([start.length]);
		p.assign(device().fromHost(start, p.shape));
		const optimizer = new { SGD: nn.SGD, Adam: nn.Adam, AdamW: nn.AdamW }[kind]([p], options);
		for (const [t, g] of grads.entries()) {
			device().scope<void>(() => optimizer.step([device().fromHost(g, p.shape)]));
			// f32 against float64: a few roundings a step.
			expect(relativeError(await data(p.value), steps[t])).toBeLessThan(2e-6);
		}
	});

	it("SGD refuses nesterov without momentum, and with dampening", () => {
		const p = new nn.Parameter([1]);
		for (const options of [{}, { momentum: 0.9, dampening: 0.1 }]) {
			expect(() => new nn.SGD([p], { lr: 1, nesterov: true, ...options })).toThrow(expect.objectContaining({ code: "optim/nesterov" }));
		}
	});

	it.each(clipped)("clipGradNorm scales as torch does: $max", async ({ max, norm, grads: expected }) => {
		const all = device().scope(() =>
			nn.clipGradNorm(
				expected.map((_, i) => device().fromHost(grads[i], [start.length])),
				max,
			),
		);
		expect((await data(all.norm))[0]).toBeCloseTo(norm, 5);
		for (const [i, g] of all.gradients.entries()) expect(relativeError(await data(g), expected[i])).toBeLessThan(1e-6);
		expect(() => nn.clipGradNorm([], 1)).toThrow(expect.objectContaining({ code: "optim/clip" }));
	});
});

describe("schedules", () => {
	const SCHEDULES: Readonly<Record<string, nn.Schedule>> = {
		cosineDecay: nn.cosineDecay(10, { min: 0.1 }),
		cosineRestarts: nn.cosineRestarts(3, { factor: 2, min: 0.2 }),
		linearDecay: nn.linearDecay(6, { start: 0.8, end: 0.25 }),
		polynomialDecay: nn.polynomialDecay(7, { power: 2.5 }),
		exponentialDecay: nn.exponentialDecay(0.9),
		step: nn.exponentialDecay(0.5, { every: 3 }),
		withWarmup: nn.withWarmup(4, nn.cosineDecay(6), { start: 0.25 }),
	};

	it.each(golden.schedules)("$name has torch's factors", ({ name, factors }) => {
		factors.forEach((f, k) => expect(SCHEDULES[name](k), `k = ${k}`).toBeCloseTo(f, 9));
	});

	// torch's own cosine rises again, which ours says that it does not.
	it.each([
		["cosineDecay", 10, 0.1],
		["linearDecay", 6, 0.25],
		["polynomialDecay", 7, 0],
		["withWarmup", 10, 0],
	])("%s stays where it ended", (name, total, end) => {
		for (const k of [total, total + 1, 2 * total, 1000]) expect(SCHEDULES[name](k), `k = ${k}`).toBeCloseTo(end, 12);
	});
});

describe("initialisers", () => {
	const DRAWS: Readonly<Record<string, (p: Parameter) => void>> = {
		xavierUniform: (p) => nn.xavierUniform(device(), p, key(1), { gain: 1.5 }),
		xavierNormal: (p) => nn.xavierNormal(device(), p, key(2)),
		kaimingUniform: (p) => nn.kaimingUniform(device(), p, key(3)),
		"kaimingUniform relu fanOut": (p) => nn.kaimingUniform(device(), p, key(4), { a: 0, mode: "fanOut" }),
		kaimingNormal: (p) => nn.kaimingNormal(device(), p, key(5)),
		truncNormal: (p) => nn.truncNormalInit(device(), p, key(6), { mean: 0.5, low: -1, high: 1 }),
		"truncNormal tail": (p) => nn.truncNormalInit(device(), p, key(7), { low: 2.5, high: 6 }),
	};

	it.each(golden.initialisers)("$name draws as torch does", async ({ name, shape, mean, std, low, high }) => {
		const p = new nn.Parameter(shape);
		DRAWS[name](p);
		const values = Float64Array.from(await data(p.value));
		const average = values.reduce((a, b) => a + b, 0) / values.length;
		const spread = Math.sqrt(values.reduce((a, b) => a + (b - average) ** 2, 0) / values.length);
		// 76,800 draws each: five deviations of the difference of two means, and of two standard deviations.
		expect(Math.abs(average - mean)).toBeLessThan((5 * Math.SQRT2 * std) / Math.sqrt(values.length));
		expect(Math.abs(spread / std - 1)).toBeLessThan((5 * Math.SQRT2) / Math.sqrt(values.length));
		if (!/ormal$/.test(name) || name === "truncNormal") {
			// Ends of a range: of 76,800 draws some are within a thousandth of it.
			expect(Math.min(...values)).toBeCloseTo(low, name.endsWith("tail") ? 2 : 3);
			if (!name.endsWith("tail")) expect(Math.max(...values)).toBeCloseTo(high, 3);
		}
	});

	it("initialize gives every module torch's start, and names what it leaves", async () => {
		class Own extends nn.Module {
			readonly scale = new nn.Parameter([2]);
		}
		const model = new nn.Sequential(
			new nn.Linear(4, 9),
			new nn.LayerNorm(9),
			new nn.RMSNorm(9, { offset: 1 }),
			new nn.Embedding(5, 2, { paddingIdx: 1 }),
		);
		nn.initialize(model, device(), key(8));
		const state = new Map<string, Float32Array>();
		for (const [name, p] of model.namedParameters()) state.set(name, (await data(p.value)) as Float32Array);
		expect(Math.max(...(state.get("0.weight") ?? []).map(Math.abs))).toBeLessThanOrEqual(0.5);
		expect(Math.max(...(state.get("0.bias") ?? []).map(Math.abs))).toBeLessThanOrEqual(0.5);
		expect(new Set(state.get("1.weight"))).toEqual(new Set([1]));
		expect(new Set(state.get("2.weight"))).toEqual(new Set([0]));
		expect([...(state.get("3.weight") ?? [])].slice(2, 4)).toEqual([0, 0]);
		expect(() => nn.initialize(new Own(), device(), key(0))).toThrow(
			expect.objectContaining({ code: "init/left", message: expect.stringContaining("scale") }),
		);
		const vector = new nn.Parameter([3]);
		expect(() => nn.xavierNormal(device(), vector, key(0))).toThrow(expect.objectContaining({ code: "init/fans" }));
	});
});

it("losses are modules too", async () => {
	const logits = device().fromHost([1, 2, 3, 4, 1, 0], [2, 3]);
	const weight = device().fromHost([1, 2, 3], [3]);
	const loss = new nn.CrossEntropyLoss({ weight, reduction: "sum" });
	const expected = [3, 1].map(
		(w, i) =>
			-w * Math.log(i === 0 ? Math.exp(3) / (Math.exp(1) + Math.exp(2) + Math.exp(3)) : Math.exp(4) / (Math.exp(4) + Math.exp(1) + 1)),
	);
	expect((await data(loss.call(logits, device().fromHost(Int32Array.of(2, 0), [2]))))[0]).toBeCloseTo(expected[0] + expected[1], 5);
	expect((await data(new nn.MSELoss().call(logits, mul(logits, logits))))[0]).toBeCloseTo((0 + 4 + 36 + 144) / 6, 4);
});
