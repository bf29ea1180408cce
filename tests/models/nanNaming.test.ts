import { fromPretrained, type TrainingRecord, type VaultGemmaForCausalLM } from "@hushgrad/models";
import { applyLora, loraConfig, type Module } from "@hushgrad/nn";
import { add, customVjp, key, sqrt, sub, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const device = useDevice({ debug: { nan: true } });
let model: VaultGemmaForCausalLM;
let layers: Map<string, Module>;

beforeAll(async () => {
	model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device(), quantization: "nf4" });
	applyLora(model, loraConfig({ r: 2, target_modules: "all-linear" }), { device: device(), key: key(1) });
	model.namePaths();
	layers = new Map(model.namedModules());
});

function step(): void {
	device().scope<void>(() => {
		const ids = device().fromHost(Int32Array.of(3, 5, 7, 11, 13, 17), [2, 3]);
		const targets = device().fromHost(Int32Array.of(5, 7, 2, 13, 17, 2), [2, 3]);
		const weight = device().fromHost([1, 1], [2]);
		const parameters = [...model.trainableParameters().values()];
		vmap((record: TrainingRecord) => valueAndGrad(() => model.loss(record), parameters))({ ids, targets, weight });
	});
}

/** Runs a step in which the result of one module goes through `spoil`. */
async function stepWith(path: string, spoil: (y: Tensor) => Tensor): Promise<Error | undefined> {
	const module = layers.get(path) as Module & { forward(...args: unknown[]): Tensor };
	const { forward } = module;
	module.forward = (...args) => spoil(forward.apply(module, args));
	try {
		step();
		return await device()
			.flush()
			.then(
				() => undefined,
				(e: Error) => e,
			);
	} finally {
		module.forward = forward;
	}
}

/** NaN everywhere, made by the square root of -1. */
const notANumber = (x: Tensor): Tensor => sqrt(sub(sub(x, x), device().fromHost([1], [])));

const spoiledGradient = customVjp({
	name: "spoiled",
	forward: (x) => ({ value: add(x, 0) }),
	backward: (dy) => [notANumber(dy)],
});

describe("a number that is not finite is named in the step that makes it", () => {
	const places = [0, 1, 2, 3].flatMap((i) =>
		["self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj", "input_layernorm"].map((m) => `model.layers.${i}.${m}`),
	);

	const named = (path: string) => ({ code: "numeric/not-finite", message: expect.stringContaining(`the result of sqrt in ${path} `) });

	it.each(places)("%s, forward and backward", async (path) => {
		step();
		await device().flush();
		expect(await stepWith(path, notANumber)).toMatchObject(named(path));
		const found = await stepWith(path, spoiledGradient);
		// Nothing trains before the first projections, so that no gradient passes the first norm.
		if (path === "model.layers.0.input_layernorm") expect(found).toBeUndefined();
		else expect(found).toMatchObject(named(path));
	});
});
