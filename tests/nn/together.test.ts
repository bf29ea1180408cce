import {
	AdamW,
	applyLora,
	callOnto,
	callTogether,
	Linear,
	LoRALinear,
	type LoraConfig,
	linearLayers,
	loraConfig,
	loraLayers,
	Module,
	type NF4Parameter,
	placeWeightsTogether,
	quantizeLinears,
	Sequential,
} from "@hushgrad/nn";
import {
	add,
	cast,
	type Device,
	DropoutKey,
	data,
	type HushgradError,
	key,
	mul,
	normal,
	normalValues,
	requestDevice,
	square,
	sum,
	type Tensor,
	valueAndGrad,
	vmap,
	zeros,
} from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EACH_PLAN } from "../support/environment.ts";
import { relativeError } from "../support/goldens.ts";

const [B, T, K] = [3, 5, 128];

/** Layers of one x, and what they give: by `together` or one by one. */
class Heads extends Module {
	readonly layers: Linear[];
	readonly #together: boolean;

	constructor(widths: readonly number[], together: boolean) {
		super();
		this.layers = widths.map((n) => new Linear(K, n, { bias: false }));
		this.#together = together;
	}

	forward(x: Tensor, dropout?: DropoutKey): Tensor[] {
		const layers: (Module & { forward(x: Tensor, dropout?: DropoutKey): Tensor })[] = this.layers;
		return this.#together ? callTogether(layers, x, dropout) : layers.map((layer) => layer.call(x, dropout));
	}
}

describe.each(EACH_PLAN)("layers of one x in plan %s", (plan) => {
	let device: Device;
	beforeAll(async () => {
		device = await requestDevice({ plan });
	});
	afterAll(() => device.destroy());

	/** The layers with LoRA whose B is not 0, held as `places` says, and the dispatches of a step of theirs, with all that it gives. */
	async function step(widths: readonly number[], together: boolean, p: number, placed: boolean) {
		const model = new Heads(widths, together);
		quantizeLinears(model);
		for (const [i, { weight }] of model.layers.entries()) {
			const values = normalValues(key(i), weight.size).map((v) => v * (1 + i));
			weight.load(device, values, "BF16");
		}
		if (placed) placeWeightsTogether(model.layers);
		const config = loraConfig({ r: 8, lora_alpha: 4, lora_dropout: p, target_modules: "all-linear" });
		const adapters = [...applyLora(model, config, { device, key: key(5) }).values()];
		for (const [i, { lora_B }] of adapters.entries()) lora_B.weight.assign(normal(device, lora_B.weight.shape, key(20 + i)));
		const optimizer = placed ? new AdamW(model.trainableParameters(), { lr: 0 }) : undefined;
		const parameters = [...model.trainableParameters().values()];
		optimizer?.step(parameters.map(({ shape }) => zeros(device, shape)));
		const xs = normal(device, [B, T, K], key(9));
		const words = DropoutKey.of(device, key(7));
		const run = (): Tensor[] =>
			vmap((x: Tensor) => {
				const slots = [{ value: x }, ...parameters];
				const loss = (): { value: Tensor; aux: Tensor[] } => {
					const results = model.call(slots[0].value, words);
					const terms = results.map((y) => sum(square(y)));
					return { value: terms.reduce((a, b) => add(a, b)), aux: results };
				};
				const { aux, grads } = valueAndGrad(loss, slots);
				return [...aux, ...grads];
			})(xs);
		const before = device.counters().dispatches;
		const all = device.scope<Tensor[]>(run);
		const dispatches = device.counters().dispatches - before;
		const values = (await Promise.all(all.map((t) => data(t)))) as Float32Array[];
		optimizer?.dispose();
		model.dispose();
		return { values, dispatches };
	}

	it.each([
		[0.3, T, [0, 1]],
		[0, T, [1]],
		[0.3, 1, [0, 1]],
	])("on a residual gives the sum, and its gradients (dropout %f, %i rows, slots %j)", async (p, rows, wanted) => {
		const model = new Sequential(new Linear(K, 64, { bias: false }));
		quantizeLinears(model);
		const [{ weight }] = [...linearLayers(model)].map(([, layer]) => layer);
		weight.load(device, normalValues(key(1), weight.size), "BF16");
		applyLora(model, loraConfig({ r: 8, lora_dropout: p, target_modules: "all-linear" }), { device, key: key(5) });
		const [adapted] = loraLayers(model).values();
		adapted.lora_B.weight.assign(normal(device, [64, 8], key(20)));
		const words = DropoutKey.of(device, key(7));
		const results = async (f: (plus: Tensor, x: Tensor) => Tensor): Promise<Float32Array[]> => {
			const all = device.scope<Tensor[]>(() =>
				vmap((plus: Tensor, x: Tensor) => {
					const slots = [plus, x].map((value) => ({ value }));
					const chosen = [...wanted.map((i) => slots[i]), ...model.trainableParameters().values()];
					const loss = () => {
						const y = f(slots[0].value, slots[1].value);
						return { value: sum(square(y)), aux: y };
					};
					const { aux, grads } = valueAndGrad(loss, chosen);
					return [aux, ...grads];
				})(normal(device, [B, rows, 64], key(2)), normal(device, [B, rows, K], key(3))),
			);
			return (await Promise.all(all.map((t) => data(t)))) as Float32Array[];
		};
		const actual = await results((plus, x) => callOnto(plus, adapted, x, words));
		const expected = await results((plus, x) => add(plus, adapted.call(x, words)));
		for (const [i, e] of expected.entries()) expect(relativeError(actual[i], e), `result ${i}`).toBeLessThan(2e-6);
		model.dispose();
	});

	it.each([
		[[192, 192, 192], 0.3, true],
		[[192, 192, 192], 0.3, false],
		[[192, 192], 0, true],
		[[64, 192, 192], 0.3, true],
		[[64, 64, 64, 64, 64], 0, false],
	])("of widths %j give what each gives alone (dropout %f, side by side: %s)", async (widths, p, placed) => {
		const [one, all] = [await step(widths, false, p, false), await step(widths, true, p, placed)];
		for (const [i, expected] of one.values.entries()) {
			if (i < widths.length) expect(all.values[i], `result ${i}`).toEqual(expected);
			else expect(relativeError(all.values[i], expected), `result ${i}`).toBeLessThan(2e-6);
		}
		if (placed) expect(all.dispatches).toBeLessThan(one.dispatches);
		else expect(all.dispatches).toBe(one.dispatches);
	});
});

/** Layers [64, K] side by side in four bits, with LoRA by each of the configurations. */
function adaptedBy(
	device: Device,
	configs: readonly Partial<LoraConfig>[],
	make = (base: Linear, config: LoraConfig) => new LoRALinear(base, config),
) {
	const layers = configs.map((own, i) => {
		const base = new Linear(K, 64, { bias: false });
		quantizeLinears(new Sequential(base));
		base.weight.load(device, normalValues(key(i), base.weight.size), "BF16");
		const layer = make(base, loraConfig({ r: 8, lora_alpha: 4, lora_dropout: 0.3, target_modules: "all-linear", ...own }));
		layer.init(device, key(10 + i));
		layer.lora_B.weight.assign(normal(device, layer.lora_B.weight.shape, key(20 + i)));
		return layer;
	});
	placeWeightsTogether(layers);
	const model = new Sequential(...layers);
	model.namePaths();
	return { model, layers };
}

describe("layers of one x whose weights lie side by side", () => {
	let device: Device;
	beforeAll(async () => {
		device = await requestDevice({ plan: "cpu" });
	});
	afterAll(() => device.destroy());

	/** What the layers give, together and one by one. */
	async function both(layers: readonly LoRALinear[], rows = T): Promise<Float32Array[][]> {
		const x = normal(device, [rows, K], key(9));
		const words = DropoutKey.of(device, key(7));
		const results = [callTogether(layers, x, words), layers.map((layer) => layer.call(x, words))];
		return (await Promise.all(results.map((list) => Promise.all(list.map((y) => data(y)))))) as Float32Array[][];
	}

	class Doubled extends LoRALinear {
		override forward(x: Tensor, words?: DropoutKey): Tensor {
			return mul(super.forward(x, words), 2);
		}
	}
	class Turned extends Linear {
		override forward(x: Tensor): Tensor {
			return mul(super.forward(x), -1);
		}
	}

	it.each<[string, Partial<LoraConfig>[], ((base: Linear, config: LoraConfig) => LoRALinear)?]>([
		["another factor", [{}, { lora_alpha: 12 }]],
		["another probability", [{}, { lora_dropout: 0.6 }]],
		["none to drop", [{}, { lora_dropout: 0 }]],
		["another rank", [{}, { r: 4, lora_alpha: 2 }]],
		["a forward of its own", [{}, {}], (base, config) => new Doubled(base, config)],
		[
			"a base with a forward of its own",
			[{}, {}],
			(base, config) => {
				const own = new Turned(K, 64, { bias: false });
				own.weight = base.weight;
				return new LoRALinear(own, config);
			},
		],
		[
			"a bias",
			[{}, {}],
			(base, config) => {
				const own = new Linear(K, 64);
				own.weight = base.weight;
				own.bias?.assign(normal(device, [64], key(3)));
				return new LoRALinear(own, config);
			},
		],
	])("give what each gives where one has %s", async (_, configs, make) => {
		let made = 0;
		const { model, layers } = adaptedBy(device, configs, (base, config) =>
			made++ === 0 || make === undefined ? new LoRALinear(base, config) : make(base, config),
		);
		const [together, alone] = await both(layers);
		expect(together).toEqual(alone);
		model.dispose();
	});

	it("give what each gives where weights were of several types before", async () => {
		const { model, layers } = adaptedBy(device, [{}, {}, {}]);
		for (const [i, { base_layer }] of layers.entries())
			base_layer.weight.load(device, normalValues(key(i), 64 * K), (["BF16", "F16", "F32"] as const)[i]);
		placeWeightsTogether(layers);
		const [together, alone] = await both(layers);
		expect(together).toEqual(alone);
		model.dispose();
	});

	it("keep their values, and the memory that they had", async () => {
		const { liveBuffers } = device.memory();
		const { model, layers } = adaptedBy(device, [{}, {}, {}]);
		const states = () => Promise.all(layers.map(({ base_layer }) => (base_layer.weight as NF4Parameter).quantState()));
		const before = await states();
		placeWeightsTogether(layers);
		expect(await states()).toEqual(before);
		expect(before[0]).not.toEqual(before[1]);
		model.dispose();
		expect(device.memory().liveBuffers).toBeLessThanOrEqual(liveBuffers);
	});

	it("are added to a residual of another shape, or type, as `add` does", async () => {
		const { model, layers } = adaptedBy(device, [{}]);
		const x = normal(device, [T, K], key(9));
		const whole = normal(device, [T, 64], key(1));
		const others = (["i32", "bf16", "f16"] as const)
			.filter((dtype) => dtype !== "f16" || device.has("shader-f16"))
			.map((dtype) => cast(whole, dtype));
		for (const plus of [normal(device, [64], key(1)), normal(device, [2, 1, 64], key(2)), ...others]) {
			const act = (f: () => Tensor) => {
				try {
					return data(f());
				} catch (error) {
					return (error as HushgradError).message.replace(/^\w+: /, "");
				}
			};
			const [together, alone] = [act(() => callOnto(plus, layers[0], x)), act(() => add(plus, layers[0].call(x)))];
			expect(await together).toEqual(await alone);
		}
		model.dispose();
	});
});

describe.each(EACH_PLAN)("one row of layers of one x in plan %s", (plan) => {
	it("gives what each gives", async () => {
		const device = await requestDevice({ plan });
		const { model, layers } = adaptedBy(device, [{}, {}, {}]);
		const x = normal(device, [1, K], key(9));
		const words = DropoutKey.of(device, key(7));
		const [together, alone] = [callTogether(layers, x, words), layers.map((layer) => layer.call(x, words))];
		for (const [i, y] of together.entries()) expect(await data(y), `result ${i}`).toEqual(await data(alone[i]));
		model.dispose();
		device.destroy();
	});
});
