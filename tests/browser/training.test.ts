import { insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { AdamW, applyLora, Linear, loraConfig, Module, quantizeLinears } from "@hushgrad/nn";
import { capture, crossEntropy, type DropoutKey, data, gelu, key, normalValues, type Tensor, write } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const WIDTH = 32;
const CLASSES = 8;
const RECORDS = 24;

/** Two linear layers with an activation between them. */
class Classifier extends Module {
	readonly up = new Linear(WIDTH, WIDTH, { bias: false });
	readonly down = new Linear(WIDTH, CLASSES, { bias: false });

	forward(x: Tensor, dropout?: DropoutKey): Tensor {
		const [up, down] = [this.up, this.down] as unknown as { call(x: Tensor, dropout?: DropoutKey): Tensor }[];
		return down.call(gelu(up.call(x, dropout)), dropout);
	}
}

it("a private fine-tuning step on a 4-bit base moves every adapter tensor, and the loss falls", async () => {
	const model = new Classifier();
	quantizeLinears(model);
	for (const [, p] of model.namedParameters()) {
		const [outputs, inputs] = p.shape;
		p.load(
			device(),
			normalValues(key(outputs), p.size).map((v) => v / Math.sqrt(inputs)),
			"F32",
		);
	}
	applyLora(model, loraConfig({ r: 4, lora_dropout: 0.05, target_modules: "all-linear" }), { device: device(), key: key(0) });
	const optimizer = new AdamW(model.trainableParameters(), { lr: 0.05 });
	const engine = PrivacyEngine.makePrivateWithEpsilon({
		optimizer,
		model,
		datasetSize: RECORDS,
		expectedBatchSize: 12,
		physicalBatchSize: 8,
		targetEpsilon: 50,
		targetDelta: 1e-3,
		steps: 12,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(1),
		key: key(1),
	});
	const encode = (r: number) => ({
		x: normalValues(key(100 + r), WIDTH),
		label: { values: [r % CLASSES], shape: [], dtype: "i32" as const },
	});
	const loss = ({ x, label }: { readonly x: Tensor; readonly label: Tensor }, dropout?: DropoutKey): Tensor =>
		crossEntropy(model.call(x, dropout), label);
	const before = await Promise.all(optimizer.parameters.map((p) => data(p.value)));
	const first = (await engine.step(encode, loss)).private.reveal().loss;
	let last = first;
	for (let i = 1; i < 12; i++) last = (await engine.step(encode, loss)).private.reveal().loss;
	expect(last).toBeLessThan(first);
	expect(engine.getEpsilon()).toBeLessThanOrEqual(50);
	expect(before).toHaveLength(4);
	for (const [i, p] of optimizer.parameters.entries()) {
		const now = await data(p.value);
		expect(now.every(Number.isFinite)).toBe(true);
		expect(now.some((v, k) => v !== before[i][k])).toBe(true);
	}
});

it("a captured step replays with new inputs", async () => {
	const x = device().fromHost([1, 2, 3, 4], [4]);
	const step = capture(device(), () => gelu(x));
	write(x, [0, 0, 0, 10]);
	step.replay();
	await device().flush();
	expect([...(await data(step.outputs))]).toEqual([0, 0, 0, 10]);
	step.dispose();
	x.dispose();
});
