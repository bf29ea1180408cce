import { fromPretrained } from "@hushgrad/models";
import { applyLora, loraConfig } from "@hushgrad/nn";
import { DropoutKeys, data, key, markSamples, normal, perSampleValueAndGrad, splitKey } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const ROWS = 6;
const LENGTH = 24;
const device = useDevice();

it("gives the per-sample gradients of the plain pass, bit for bit, and holds less memory", async () => {
	const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device(), quantization: "nf4" });
	const layers = applyLora(model, loraConfig({ r: 4, lora_dropout: 0.1, target_modules: "all-linear" }), { device: device(), key: key(1) });
	[...layers.values()].forEach(({ lora_B: { weight } }, i) => weight.assign(normal(device(), weight.shape, key(100 + i), { std: 0.1 })));
	const parameters = [...model.trainableParameters().values()];
	const grid = (shift: number) =>
		markSamples(
			device().fromHost(
				Int32Array.from({ length: ROWS * LENGTH }, (_, i) => (7 * i + shift) % 101),
				[ROWS, LENGTH],
			),
		);
	const run = async (gradientCheckpointing: boolean) => {
		const before = device().memory().liveBytes;
		let most = 0;
		const { value, grads } = device().scope(() => {
			const dropout = DropoutKeys.perSample(device(), splitKey(key(4), ROWS));
			const weights = markSamples(device().fromHost(new Float32Array(ROWS).fill(1 / LENGTH), [ROWS]));
			const loss = () => {
				const losses = model.losses(grid(0), { targets: grid(1), weights }, { dropout, gradientCheckpointing });
				most = device().memory().liveBytes - before;
				return losses;
			};
			const r = perSampleValueAndGrad(loss, parameters, ROWS);
			return { value: r.value, grads: [...r.grads] };
		});
		const bits = await Promise.all([value, ...grads].map((t) => data(t)));
		for (const t of [value, ...grads]) t.dispose();
		expect(device().memory().liveBytes).toBe(before);
		return { bits, most };
	};
	device().scope(() => model.call(grid(0)));
	const [plain, saving] = [await run(false), await run(true)];
	expect(saving.bits).toEqual(plain.bits);
	expect(saving.most).toBeLessThan(plain.most / 3);
	model.dispose();
});
