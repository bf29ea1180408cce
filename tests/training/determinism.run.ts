/** Prints the SHA-256 of an adapter after 50 private training steps from a seed. */
import { createHash } from "node:crypto";
import { insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { fromPretrained } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig } from "@hushgrad/nn";
import { DropoutKeys, data, foldIn, key, markSamples, requestDevice } from "@hushgrad/tensor";
import { goldenPath } from "../support/goldens.ts";

const ROWS = 4;
const LENGTH = 6;

const device = await requestDevice();
const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device, quantization: "nf4" });
applyLora(model, loraConfig({ r: 2, lora_dropout: 0.1, target_modules: "all-linear" }), { device, key: key(0) });
const parameters = model.trainableParameters();
const engine = PrivacyEngine.makePrivateWithEpsilon({
	parameters,
	optimizer: new AdamW(parameters.values(), { lr: 1e-3 }),
	datasetSize: 24,
	expectedBatchSize: 4,
	physicalBatchSize: ROWS,
	targetEpsilon: 8,
	targetDelta: 1e-3,
	steps: 50,
	maxGradNorm: 1,
	noise: insecureNoiseForTests(1),
});
for (let step = 0; step < 50; step++) {
	await engine.step(({ indices, weights }) => {
		const row = (r: number): number[] => Array.from({ length: LENGTH }, (_, t) => (2 + 7 * Math.max(r, 0) + 3 * t) % 101);
		const grid = (pick: (ids: number[]) => number[]) =>
			markSamples(device.fromHost(Int32Array.from([...indices].flatMap((r) => pick(row(r)))), [ROWS, LENGTH]));
		const dropout = DropoutKeys.perSample(
			device,
			[...indices].map((r) => foldIn(foldIn(key(1), step), r + 1)),
		);
		const targets = grid((ids) => [...ids.slice(1), -100]);
		return model.losses(
			grid((ids) => ids),
			{ targets, weights: markSamples(device.fromHost(weights, [ROWS])) },
			{ dropout },
		);
	});
}
const hash = createHash("sha256");
for (const p of parameters.values()) hash.update(new Uint8Array((await data(p.value)).slice().buffer));
console.log(hash.digest("hex"));
device.destroy();
