import { clip, GaussianMechanism, type GradientMode, PrivacyEngine, type RecordGradient, research, type Transcript } from "@hushgrad/dp";
import {
	AdamW,
	Dropout,
	Embedding,
	initialize,
	LayerNorm,
	Linear,
	LoRALinear,
	loraConfig,
	Module,
	MultiheadAttention,
	SGD,
} from "@hushgrad/nn";
import {
	add,
	checkpoint,
	customVjp,
	type Device,
	type DropoutKey,
	data,
	foldIn,
	full,
	gelu,
	key,
	linear,
	linearCrossEntropy,
	mean,
	normal,
	reshape,
	type Tensor,
	sum as totalOf,
	uniformValues,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { smallDevice } from "../support/smallDevice.ts";
import { OUT, problem } from "./problem.ts";

const device = useDevice();

/** What the loss of a record reads. */
interface Row {
	readonly x: Tensor;
	readonly ids: Tensor;
	readonly next: Tensor;
}

/** A small transformer with a tied table, attention, a layer in a checkpoint, and one with LoRA. */
class Network extends Module {
	readonly words: Embedding;
	readonly features: Linear;
	readonly norm: LayerNorm;
	readonly attention: MultiheadAttention;
	readonly up: Linear;
	readonly down: LoRALinear;
	readonly drop = new Dropout(0.2);

	constructor(vocab: number, width: number) {
		super();
		this.words = new Embedding(vocab, width, { paddingIdx: 3 });
		this.features = new Linear(5, width);
		this.norm = new LayerNorm(width);
		this.attention = new MultiheadAttention(width, 2);
		this.up = new Linear(width, 3 * width);
		const base = new Linear(3 * width, width);
		base.freeze();
		this.down = new LoRALinear(base, loraConfig({ r: 2, target_modules: "all-linear" }));
	}

	/** The loss of a record. */
	loss({ x, ids, next }: Row, dropout?: DropoutKey): Tensor {
		const given = add(this.words.call(ids), reshape(this.features.call(x), [1, -1]));
		const seen = add(given, this.attention.call(this.norm.call(given)));
		const hidden = checkpoint((h) => add(h, this.down.call(gelu(this.up.call(h)))), [this.drop.call(seen, dropout)]);
		return mean(linearCrossEntropy(hidden, this.words.weight.value, next, { softcap: 5 }));
	}
}

const VOCAB = 53;
const WIDTH = 6;
const TOKENS = 7;
/** The records of each step: more and fewer than fit whole physical batches, and none. */
const STEPS = [[0, 1, 2, 3, 4, 5, 6], [], [7, 1, 8], [2, 9, 4, 6, 0]];

/** A record whose gradient is not finite. */
const BROKEN = 9;

const encode = (i: number) => {
	const k = foldIn(key(5), i);
	const words = (seed: number) => Int32Array.from(uniformValues(foldIn(k, seed), TOKENS), (u) => Math.floor(u * VOCAB));
	// Texts of several lengths: the rest is left out of the loss.
	const next = words(2).fill(-100, 1 + (i % TOKENS));
	return { x: uniformValues(foldIn(k, 3), 5).map((v) => (i === BROKEN ? Number.NaN : 2 * v - 1)), ids: words(1), next };
};

/** A run of a few steps: what each summed, and where the parameters end. */
async function run(d: Device, gradients: GradientMode | undefined, physicalBatchSize: number) {
	const net = new Network(VOCAB, WIDTH);
	initializeAll(net, d);
	const told: Transcript[] = [];
	const optimizer = new AdamW(net.trainableParameters(), { lr: 0.01 });
	const engine = PrivacyEngine.makePrivate({
		optimizer,
		model: net,
		datasetSize: 40,
		expectedBatchSize: 10,
		noiseMultiplier: 1,
		targetDelta: 1e-3,
		steps: STEPS.length,
		maxGradNorm: 0.5,
		physicalBatchSize,
		gradients,
		noise: research({ seed: 4, batches: (step) => STEPS[step - 1], transcript: (t) => told.push(t) }),
	});
	const notFinite: number[] = [];
	for (const _ of STEPS) notFinite.push((await engine.step<Row>(encode, (row, dropout) => net.loss(row, dropout))).notFinite);
	const parameters = await data(optimizer.vector.tensor);
	optimizer.dispose();
	net.dispose();
	return { told: told.map(({ factors, sum, mean }) => ({ factors, sum, mean })), notFinite, parameters };
}

/** Values for all, B of LoRA away from zero. */
function initializeAll(net: Network, d: Device): void {
	net.down.init(d, key(1));
	net.down.lora_B.weight.assign(normal(d, net.down.lora_B.weight.shape, key(2)));
	initialize(net, d, key(3));
}

describe("streamed gradients of single records", () => {
	it("give the factors, sums and parameters of held ones, bit for bit, whatever the split", async () => {
		const whole = await run(device(), "instantiated", 10);
		expect(whole.told.map((t) => t.factors.length)).toEqual(STEPS.map((s) => s.length));
		expect(whole.told.map((t) => [...t.factors].filter((f) => f === 0).length)).toEqual([0, 0, 0, 1]);
		for (const rows of [1, 2, 3, 4, 7, 10]) {
			expect(await run(device(), "streamed", rows), `${rows} rows`).toEqual(whole);
			expect(await run(device(), undefined, rows), `${rows} rows, auto`).toEqual(whole);
		}
	});

	it("do so in many pieces, which begin within rows", async () => {
		const small = await smallDevice(8192);
		const whole = await run(device(), "instantiated", 5);
		for (const rows of [1, 3, 6]) expect(await run(small, "streamed", rows), `${rows} rows`).toEqual(whole);
		// A table of 53 × 6 numbers for 7 records is more than a binding holds.
		await expect(run(small, "instantiated", 7)).rejects.toThrow("exceeds one storage binding");
		expect(await run(small, "auto", 7)).toEqual(whole);
		small.destroy();
	});

	it("train a table whose gradients no binding holds: 65,537 words", async () => {
		const [V, D, B] = [65_537, 4, 12];
		const step = async (physicalBatchSize: number, gradients?: GradientMode) => {
			const small = await smallDevice(1_200_000);
			const words = new Embedding(V, D);
			words.resetParameters(small, key(1));
			const optimizer = new SGD([words.weight], { lr: 0.5 });
			const engine = PrivacyEngine.makePrivate({
				...{ optimizer, model: words, datasetSize: B, expectedBatchSize: B, physicalBatchSize, gradients },
				...{ noiseMultiplier: 1, targetDelta: 1e-3, steps: 1, maxGradNorm: 1, allowMeaninglessEpsilon: true },
				noise: research({ noise: (_, length) => new Float64Array(length) }),
			});
			const one = (i: number) => ({ ids: Int32Array.of(i, V - 1 - i, 9), next: Int32Array.of(V - 1, 7 * i, 2) });
			await engine.step<Pick<Row, "ids" | "next">>(one, ({ ids, next }) => {
				return mean(linearCrossEntropy(words.call(ids), words.weight.value, next));
			});
			const after = await data(optimizer.vector.tensor);
			const { peakBytes } = small.memory();
			small.destroy();
			return { after, peakBytes };
		};
		await expect(step(B, "instantiated")).rejects.toThrow("exceeds one storage binding");
		const { after, peakBytes } = await step(B);
		expect(peakBytes).toBeLessThan(4 * B * V * D);
		expect((await step(1, "instantiated")).after).toEqual(after);
	});

	it("are what the engine makes, and nothing of that form", () => {
		const mechanism = new GaussianMechanism({ length: 4, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 1 });
		device().scope<void>(() => {
			const weights = device().fromHost([1], [1]);
			let asked = 0;
			const small = (from: number, to: number): Tensor => full(device(), [1, to - from], asked++ === 0 ? 1e-3 : 1e3);
			const forged = { columns: 4, together: 4, read: small } as unknown as RecordGradient;
			const sum = mechanism.newSum(device());
			expect(() => sum.add([forged], weights)).toThrow(expect.objectContaining({ code: "call/argument" }));
			expect(() => clip([forged], weights, mechanism)).toThrow(expect.objectContaining({ code: "call/argument" }));
			expect(asked).toBe(0);
			sum.dispose();
		});
	});

	it("are refused where a gradient comes from outside of the private program", async () => {
		for (const gradients of ["streamed", "instantiated"] as const) {
			const { w, engine, optimizer, encode: ofProblem } = problem(device(), { gradients });
			const outside = normal(device(), [OUT], key(1));
			const evil = customVjp({ name: "evil", forward: (y) => ({ value: totalOf(y) }), backward: () => [outside] });
			const loss = ({ x }: { readonly x: Tensor }): Tensor => evil(linear(x, w.value));
			await expect(engine.step(ofProblem, loss)).rejects.toThrow(expect.objectContaining({ code: "privacy/outside-read" }));
			optimizer.dispose();
			outside.dispose();
		}
		expect(() => problem(device(), { gradients: "ghost" as GradientMode })).toThrow(expect.objectContaining({ code: "call/argument" }));
	});
});
