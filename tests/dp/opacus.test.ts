import { PrivacyEngine, research, type Transcript } from "@hushgrad/dp";
import { AdamW, SGD } from "@hushgrad/nn";
import type { Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { relativeError } from "../support/goldens.ts";
import { encode, golden, type Network, network } from "./opacusNetwork.ts";

const device = useDevice();

type Row = { readonly x: Tensor; readonly y: Tensor };
type Name = "sgd" | "momentum" | "adamw";
const OPTIMISERS = {
	sgd: (net: Network) => new SGD(net.trainableParameters(), { lr: 0.2 }),
	momentum: (net: Network) => new SGD(net.trainableParameters(), { lr: 0.1, momentum: 0.9 }),
	adamw: (net: Network) => new AdamW(net.trainableParameters(), { lr: 0.03, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0.05 }),
};

/** What a study of these batches did, step by step. */
async function run(name: Name, batches: readonly (readonly number[])[], physicalBatchSize: number) {
	const net = network(device());
	const transcripts: Transcript[] = [];
	const engine = PrivacyEngine.makePrivate({
		optimizer: OPTIMISERS[name](net),
		datasetSize: golden.records.length,
		expectedBatchSize: golden.L,
		physicalBatchSize,
		noiseMultiplier: 1.3,
		maxGradNorm: golden.C,
		targetDelta: 1e-3,
		steps: batches.length,
		noise: research({
			batches: (step) => batches[step - 1],
			noise: (step) => golden.noise[step - 1],
			transcript: (t) => transcripts.push(t),
		}),
	});
	const weights: number[][] = [];
	for (let step = 0; step < batches.length; step++) {
		await engine.step(encode, (record: Row) => net.loss(record));
		weights.push(await net.weights());
	}
	return { transcripts, weights, engine };
}

/** The gradient of a record in float64, by hand. */
function gradientOf(w: Float64Array, i: number): Float64Array {
	const { x, y } = golden.records[i];
	const [w1, b1, w2, b2] = [w.subarray(0, 40), w.subarray(40, 48), w.subarray(48, 72), w.subarray(72)];
	const h = Array.from(b1, (b, j) => Math.tanh(x.reduce((s, v, k) => s + v * w1[5 * j + k], b)));
	const e = Array.from(b2, (b, o) => 2 * (h.reduce((s, v, j) => s + v * w2[8 * o + j], b) - y[o]));
	const d = h.map((v, j) => e.reduce((s, v2, o) => s + v2 * w2[8 * o + j], 0) * (1 - v * v));
	return Float64Array.from([...d.flatMap((v) => x.map((u) => v * u)), ...d, ...e.flatMap((v) => h.map((u) => v * u)), ...e]);
}

describe("private steps with given batches and noise", () => {
	it.each(["sgd", "momentum", "adamw"] as const)("are Opacus' own: factors, clipped sums and weights of 15 steps with %s", async (name) => {
		const { transcripts, weights } = await run(name, golden.batches, 3);
		const steps = golden.steps[name];
		expect(transcripts.length).toBe(15);
		let clipped = 0;
		for (const [s, { batch, factors, sum: total, noise }] of transcripts.entries()) {
			expect([...batch]).toEqual(golden.batches[s]);
			factors.forEach((f, i) => expect(Math.abs(f - Math.min(1, golden.C / steps[s].norms[i]))).toBeLessThan(2e-6));
			clipped += factors.filter((f) => f < 1).length;
			total.forEach((v, i) => expect(Math.abs(v - steps[s].sum[i])).toBeLessThan(1e-5 * golden.C));
			noise.forEach((v, i) => expect(Math.abs(v - golden.noise[s][i])).toBeLessThanOrEqual(2 ** -23));
			// Weights in f32, after s + 1 steps.
			expect(relativeError(weights[s], steps[s].weights)).toBeLessThan(2e-6 * (s + 1));
		}
		expect(clipped).toBeGreaterThan(50);
		expect(clipped).toBeLessThan(golden.batches.flat().length);
	});

	it("are those of a float64 loop, an empty batch and a full one among them", async () => {
		const batches = [[], [...golden.records.keys()], [7], [], ...golden.batches.slice(4)];
		const { transcripts, weights, engine } = await run("sgd", batches, 5);
		const w = Float64Array.from(golden.start);
		for (const [s, batch] of batches.entries()) {
			const total = new Float64Array(w.length);
			const factors = batch.map((i) => {
				const g = gradientOf(w, i);
				const factor = Math.min(1, golden.C / Math.hypot(...g));
				g.forEach((v, k) => {
					total[k] += factor * v;
				});
				return factor;
			});
			expect(transcripts[s].factors.length).toBe(batch.length);
			factors.forEach((f, i) => expect(Math.abs(f - transcripts[s].factors[i])).toBeLessThan(1e-6));
			total.forEach((v, k) => expect(Math.abs(v - transcripts[s].sum[k])).toBeLessThan(1e-6 * Math.max(1, batch.length) * golden.C));
			w.forEach((v, k) => {
				w[k] = v - (0.2 * (total[k] + golden.noise[s][k])) / golden.L;
			});
			expect(relativeError(weights[s], w)).toBeLessThan(1e-6 * (s + 1));
		}
		expect(engine.statement()).toMatch(/^NOT PRIVATE/);
	});

	it("with sigma 0 and C above all norms are steps of plain training", async () => {
		const net = network(device());
		const engine = PrivacyEngine.makePrivate({
			optimizer: OPTIMISERS.sgd(net),
			datasetSize: 24,
			expectedBatchSize: 24,
			noiseMultiplier: 0,
			maxGradNorm: 1e4,
			targetDelta: 1e-3,
			steps: 3,
			noise: research(),
		});
		const w = Float64Array.from(golden.start);
		for (let step = 0; step < 3; step++) {
			await engine.step(encode, (record: Row) => net.loss(record));
			const g = golden.records.map((_, i) => gradientOf(w, i));
			w.forEach((v, k) => {
				w[k] = v - (0.2 * g.reduce((s, gi) => s + gi[k], 0)) / 24;
			});
		}
		const got = await net.weights();
		// The grid step is C 2⁻²²: 2e-3 of rounding a record at most, in the mean much less.
		expect(relativeError(got, w)).toBeLessThan(1e-3);
		expect(engine.getEpsilon()).toBe(Number.POSITIVE_INFINITY);
	});
});
