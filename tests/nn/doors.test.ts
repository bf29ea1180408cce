import * as nn from "@hushgrad/nn";
import { type Device, data, key, ones } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();

/** A value where its type excludes it. */
const wrong = (v: unknown): never => v as never;
const config = nn.loraConfig({ target_modules: "all-linear", r: 2 });
const linear = (): nn.Linear => new nn.Linear(8, 8);
const bytes = { dtype: "U8", shape: [1], data: new Uint8Array(1) } as const;
const attention = (d: Device): nn.MultiheadAttention => {
	const layer = new nn.MultiheadAttention(4, 2);
	nn.initialize(layer, d, key(1));
	return layer;
};
const state = () => nn.quantizeNF4(new Float32Array(128), [2, 64]);

describe("an argument of the wrong kind is refused by the name of what was called", () => {
	it.each<[string, (d: Device) => unknown]>([
		["Linear: outFeatures is undefined, expected a whole number, zero or more", () => new nn.Linear(3, wrong(undefined))],
		["Linear: bias is 0, expected true or false", () => new nn.Linear(3, 4, { bias: wrong(0) })],
		["Linear: options is null, expected options in an object", () => new nn.Linear(3, 4, wrong(null))],
		["Conv1d: stride is [1, 2], expected a whole number, zero or more", () => new nn.Conv1d(1, 1, 1, { stride: wrong([1, 2]) })],
		["Conv2d: kernel is [3, 0.5], expected a shape", () => new nn.Conv2d(1, 1, [3, 0.5])],
		["Embedding: paddingIdx is 0.5, expected a whole number", () => new nn.Embedding(4, 2, { paddingIdx: 0.5 })],
		['GELU: approximate is "tan", expected "none" or "tanh"', () => new nn.GELU({ approximate: wrong("tan") })],
		["Dropout: key is an object, expected a DropoutKey", (d) => new nn.Dropout(0.1).forward(ones(d, [2]), wrong(key(1)))],
		["LayerNorm: shape is [2, -1], expected a shape", () => new nn.LayerNorm([2, -1])],
		["MultiheadAttention: v is 3, expected a tensor", (d) => attention(d).forward(ones(d, [2, 4]), undefined, wrong(3))],
		["Sequential: layers is [3], expected modules and functions of a tensor", () => new nn.Sequential(wrong(3))],
		["ModuleList: items is [3], expected a list of Modules", () => new nn.ModuleList([wrong(3)])],
		["CrossEntropyLoss: target is 1, expected a tensor", (d) => new nn.CrossEntropyLoss().forward(ones(d, [2]), wrong(1))],
		["MSELoss: reduction is", () => new nn.MSELoss({ reduction: wrong("average") })],
		["DataLoader: shuffle is 3, expected a key", () => new nn.DataLoader([1], { shuffle: wrong(3) })],
		["onesInit: device is undefined, expected a device", () => nn.onesInit(wrong(undefined), linear().weight)],
		["kaimingNormal: p is Tensor(f32 [2]), expected a Parameter", (d) => nn.kaimingNormal(d, wrong(ones(d, [2])), key(1))],
		["Linear.resetParameters: key is 3, expected a key", (d) => linear().resetParameters(d, wrong(3))],
		["Parameter.assign: tensor is [1], expected a tensor", () => linear().weight.assign(wrong([1]))],
		["Parameter.load: values is [1], expected a Float32Array", (d) => linear().weight.load(d, wrong([1]), "F32")],
		["applyLora: model is 3, expected a Module", () => nn.applyLora(wrong(3), config)],
		["applyLora: device is undefined, expected a device", () => nn.applyLora(linear(), config, wrong({ key: key(1) }))],
		[
			"LoRALinear: target_modules is [3], expected a list of names",
			() => new nn.LoRALinear(linear(), { ...config, target_modules: [wrong(3)] }),
		],
		["loraConfig: use_rslora is 1, expected true or false", () => nn.loraConfig({ target_modules: [], use_rslora: wrong(1) })],
		["Adam: betas is [0.9], expected two numbers in [0, 1)", () => new nn.Adam([linear().weight], { lr: 1, betas: wrong([0.9]) })],
		["SGD: parameters[1] is an object, expected a Parameter, or a group", () => new nn.SGD([linear().weight, wrong({})], { lr: 1 })],
		["cosineDecay: k is null, expected a number", () => nn.cosineDecay(10)(wrong(null))],
		["dequantizeNF4: packed is undefined, expected a Uint8Array", () => nn.dequantizeNF4(wrong({}))],
		["encodeSafetensors: a: shape is 3, expected a shape", () => nn.encodeSafetensors(new Map([["a", { ...bytes, shape: wrong(3) }]]))],
		["toFloat32: bytes is Tensor", (d) => nn.toFloat32(wrong(ones(d, [2])), "F32")],
	])("%s", (message, call) => {
		expect(() => call(device())).toThrow(expect.objectContaining({ code: "call/argument", message: expect.stringContaining(message) }));
	});
});

it("an option that there is not is refused, so that no misspelt one is passed over", () => {
	expect(() => new nn.AdamW([linear().weight], wrong({ lr: 1, weight_decay: 0.1 }))).toThrow(
		expect.objectContaining({
			code: "call/option",
			message: "AdamW: there is no option weight_decay, expected betas, eps, weightDecay, lr, schedule",
		}),
	);
	expect(() => new nn.SGD([wrong({ parameters: [linear().weight], momentun: 0.9 })], { lr: 1 })).toThrow("momentun");
	expect(() => new nn.Linear(3, 4, wrong({ biass: false }))).toThrow("Linear: there is no option biass, expected bias");
});

describe("a layer whose sizes do not fit", () => {
	it.each<[string, string, () => unknown]>([
		["conv/groups", "Conv2d: 2 groups do not divide 3 and 4 channels", () => new nn.Conv2d(3, 4, 1, { groups: 2 })],
		["norm/groups", "GroupNorm: 2 groups do not divide 3 channels", () => new nn.GroupNorm(2, 3)],
		["attention/embed", "MultiheadAttention: 3 heads do not divide 4", () => new nn.MultiheadAttention(4, 3)],
		["dropout/p", "Dropout: p is 1, expected a number in [0, 1)", () => new nn.Dropout(1)],
		["schedule/factor", "cosineRestarts: factor is 0.5, expected 1 or more", () => nn.cosineRestarts(3, { factor: 0.5 })],
		["schedule/steps", "linearDecay: total is 0, expected a number above 0", () => nn.linearDecay(0)],
	])("%s is refused when it is made", (code, message, make) => {
		expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
	});

	it("names a projection of attention that has another width", () => {
		const q = ones(device(), [2, 4]);
		expect(() => attention(device()).forward(q, ones(device(), [3, 5]))).toThrow(
			"MultiheadAttention: k[3, 5], expected [..., positions, 4]",
		);
	});
});

it("Linear has a bias, as torch's has", () => {
	expect(new nn.Linear(3, 4).bias?.shape).toEqual([4]);
	expect(new nn.Linear(3, 4, { bias: false }).bias).toBeUndefined();
});

describe("a parameter", () => {
	it("that an optimiser holds says who does, and how to release it", async () => {
		const p = new nn.Parameter([2]);
		p.assign(ones(device(), [2]));
		const sgd = new nn.SGD([p], { lr: 1 });
		expect(sgd.vector.tensor.shape).toEqual([2]);
		const message =
			"Parameter.dispose: a parameter is trained by SGD, whose vector holds its numbers\n  Hint: dispose SGD first; the parameter keeps its value";
		expect(() => p.dispose()).toThrow(expect.objectContaining({ code: "parameter/bound", message }));
		expect(await data(p.value)).toEqual(Float32Array.of(1, 1));
		sgd.dispose();
		p.dispose();
		expect(p.hasValue).toBe(false);
	});

	it("holds no integers", () => {
		expect(() => new nn.Parameter([2]).assign(ones(device(), [2], "i32"))).toThrow(expect.objectContaining({ code: "parameter/dtype" }));
	});

	it("in four bits keeps its weight, and no memory, when it refuses another one", () => {
		const p = new nn.NF4Parameter([2, 64]);
		p.loadQuantized(device(), state());
		const before = device().memory().liveBytes;
		const parts = p.tensors();
		for (const change of [{ packed: new Uint8Array(3) }, { nestedMap: new Float32Array(3) }, { shape: [64, 2] }, { absmax: undefined }]) {
			expect(() => p.loadQuantized(device(), wrong({ ...state(), ...change }))).toThrow("NF4Parameter.loadQuantized: ");
		}
		expect(p.tensors()).toEqual(parts);
		expect(device().memory().liveBytes).toBe(before);
	});
});

describe("at the ends of their domains", () => {
	it("cosineRestarts finds the cosine that a step is in, as adding up their lengths does", () => {
		for (const factor of [1, 1.5, 2, 3]) {
			const schedule = nn.cosineRestarts(3, { factor });
			let [begin, length] = [0, 3];
			for (let k = 0; k < 3000; k++) {
				if (k >= begin + length) [begin, length] = [begin + length, length * factor];
				expect(schedule(k), `factor ${factor}, k = ${k}`).toBeCloseTo((1 + Math.cos((Math.PI * (k - begin)) / length)) / 2, 9);
			}
		}
		expect(nn.cosineRestarts(1e-3)(2 ** 50)).toBeGreaterThanOrEqual(0);
	});

	it("truncNormalInit draws far in the tail, where the mean is a + 1/a − 2/a³ + …", async () => {
		const p = new nn.Parameter([20_000]);
		nn.truncNormalInit(device(), p, key(1), { low: 50, high: Number.POSITIVE_INFINITY });
		const values = Float64Array.from(await data(p.value));
		// The excess over 50 has mean and deviation 1/50: five deviations of the mean of 20,000.
		expect(Math.abs(values.reduce((a, b) => a + b, 0) / values.length - (50 + 1 / 50 - 2 / 50 ** 3))).toBeLessThan(
			5 / 50 / Math.sqrt(values.length),
		);
		nn.truncNormalInit(device(), p, key(1), { low: -2e9, high: -1e9 });
		expect(new Set(await data(p.value))).toEqual(new Set([-1e9]));
	});
});
