import { fromPretrained, type TrainingRecord, VaultGemmaForCausalLM } from "@hushgrad/models";
import { applyLora, loraConfig } from "@hushgrad/nn";
import { type Device, DropoutKey, data, key, normal, splitKey, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { insideOf, privateProgram } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const ROWS = 3;
const LENGTH = 7;
const device = useDevice();

/** A model whose LoRA has something to say. */
async function adapted(of: Device, quantization?: "nf4"): Promise<VaultGemmaForCausalLM> {
	const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: of, quantization });
	const layers = applyLora(model, loraConfig({ r: 2, lora_dropout: 0.2, target_modules: "all-linear" }), { device: of, key: key(1) });
	for (const { lora_B } of layers.values()) lora_B.weight.assign(normal(of, lora_B.weight.shape, key(2), { std: 0.1 }));
	return model;
}

/** A batch, and the words of its dropout keys. */
function batch(of: Device): { record: TrainingRecord; words: Tensor } {
	const ids = Int32Array.from({ length: ROWS * LENGTH }, (_, i) => (7 * i + 3) % 101);
	const words = Uint32Array.from(splitKey(key(5), ROWS).flatMap(({ k0, k1 }) => [k0, k1]));
	return {
		record: {
			ids: of.fromHost(ids, [ROWS, LENGTH]),
			targets: of.fromHost(
				ids.map((id) => (id + 1) % 101),
				[ROWS, LENGTH],
			),
			weight: of.fromHost(new Float32Array(ROWS).fill(1 / LENGTH), [ROWS]),
		},
		words: of.fromHost(words, [ROWS, 2]),
	};
}

const tensorsOf = ({ record, words }: ReturnType<typeof batch>): Tensor[] => [...Object.values(record), words];

/** Losses and gradients of each record. */
function program(model: VaultGemmaForCausalLM, { record, words }: ReturnType<typeof batch>, gradientCheckpointing = false) {
	const parameters = [...model.trainableParameters().values()];
	return vmap((own: TrainingRecord, key: Tensor) =>
		valueAndGrad(() => model.loss(own, { dropout: new DropoutKey(key), gradientCheckpointing }), parameters),
	)(record, words);
}

describe("a loss in a closed world", () => {
	it.each([
		[undefined, false],
		[undefined, true],
		["nf4", false],
		["nf4", true],
	] as const)(
		"reads its batch and the model's tensors, and nothing is uploaded: %s, checkpointing %s",
		async (quantization, checkpointing) => {
			const model = await adapted(device(), quantization);
			const { open, inside } = device().scope(() => {
				const b = batch(device());
				const open = program(model, b, checkpointing);
				const inside = privateProgram(device(), [...tensorsOf(b), ...model.stateTensors()], () => program(model, b, checkpointing));
				return { open, inside };
			});
			const bits = ({ value, grads }: typeof open) => Promise.all([value, ...grads].map((t) => data(t)));
			expect(await bits(inside)).toEqual(await bits(open));
		},
	);

	it.each([undefined, "nf4"] as const)("does not read a model that was not declared, not one memory of it: %s", async (quantization) => {
		const model = await adapted(device(), quantization);
		const { liveBuffers } = device().memory();
		const refused = expect.objectContaining({ name: "PrivacyError", code: "privacy/outside-read" });
		device().scope<void>(() => {
			const b = batch(device());
			expect(() => privateProgram(device(), tensorsOf(b), () => program(model, b))).toThrow(refused);
			const all = [...model.stateTensors()];
			const read = all.filter((hidden) => {
				const others = all.filter((t) => insideOf(t).storage !== insideOf(hidden).storage);
				try {
					privateProgram(device(), [...tensorsOf(b), ...others], () => program(model, b));
					return false;
				} catch (error) {
					expect(error).toEqual(refused);
					return true;
				}
			});
			expect(read.length).toBe(all.length);
			for (const t of tensorsOf(b)) {
				const others = tensorsOf(b).filter((o) => o !== t);
				expect(() => privateProgram(device(), [...others, ...model.stateTensors()], () => program(model, b))).toThrow(refused);
			}
			expect(privateProgram(device(), [...tensorsOf(b), ...all], () => program(model, b)).value.shape).toEqual([ROWS]);
		});
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("does not make the rotary tables on its way: they are buffers of the model, made when it is loaded", async () => {
		const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device() });
		const { max_position_embeddings, head_dim } = model.config;
		const buffers = [...model.namedModules()].flatMap(([path, m]) =>
			m.buffersHere().map(([name, b]) => [`${path}.${name}`, b.value.shape]),
		);
		expect(buffers).toEqual([
			["model.rotary.cos", [max_position_embeddings, head_dim / 2]],
			["model.rotary.sin", [max_position_embeddings, head_dim / 2]],
		]);
		const names = [...model.namedParameters()].map(([name]) => name);
		expect(names.filter((name) => name.includes("rotary"))).toEqual([]);
		const refused = expect.objectContaining({ name: "PrivacyError", code: "privacy/outside-data" });
		expect(() => privateProgram(device(), [], () => model.init(device()))).toThrow(refused);
		const ids = device().fromHost(Int32Array.of(1, 2), [2]);
		expect(() => new VaultGemmaForCausalLM(model.config).call(ids)).toThrow(
			expect.objectContaining({ name: "ValueError", code: "buffer/empty", hint: expect.stringContaining("init(device)") }),
		);
	});
});
