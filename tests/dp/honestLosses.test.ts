import { type HostRecord, insecureNoiseForTests, type Loss, PrivacyEngine } from "@hushgrad/dp";
import { fromPretrained } from "@hushgrad/models";
import { AdamW, applyLora, Dropout, Linear, loraConfig, Module, type Parameter } from "@hushgrad/nn";
import { checkpoint, type Device, type DropoutKey, foldIn, key, normalValues, square, sub, sum, type Tensor, tanh } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { fill } from "../nn/parameters.ts";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";
import { IN, leftBehind, lossBy, NOTHING, record, type Settings, weight } from "./problem.ts";

const device = useDevice();

interface Row {
	readonly x: Tensor;
	readonly y: Tensor;
}

class Net extends Module {
	readonly up = new Linear(IN, 12);
	readonly drop = new Dropout(0.5);
	readonly down = new Linear(12, 3, { bias: false });
	forward(x: Tensor, dropout?: DropoutKey): Tensor {
		return this.down.call(this.drop.call(tanh(this.up.call(x)), dropout));
	}
}

const lossOf =
	(net: Net): Loss<Row> =>
	({ x, y }, dropout) =>
		sum(square(sub(net.call(x, dropout), y)));

class Holder extends Module {
	readonly w: Parameter;
	constructor(w: Parameter) {
		super();
		this.w = w;
	}
}

/** Five steps, each of them checked: what is kept to be replayed is there after three of them. */
async function passes<R extends HostRecord>(
	d: Device,
	{ model, encode, loss, ...options }: { model: Module; encode: (i: number) => R; loss: Loss<never> } & Settings,
): Promise<void> {
	let asked = 0;
	const counting = (i: number): R => {
		asked++;
		return encode(i);
	};
	const engine = PrivacyEngine.makePrivateWithEpsilon({
		optimizer: new AdamW(model.trainableParameters(), { lr: 0.01 }),
		datasetSize: 12,
		expectedBatchSize: 9,
		physicalBatchSize: 4,
		targetEpsilon: 8,
		targetDelta: 1e-3,
		steps: 6,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(2),
		selfCheckEvery: 1,
		...options,
		model: model as Module,
	});
	const step = () => engine.step(counting, loss as never);
	let drawn = 0;
	for (let i = 0; i < 3; i++) drawn += (await step()).private.reveal().records;
	const left = await leftBehind(d, async () => {
		for (let i = 0; i < 2; i++) drawn += (await step()).private.reveal().records;
	});
	expect(left).toEqual(NOTHING);
	expect(engine.steps).toBe(5);
	// It was checked: records were encoded again.
	expect(asked).toBeGreaterThanOrEqual(drawn + 5);
}

describe("the self-check never trips over honest programs", () => {
	it.each([1, 2, 3, 4, 12])("a network with dropout, in physical batches of %i", async (physicalBatchSize) => {
		const model = fill(new Net(), device());
		await passes(device(), { model, encode: record, loss: lossOf(model), physicalBatchSize, expectedBatchSize: 12 });
	});

	it("gradient checkpointing with dropout", async () => {
		const model = fill(new Net(), device());
		const loss: Loss<Row> = ({ x, y }, dropout) =>
			sum(
				square(
					sub(
						checkpoint((t) => model.call(t, dropout), [x]),
						y,
					),
				),
			);
		await passes(device(), { model, encode: record, loss });
	});

	it.each([false, true])("a language model in four bits with LoRA and dropout (checkpointing: %s)", async (gradientCheckpointing) => {
		const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: device(), quantization: "nf4" });
		applyLora(model, loraConfig({ r: 2, lora_dropout: 0.2, target_modules: "all-linear" }), { device: device(), key: key(1) });
		const encode = (i: number) => {
			const ids = Int32Array.from({ length: 8 }, (_, t) => (2 + 7 * i + 3 * t) % 101);
			return { ids, targets: Int32Array.of(...ids.slice(1), -100), weight: 1 / 7 };
		};
		const loss: Loss<{ ids: Tensor; targets: Tensor; weight: Tensor }> = (r, dropout) => model.loss(r, { dropout, gradientCheckpointing });
		await passes(device(), { model, encode, loss });
	});

	it("one buffer that encode() fills for every record", async () => {
		const buffer = { x: new Float32Array(IN), y: new Float32Array(3) };
		const encode = (i: number) => {
			buffer.x.set(record(i).x);
			buffer.y.set(record(i).y);
			return buffer;
		};
		const w = weight(device());
		await passes(device(), { model: new Holder(w), encode, loss: lossBy(w) });
	});

	it("records that are alike, and share constants", async () => {
		const w = weight(device());
		const { y } = record(3);
		await passes(device(), { model: new Holder(w), encode: () => ({ x: record(3).x, y }), loss: lossBy(w) });
	});

	it("records with NaN, infinity and numbers that overflow in them", async () => {
		const w = weight(device());
		const odd = [1, Number.NaN, 2, Number.POSITIVE_INFINITY, 3, 1e38, 4, 5, 6];
		const encode = (i: number) => ({ ...record(i), x: record(i).x.map((v, k) => (k === 2 ? odd[i % odd.length] : v)) });
		await passes(device(), { model: new Holder(w), encode, loss: lossBy(w) });
	});

	it("random numbers that follow from the record", async () => {
		const model = fill(new Net(), device());
		const encode = (i: number) => {
			const noise = normalValues(foldIn(key(5), i), IN);
			return { ...record(i), x: record(i).x.map((v, k) => v + 0.1 * noise[k]) };
		};
		await passes(device(), { model, encode, loss: lossOf(model) });
	});
});
