import { insecureNoiseForTests, type PhysicalBatch, PrivacyEngine } from "@hushgrad/dp";
import { AdamW, applyLora, Linear, loraConfig, Module, NF4Linear, quantizeNF4, replaceLinears } from "@hushgrad/nn";
import {
	capture,
	crossEntropy,
	DropoutKeys,
	data,
	foldIn,
	gelu,
	key,
	markSamples,
	normalValues,
	sum,
	type Tensor,
	write,
} from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const WIDTH = 32;
const CLASSES = 8;
const RECORDS = 24;

/** Two linear layers with an activation between them. */
class Classifier extends Module {
	readonly up = new Linear(WIDTH, WIDTH);
	readonly down = new Linear(WIDTH, CLASSES);

	forward(x: Tensor, dropout?: DropoutKeys): Tensor {
		const [up, down] = [this.up, this.down] as unknown as { call(x: Tensor, dropout?: DropoutKeys): Tensor }[];
		return down.call(gelu(up.call(x, dropout)), dropout);
	}
}

it("a private fine-tuning step on a 4-bit base moves every adapter tensor, and the loss falls", async () => {
	const model = new Classifier();
	replaceLinears(model, (_, { inFeatures, outFeatures }) => {
		const layer = new NF4Linear(inFeatures, outFeatures);
		const weights = normalValues(key(outFeatures), inFeatures * outFeatures).map((v) => v / Math.sqrt(inFeatures));
		layer.load(device(), quantizeNF4(weights, [outFeatures, inFeatures]));
		return layer;
	});
	applyLora(model, loraConfig({ r: 4, lora_dropout: 0.05, target_modules: "all-linear" }), { device: device(), key: key(0) });
	const parameters = model.trainableParameters();
	const engine = PrivacyEngine.makePrivateWithEpsilon({
		parameters,
		optimizer: new AdamW(parameters.values(), { lr: 0.05 }),
		datasetSize: RECORDS,
		expectedBatchSize: 12,
		physicalBatchSize: 8,
		targetEpsilon: 50,
		targetDelta: 1e-3,
		steps: 12,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(1),
	});
	const record = (r: number): Float32Array => normalValues(key(100 + r), WIDTH);
	const losses = ({ indices, weights }: PhysicalBatch): Tensor => {
		const rows = Float32Array.from([...indices].flatMap((r) => [...record(Math.max(r, 0))]));
		const x = markSamples(device().fromHost(rows, [indices.length, 1, WIDTH]));
		const labels = markSamples(
			device().fromHost(
				Int32Array.from(indices, (r, i) => (weights[i] > 0 ? r % CLASSES : -100)),
				[indices.length, 1],
			),
		);
		const dropout = DropoutKeys.perSample(
			device(),
			[...indices].map((r) => foldIn(foldIn(key(1), engine.steps), r + 1)),
		);
		return crossEntropyRows(model.call(x, dropout), labels);
	};
	const first = (await engine.step(losses)).loss;
	let last = first;
	for (let i = 1; i < 12; i++) last = (await engine.step(losses)).loss;
	expect(last).toBeLessThan(first);
	expect(engine.getEpsilon()).toBeLessThanOrEqual(50);
	for (const p of parameters.values()) expect([...(await data(p.value))].some((v) => v !== 0)).toBe(true);
});

/** One loss a record, from logits [B, 1, C] and labels [B, 1]. */
function crossEntropyRows(logits: Tensor, labels: Tensor): Tensor {
	return logits.device.scope<Tensor>(() => sum(crossEntropy(logits, labels, { reduction: "none" }), [1]));
}

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
