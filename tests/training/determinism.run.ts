/** Prints the SHA-256 of an adapter after 50 private training steps from a seed. */
import { createHash } from "node:crypto";
import { insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { fromPretrained } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig } from "@hushgrad/nn";
import { data, key, requestDevice } from "@hushgrad/tensor";
import { goldenPath } from "../support/goldens.ts";

const LENGTH = 6;

const device = await requestDevice();
const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device, quantization: "nf4" });
applyLora(model, loraConfig({ r: 2, lora_dropout: 0.1, target_modules: "all-linear" }), { device, key: key(0) });
const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-3 });
const engine = PrivacyEngine.makePrivateWithEpsilon({
	optimizer,
	model,
	datasetSize: 24,
	expectedBatchSize: 4,
	physicalBatchSize: 4,
	targetEpsilon: 8,
	targetDelta: 1e-3,
	steps: 50,
	maxGradNorm: 1,
	noise: insecureNoiseForTests(1),
	key: key(1),
});
const encode = (record: number) => {
	const ids = Int32Array.from({ length: LENGTH }, (_, t) => (2 + 7 * record + 3 * t) % 101);
	return { ids, targets: Int32Array.of(...ids.subarray(1), -100), weight: 1 };
};
for (let step = 0; step < 50; step++) await engine.step(encode, (record, dropout) => model.loss(record, { dropout }));
const hash = createHash("sha256");
for (const p of optimizer.parameters) hash.update(new Uint8Array((await data(p.value)).slice().buffer));
console.log(hash.digest("hex"));
device.destroy();
