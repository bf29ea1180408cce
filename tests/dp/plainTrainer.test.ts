import { PlainTrainer, type PlainTrainerOptions, PrivacyEngine, recordKey } from "@hushgrad/dp";
import { AdamW, Dropout, Linear, Module, SGD } from "@hushgrad/nn";
import {
	crossEntropy,
	type Device,
	DropoutKey,
	data,
	div,
	foldIn,
	gelu,
	key,
	log,
	mean,
	mul,
	normalValues,
	permutation,
	sqrt,
	stack,
	sub,
	sum,
	type Tensor,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { fill } from "../nn/parameters.ts";
import { useDevice } from "../support/device.ts";
import { relativeError } from "../support/goldens.ts";
import { leftBehind, NOTHING, weight } from "./problem.ts";

const device = useDevice();
const WIDTH = 6;
const CLASSES = 3;
const N = 14;
const BATCH = 5;
const STEPS = 6;

class Net extends Module {
	readonly up = new Linear(WIDTH, 8, { bias: false });
	readonly drop = new Dropout(0.25);
	readonly down = new Linear(8, CLASSES);

	forward(x: Tensor, dropout?: DropoutKey): Tensor {
		return this.down.call(this.drop.call(gelu(this.up.call(x)), dropout));
	}
}

const encode = (i: number) => ({
	x: normalValues(foldIn(key(3), i), WIDTH),
	label: { values: [i % CLASSES], shape: [], dtype: "i32" as const },
});

const lossOf =
	(net: Net) =>
	({ x, label }: { readonly x: Tensor; readonly label: Tensor }, dropout?: DropoutKey): Tensor =>
		crossEntropy(net.call(x, dropout), label);

/** The values of a net after some steps of a trainer, and the losses on the way. */
async function trained(d: Device, options: Partial<PlainTrainerOptions> = {}) {
	const net = fill(new Net(), d);
	const trainer = new PlainTrainer({
		optimizer: new AdamW(net.trainableParameters(), { lr: 0.05 }),
		datasetSize: N,
		batchSize: BATCH,
		...options,
	});
	const losses: number[] = [];
	for (let i = 1; i <= STEPS; i++) {
		const { step, loss } = await trainer.step(encode, lossOf(net));
		expect(step).toBe(i);
		losses.push(loss);
	}
	return { losses, values: await valuesOf(net) };
}

async function valuesOf(net: Net): Promise<number[]> {
	const all = await Promise.all([...net.trainableParameters().values()].map((p) => data(p.value)));
	return all.flatMap((v) => [...v]);
}

/** The same by hand: shuffle, take the first records, differentiate the mean loss of the batch, step. */
async function byHand(d: Device, seed = 0) {
	const net = fill(new Net(), d);
	const parameters = [...net.trainableParameters().values()];
	const optimizer = new AdamW(parameters, { lr: 0.05 });
	const losses: number[] = [];
	for (let step = 1; step <= STEPS; step++) {
		const stepKey = foldIn(key(seed), step);
		const records = [...permutation(N, foldIn(stepKey, 0))].slice(0, BATCH);
		const value = d.scope<Tensor>(() => {
			const x = stack(records.map((i) => d.fromHost(encode(i).x, [WIDTH])));
			const label = d.fromHost(
				records.map((i) => i % CLASSES),
				[BATCH],
				"i32",
			);
			const keys = records.map((i) => recordKey(stepKey, encode(i)));
			const words = d.fromHost(Uint32Array.from(keys.flatMap(({ k0, k1 }) => [k0, k1])), [BATCH, 2]);
			const loss = vmap((own: Tensor, l: Tensor, w: Tensor) => lossOf(net)({ x: own, label: l }, new DropoutKey(w)));
			const { value, grads } = valueAndGrad(() => mean(loss(x, label, words)), parameters);
			optimizer.step(grads);
			return value;
		});
		losses.push((await data(value))[0]);
		value.dispose();
	}
	return { losses, values: await valuesOf(net) };
}

describe("PlainTrainer", () => {
	it.each([BATCH, 8, 2, 1])("equals a hand-written loop over batches, in physical batches of %i", async (physicalBatchSize) => {
		const [own, expected] = [await trained(device(), { physicalBatchSize }), await byHand(device())];
		// Sums of five losses in another order.
		expect(relativeError(own.losses, expected.losses)).toBeLessThan(1e-6);
		expect(relativeError(own.values, expected.values)).toBeLessThan(1e-5);
		expect(own.losses[0]).not.toBe(own.losses[1]);
	});

	it("shuffles and drops by its key", async () => {
		const [first, again, other] = [await trained(device()), await trained(device()), await trained(device(), { key: key(1) })];
		expect(first).toEqual(again);
		expect(other.losses[0]).not.toBe(first.losses[0]);
		expect(relativeError(other.losses, (await byHand(device(), 1)).losses)).toBeLessThan(1e-6);
	});

	it("goes on after steps that were taken before, bit for bit", async () => {
		const whole = await trained(device());
		const net = fill(new Net(), device());
		const optimizer = new AdamW(net.trainableParameters(), { lr: 0.05 });
		const trainerAfter = (stepsTaken: number) => new PlainTrainer({ optimizer, datasetSize: N, batchSize: BATCH, stepsTaken });
		const [first, rest] = [trainerAfter(0), trainerAfter(2)];
		for (let i = 0; i < 2; i++) await first.step(encode, lossOf(net));
		for (let i = 2; i < STEPS; i++) expect((await rest.step(encode, lossOf(net))).step).toBe(i + 1);
		expect(await valuesOf(net)).toEqual(whole.values);
	});

	it("takes the same two functions as the engine, and without noise and clipping the same steps", async () => {
		const net = fill(new Net(), device());
		const engine = PrivacyEngine.makePrivateWithEpsilon({
			optimizer: new SGD(net.trainableParameters(), { lr: 0.1 }),
			datasetSize: N,
			expectedBatchSize: N,
			targetEpsilon: 1e8,
			allowMeaninglessEpsilon: true,
			targetDelta: 1e-3,
			steps: 2,
			maxGradNorm: 100,
		});
		const loss = lossOf(net);
		const without = ({ x, label }: { readonly x: Tensor; readonly label: Tensor }): Tensor => loss({ x, label });
		await engine.step(encode, without);
		const plain = fill(new Net(), device());
		const trainer = new PlainTrainer({ optimizer: new SGD(plain.trainableParameters(), { lr: 0.1 }), datasetSize: N, batchSize: N });
		const plainLoss = lossOf(plain);
		await trainer.step(encode, ({ x, label }: { readonly x: Tensor; readonly label: Tensor }) => plainLoss({ x, label }));
		const { noiseMultiplier } = engine.plan;
		const [a, b] = [await valuesOf(net), await valuesOf(plain)];
		// Noise of sigma C / N, seven deviations of it, and rounding to C 2^-20 steps, times the rate.
		const bound = 0.1 * ((7 * noiseMultiplier * 100) / N + 100 / 2 ** 20) + 1e-6;
		a.forEach((v, i) => expect(Math.abs(v - b[i])).toBeLessThan(bound));
		expect(a).not.toEqual(await valuesOf(fill(new Net(), device())));
	});

	it("hands no padding to the loss: one that is infinite or NaN at zeros trains", async () => {
		const w = weight(device());
		const trainer = new PlainTrainer({ optimizer: new SGD([w], { lr: 0.1 }), datasetSize: 3, batchSize: 3, physicalBatchSize: 8 });
		const { loss } = await trainer.step(
			(i) => ({ positive: i + 1 }),
			({ positive }: { readonly positive: Tensor }) => div(mul(sum(w.value), 2), log(mul(positive, 5))),
		);
		expect(Number.isFinite(loss)).toBe(true);
		expect((await data(w.value)).every(Number.isFinite)).toBe(true);
	});

	it.each<[string, string, (w: Tensor, x: Tensor) => Tensor]>([
		["a loss that is NaN", "trainer/not-finite", (w, x) => log(sub(sum(w), sum(x)))],
		["a loss that is infinite", "trainer/not-finite", (w, x) => div(sum(w), mul(sum(x), 0))],
		// sqrt(0) is finite, its derivative is not.
		["a gradient that is infinite", "numeric/not-finite", (w) => sqrt(mul(sum(w), 0))],
	])("stops at %s, and leaves parameters and optimiser as they were", async (_, code, loss) => {
		const w = weight(device());
		const optimizer = new AdamW([w], { lr: 0.1 });
		const trainer = new PlainTrainer({ optimizer, datasetSize: 3, batchSize: 3, physicalBatchSize: 2 });
		const encode = (i: number) => ({ x: Float32Array.of(1e6 + i) });
		await trainer.step(encode, ({ x }: { readonly x: Tensor }) => mul(sum(w.value), 1 / 1024 / x.size));
		const before = await data(w.value);
		const left = await leftBehind(device(), async () => {
			await expect(trainer.step(encode, ({ x }: { readonly x: Tensor }) => loss(w.value, x))).rejects.toMatchObject({
				name: "NumericError",
				code,
			});
		});
		expect(left).toEqual(NOTHING);
		expect(await data(w.value)).toEqual(before);
		expect((await data(optimizer.vector.tensor)).every(Number.isFinite)).toBe(true);
		// The moments are untouched, too: the next step is that of a run in which the bad one never was.
		await trainer.step(encode, ({ x }: { readonly x: Tensor }) => mul(sum(w.value), 1 / 1024 / x.size));
		expect((await data(w.value)).every(Number.isFinite)).toBe(true);
	});

	it("keeps memory exactly flat", async () => {
		const net = fill(new Net(), device());
		const trainer = new PlainTrainer({
			optimizer: new AdamW(net.trainableParameters(), { lr: 0.05 }),
			datasetSize: N,
			batchSize: BATCH,
			physicalBatchSize: 2,
		});
		await trainer.step(encode, lossOf(net));
		const left = await leftBehind(device(), async () => {
			for (let i = 0; i < 20; i++) await trainer.step(encode, lossOf(net));
		});
		expect(left).toEqual(NOTHING);
	});

	it("refuses batches that it cannot draw, and losses and records as the engine does", async () => {
		const w = weight(device());
		const make = (options: Partial<PlainTrainerOptions>) =>
			new PlainTrainer({ optimizer: new SGD([w], { lr: 0.1 }), datasetSize: N, batchSize: BATCH, ...options });
		const optimizer = new SGD([w], { lr: 0.1 });
		for (const batchSize of [0, N + 1, 2.5, Number.NaN]) {
			expect(() => make({ optimizer, batchSize })).toThrow(expect.objectContaining({ code: "trainer/batch" }));
		}
		for (const physicalBatchSize of [0, -1, 1.5]) {
			expect(() => make({ optimizer, physicalBatchSize })).toThrow(expect.objectContaining({ code: "dp/physicalBatchSize" }));
		}
		const trainer = make({ optimizer, physicalBatchSize: BATCH });
		const x = (i: number) => ({ x: Float32Array.of(i, 1, 2, 3, 4) });
		const before = await data(w.value);
		const left = await leftBehind(device(), async () => {
			const losses: readonly ((r: { readonly x: Tensor }) => unknown)[] = [
				() => undefined,
				() => 3,
				async () => sum(w.value),
				({ x: own }) => own,
				() => sum(w.value, [0]),
				({ x: own }) => sum(own),
			];
			for (const loss of losses) {
				await expect(trainer.step(x, loss as (r: { readonly x: Tensor }) => Tensor)).rejects.toMatchObject({ code: "privacy/loss" });
			}
			const ragged = (i: number) => ({ x: new Float32Array(i + 1) });
			await expect(trainer.step(ragged, () => sum(w.value))).rejects.toMatchObject({ code: "record/form" });
		});
		expect(left).toEqual(NOTHING);
		expect(await data(w.value)).toEqual(before);
	});
});
