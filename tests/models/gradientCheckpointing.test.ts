import { fromPretrained, type TrainingRecord } from "@hushgrad/models";
import { applyLora, loraConfig } from "@hushgrad/nn";
import { DropoutKey, data, key, normal, splitKey, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const ROWS = 6;
const LENGTH = 24;
const device = useDevice();

it("gives every record the gradients of the plain pass, bit for bit with dropout on, and holds less memory", async () => {
	const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device(), quantization: "nf4" });
	const layers = applyLora(model, loraConfig({ r: 4, lora_dropout: 0.1, target_modules: "all-linear" }), { device: device(), key: key(1) });
	[...layers.values()].forEach(({ lora_B: { weight } }, i) => weight.assign(normal(device(), weight.shape, key(100 + i), { std: 0.1 })));
	const parameters = [...model.trainableParameters().values()];
	const grid = (shift: number) =>
		device().fromHost(
			Int32Array.from({ length: ROWS * LENGTH }, (_, i) => (7 * i + shift) % 101),
			[ROWS, LENGTH],
		);
	const run = async (gradientCheckpointing: boolean, seed = 4) => {
		const before = device().memory().liveBytes;
		let most = 0;
		const { value, grads } = device().scope(() => {
			const keys = Uint32Array.from(splitKey(key(seed), ROWS).flatMap(({ k0, k1 }) => [k0, k1]));
			const weight = device().fromHost(new Float32Array(ROWS).fill(1 / LENGTH), [ROWS]);
			const gradients = vmap((record: TrainingRecord, words: Tensor) =>
				valueAndGrad(() => {
					const loss = model.loss(record, { dropout: new DropoutKey(words), gradientCheckpointing });
					most = device().memory().liveBytes - before;
					return loss;
				}, parameters),
			);
			return gradients({ ids: grid(0), targets: grid(1), weight }, device().fromHost(keys, [ROWS, 2]));
		});
		const bits = await Promise.all([value, ...grads].map((t) => data(t)));
		for (const t of [value, ...grads]) t.dispose();
		expect(device().memory().liveBytes).toBe(before);
		return { bits, most };
	};
	await run(false);
	const [plain, saving] = [await run(false), await run(true)];
	expect(saving.bits).toEqual(plain.bits);
	expect((await run(true, 5)).bits).not.toEqual(plain.bits);
	expect(saving.most).toBeLessThan(plain.most / 3);
	model.dispose();
});
