import {
	applyLora,
	countParameters,
	Linear,
	type LinearLayer,
	loraConfig,
	loraLayers,
	Module,
	ModuleBuffer,
	ModuleList,
	NF4Parameter,
	Parameter,
	quantizeLinears,
	SGD,
} from "@hushgrad/nn";
import { add, data, key, ones, square, sum, type Tensor, valueAndGrad } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { fill, uploads } from "./parameters.ts";

const device = useDevice();

describe("weights in four bits", () => {
	class Net extends Module {
		readonly layers = [new Linear(16, 16, { bias: false }), new Linear(16, 8)];
		readonly table = new ModuleBuffer();
		forward(x: Tensor): Tensor {
			return this.layers.reduce((t, m) => m.call(t), x);
		}
	}

	it("are parameters like any other: found, counted, frozen, state, disposed", async () => {
		const start = device().memory();
		const net = new Net();
		quantizeLinears(net);
		fill(net, device());
		net.table.assign(ones(device(), [2]));
		const found = new Map(net.namedParameters());
		expect([...found].map(([path, p]) => [path, p.format])).toEqual([
			["layers.0.weight", "nf4"],
			["layers.1.weight", "nf4"],
			["layers.1.bias", "f32"],
		]);
		expect(countParameters(net)).toEqual({ trainable: 8, all: 16 * 16 + 8 * 16 + 8 });
		const state = new Set(net.stateTensors());
		const parts = [...found.values()].flatMap((p) => p.tensors());
		expect(parts).toHaveLength(4 + 4 + 1);
		for (const t of [...parts, net.table.value]) expect(state.has(t)).toBe(true);
		expect(state.size).toBe(10);
		expect([...net.trainableParameters().keys()]).toEqual(["layers.1.bias"]);
		net.freeze();
		expect(net.trainableParameters().size).toBe(0);
		expect(net.toString()).toContain("in_features=16, out_features=8, bias=True, weight=nf4");
		net.dispose();
		expect(device().memory()).toMatchObject({ liveBytes: start.liveBytes, liveBuffers: start.liveBuffers });
	});
});

describe("quantizeLinears", () => {
	class Pair extends Module {
		readonly a = new Linear(16, 16, { bias: false });
		readonly b = new Linear(16, 8, { bias: false });
	}

	it("quantises the layers that are asked for", () => {
		const net = new Pair();
		quantizeLinears(net, (path) => path === "b");
		expect([net.a.weight.format, net.b.weight.format]).toEqual(["f32", "nf4"]);
		quantizeLinears(net);
		expect([net.a.weight.format, net.b.weight.format]).toEqual(["nf4", "nf4"]);
	});

	it("refuses a model that has values or LoRA already, and leaves it as it was", () => {
		const [loaded, adapted] = [fill(new Pair(), device()), new Pair()];
		applyLora(adapted, loraConfig({ target_modules: ["a"] }));
		for (const net of [loaded, adapted]) {
			const before = [...net.namedParameters()];
			expect(() => quantizeLinears(net)).toThrow(
				expect.objectContaining({ name: "ValueError", code: "nf4/late", hint: expect.any(String) }),
			);
			expect([...net.namedParameters()]).toEqual(before);
		}
		loaded.dispose();
	});
});

describe("ownership", () => {
	it("a buffer keeps its own tensor when it is given it again", async () => {
		const buffer = new ModuleBuffer();
		buffer.assign(ones(device(), [2]));
		buffer.assign(buffer.value);
		expect(await data(buffer.value)).toEqual(Float32Array.of(1, 1));
		buffer.dispose();
	});

	it("a parameter that an optimiser holds is not released under it", async () => {
		const layer = fill(new Linear(4, 4, { bias: false }), device());
		const optimizer = new SGD(layer.trainableParameters(), { lr: 1 });
		const before = await data(optimizer.vector.tensor);
		for (const release of [() => layer.weight.dispose(), () => layer.dispose()]) {
			expect(release).toThrow(
				expect.objectContaining({ name: "ValueError", code: "parameter/bound", message: expect.stringContaining("SGD") }),
			);
		}
		expect(await data(layer.weight.value)).toEqual(before);
		optimizer.dispose();
		layer.dispose();
		expect(layer.weight.hasValue).toBe(false);
	});
});

describe("LoRA", () => {
	/** No subclass of Linear: its weight is transposed in a way of its own. */
	class Doubling extends Module implements LinearLayer {
		readonly inFeatures = 16;
		readonly outFeatures = 8;
		weight: Parameter = new Parameter([8, 16]);
		forward(x: Tensor): Tensor {
			const y = this.weight.linear(x);
			return add(y, y);
		}
	}
	class Net extends Module {
		readonly layers: LinearLayer[] = [new Linear(16, 16, { bias: false }), new Doubling()];
		readonly heads = new Map<string, LinearLayer>([["out", new Linear(8, 4, { bias: false })]]);
		readonly list = new ModuleList<LinearLayer>([new Linear(4, 4, { bias: false })]);
		forward(x: Tensor): Tensor {
			const all = [...this.layers, this.heads.get("out") as LinearLayer, this.list.items[0]];
			return all.reduce((t, m) => m.call(t), x);
		}
	}
	const config = loraConfig({ r: 2, lora_alpha: 4, target_modules: "all-linear" });
	const ADAPTED = ["layers.0", "layers.1", "heads.out", "list.0"];

	it.each([false, true])("wraps whatever has features and a weight, wherever it stands, in any format (nf4: %s)", async (isQuantized) => {
		const net = new Net();
		if (isQuantized) quantizeLinears(net);
		fill(net, device());
		const x = uploads(device(), [[16]])[0];
		const before = await data(net.call(x));
		const adapted = applyLora(net, config, { device: device(), key: key(1) });
		expect([...adapted.keys()]).toEqual(ADAPTED);
		expect([...loraLayers(net).keys()]).toEqual(ADAPTED);
		expect([...net.trainableParameters().keys()]).toEqual(ADAPTED.flatMap((p) => [`${p}.lora_A.weight`, `${p}.lora_B.weight`]));
		for (const layer of adapted.values()) expect(layer.base_layer.weight instanceof NF4Parameter).toBe(isQuantized);
		expect(await data(net.call(x))).toEqual(before);
		const parameters = [...net.trainableParameters().values()];
		for (const layer of adapted.values()) layer.lora_B.weight.assign(ones(device(), layer.lora_B.weight.shape));
		const { value, grads } = valueAndGrad(() => sum(square(net.call(x))), parameters);
		expect(Number.isFinite((await data(value))[0])).toBe(true);
		for (const g of grads) expect((await data(g)).some((v) => v !== 0)).toBe(true);
		expect(await data(net.call(x))).not.toEqual(before);
	});
});
