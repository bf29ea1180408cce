import { fromPretrained } from "@hushgrad/models";
import { applyLora, type Dropout, loraConfig } from "@hushgrad/nn";
import { DropoutKey, item, key, normal } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const device = useDevice();

it("LoRA's dropout reaches every layer of the model, with a stream of its own", async () => {
	const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device() });
	const config = loraConfig({ r: 2, lora_dropout: 0.5, target_modules: "all-linear" });
	const layers = applyLora(model, config, { device: device(), key: key(1) });
	for (const { lora_B } of layers.values()) lora_B.weight.assign(normal(device(), lora_B.weight.shape, key(2), { std: 0.3 }));
	const ids = device().fromHost(Int32Array.of(3, 5, 7, 11, 13), [5]);
	const targets = device().fromHost(Int32Array.of(5, 7, 11, 13, 1), [5]);
	const weight = device().fromHost([1], []);
	const randomness = DropoutKey.of(device(), key(3));
	const loss = (dropout?: DropoutKey): Promise<number> => item(device().scope(() => model.loss({ ids, targets, weight }, { dropout })));

	const plain = await loss();
	expect(await loss(randomness)).toBe(await loss(randomness));
	const dropouts = [...layers].map(([path, { lora_dropout }]): [string, Dropout & { p: number }] => [path, lora_dropout]);
	for (const [, layer] of dropouts) layer.p = 0;
	expect(await loss(randomness)).toBe(plain);
	for (const [path, layer] of dropouts) {
		layer.p = 0.5;
		const own = await loss(randomness);
		layer.p = 0;
		expect(own, path).not.toBe(plain);
	}
	expect(new Set(dropouts.map(([, { path }]) => randomness.fold(path).stream)).size).toBe(layers.size);
});
