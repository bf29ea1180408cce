import { type Clipping, clip, GaussianMechanism, PrivacyEngine, planPrivacy, research, type Transcript } from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import { add, data, key, mul, sum, type Tensor, uniformValues } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, relativeError } from "../support/goldens.ts";
import { encode, golden, network } from "./opacusNetwork.ts";
import { problem } from "./problem.ts";

const device = useDevice();

interface Clippings {
	readonly norms: readonly number[];
	readonly L: number;
	readonly batches: readonly (readonly number[])[];
	readonly noise: readonly (readonly number[])[];
	readonly perLayer: readonly { readonly sum: readonly number[]; readonly weights: readonly number[] }[];
}
const opacus = goldenJson<Clippings>("opacus_clipping.json");

const random = (seed: number, length: number, scale: number): Float32Array =>
	uniformValues(key(seed), length).map((v) => scale * (2 * v - 1));
const normOf = (g: Iterable<number>): number => Math.hypot(...g);

/** The sums of single records, in units of the gradient, and the count of what is not finite: what each moves a sum by. */
async function sumsOf(records: readonly (readonly Float32Array[])[], C: number, clipping: Clipping) {
	const length = records[0].reduce((n, g) => n + g.length, 0);
	const mechanism = new GaussianMechanism({ length, maxGradNorm: C, noiseMultiplier: 1, expectedBatchSize: 1, clipping });
	const sums: Float64Array[] = [];
	for (const record of records) {
		const total = mechanism.newSum(device());
		device().scope(() => {
			total.add(
				record.map((g) => device().fromHost(g, [1, g.length])),
				device().fromHost(Float32Array.of(1), [1]),
			);
		});
		sums.push((await total.read()).map((v) => v * mechanism.grid));
		total.dispose();
	}
	return { sums, mechanism };
}

describe("per-layer clipping", () => {
	it("is Opacus' own: clipped sums and weights of 12 steps", async () => {
		const net = network(device());
		const told: Transcript[] = [];
		const engine = PrivacyEngine.makePrivate({
			optimizer: new SGD(net.trainableParameters(), { lr: 0.2 }),
			datasetSize: golden.records.length,
			expectedBatchSize: opacus.L,
			physicalBatchSize: 4,
			noiseMultiplier: 1.3,
			maxGradNorm: normOf(opacus.norms),
			clipping: { kind: "perLayer", weights: opacus.norms },
			targetDelta: 1e-3,
			steps: opacus.batches.length,
			noise: research({
				batches: (step) => opacus.batches[step - 1],
				noise: (step) => opacus.noise[step - 1],
				transcript: (t) => told.push(t),
			}),
		});
		for (const [s, step] of opacus.perLayer.entries()) {
			await engine.step(encode, (record: { readonly x: Tensor; readonly y: Tensor }) => net.loss(record));
			expect(told[s].factors.length).toBe(4 * opacus.L);
			expect(relativeError(told[s].sum, step.sum)).toBeLessThan(3e-5);
			expect(relativeError(await net.weights(), step.weights)).toBeLessThan(3e-6 * (s + 1));
		}
		expect(told.flatMap((t) => [...t.factors]).filter((f) => f < 1).length).toBeGreaterThan(100);
		expect(engine.statement()).toContain("clipped parameter by parameter, to C_k with Σ C_k² = C², C = 0.70");
	});

	it("brings each part to its own norm, and the whole to no more than the sensitivity", async () => {
		const sizes = [1, 300, 70_000, 5];
		for (const weights of [undefined, [1, 2, 3, 4], [1, 1e-4, 1, 5]]) {
			const w = weights ?? [1, 1, 1, 1];
			const C = 0.37;
			const records = [1e-3, 0.01, 1, 1e4].map((scale, r) => sizes.map((n, k) => random(10 * r + k, n, scale)));
			const { sums, mechanism } = await sumsOf(records, C, { kind: "perLayer", weights });
			records.forEach((record, r) => {
				expect(normOf(sums[r])).toBeLessThanOrEqual(mechanism.sensitivity);
				let at = 0;
				record.forEach((g, k) => {
					const norm = (C * w[k]) / normOf(w);
					const factor = Math.min(1, norm / Math.sqrt(g.reduce((s, v) => s + v * v, 0)));
					const own = sums[r].subarray(at, at + g.length);
					// f32, and half a grid step a coordinate
					const error = own.reduce((e, v, i) => Math.max(e, Math.abs(v - factor * g[i])), 0);
					expect(error).toBeLessThan(5e-7 * norm + mechanism.grid);
					at += g.length;
				});
			});
		}
	});

	it("moves a sum by the sensitivity at most, where every part is at its norm and every coordinate rounds up", async () => {
		for (const [C, K] of [
			[1, 3],
			[0.7, 16],
			[1e-3, 7],
		] as const) {
			const n = 1000;
			const { grid } = new GaussianMechanism({ length: K * n, maxGradNorm: C, noiseMultiplier: 1, expectedBatchSize: 1 });
			const each = (Math.floor(C / Math.sqrt(K * n) / grid - 0.5) + 0.5) * grid;
			const record = Array.from({ length: K }, () => new Float32Array(n).fill(each));
			const { sums, mechanism } = await sumsOf([record, record.map((g) => g.map((v) => 3 * v))], C, { kind: "perLayer" });
			for (const total of sums) {
				expect(normOf(total)).toBeLessThanOrEqual(mechanism.sensitivity);
				expect(normOf(total)).toBeGreaterThan(C * (1 - 1e-4));
			}
		}
	});

	it("adds nothing but its count of a record with one part that is not finite", async () => {
		const record = [random(1, 5, 1), Float32Array.of(1, Number.NaN, 1), random(2, 4, 1)];
		const { sums, mechanism } = await sumsOf([record, [random(3, 5, 1), random(4, 3, 1), Float32Array.of(0, 0, 0, 1e30)]], 1, {
			kind: "perLayer",
		});
		for (const total of sums) {
			expect([...total.subarray(0, 12)]).toEqual(new Array(12).fill(0));
			expect(total[12]).toBe(mechanism.countSteps * mechanism.grid);
		}
	});

	it("gives the norm of all parts together", async () => {
		const parts = [random(1, 700, 1), random(2, 3, 5)];
		const { norms, factors } = device().scope(() =>
			clip(
				parts.map((g) => device().fromHost(g, [1, g.length])),
				device().fromHost(Float32Array.of(1), [1]),
				{ maxGradNorm: 2, grid: 2 ** -21, clipping: { kind: "perLayer" } },
			),
		);
		expect(factors.shape).toEqual([1, 2]);
		expect(Math.abs((await data(norms))[0] / normOf(parts.flatMap((g) => [...g])) - 1)).toBeLessThan(5e-7);
		norms.dispose();
		factors.dispose();
	});

	it("takes weights above 0 of a size that f32 can tell, as many as there are parameters, whatever becomes of the list", () => {
		const options = { targetDelta: 1e-3, datasetSize: 40, expectedBatchSize: 10, noiseMultiplier: 1, steps: 2, maxGradNorm: 1 };
		const plan = (weights: unknown) =>
			planPrivacy({ ...options, clipping: { kind: "perLayer", weights: weights as number[] }, allowMeaninglessEpsilon: true });
		for (const bad of [[], [0], [1, -1], [1, Number.NaN], [1, Number.POSITIVE_INFINITY], ["1"], [1, 2 ** -17], 3, "1", null]) {
			expect(() => plan(bad)).toThrow(expect.objectContaining({ name: "ValueError" }));
		}
		const ones = device().fromHost([1], [1]);
		for (const weights of [[1, 1], [-1], [Number.NaN], ["1"]] as number[][]) {
			const settings = { maxGradNorm: 1, grid: 2 ** -21, clipping: { kind: "perLayer", weights } } as const;
			expect(() => clip([device().fromHost([1, 2], [1, 2])], ones, settings)).toThrow(expect.objectContaining({ code: "dp/weights" }));
		}
		fc.assert(
			fc.property(fc.array(fc.double({ min: 1e-3, max: 1, noNaN: true }), { minLength: 1, maxLength: 40 }), (weights) => {
				expect(plan(weights).clipping).toEqual({ kind: "perLayer", weights });
			}),
			{ numRuns: 20, seed: 3 },
		);
		const mine = [1, 2];
		const { clipping } = plan(mine);
		mine[0] = Number.NaN;
		expect(clipping).toEqual({ kind: "perLayer", weights: [1, 2] });
		expect(Object.isFrozen(clipping) && Object.isFrozen((clipping as { weights: unknown }).weights)).toBe(true);
		expect(() => PrivacyEngine.follow(plan([1, 2]), problem(device()))).toThrow("weights must be one for each of 1 trained parameters");
	});

	it("goes by parameters: a step on a large one leaves the other as it is", async () => {
		const [a, b] = [3, 2].map((n, i) => {
			const p = new Parameter([n]);
			p.assign(device().fromHost(random(i + 1, n, 1), [n]));
			return p;
		});
		let told: Transcript | undefined;
		const engine = PrivacyEngine.makePrivate({
			optimizer: new SGD([a, b], { lr: 0.1 }),
			...{ targetDelta: 1e-3, datasetSize: 40, expectedBatchSize: 10, noiseMultiplier: 1, steps: 1, maxGradNorm: 1 },
			clipping: { kind: "perLayer" },
			noise: research({
				batches: () => [0],
				noise: (_, length) => new Float64Array(length),
				transcript: (t) => {
					told = t;
				},
			}),
		});
		await engine.stepOn(
			[0],
			() => ({ x: Float32Array.of(100, 0, 0), y: Float32Array.of(0.1, 0.2) }),
			({ x, y }) => add(sum(mul(x, a.value)), sum(mul(y, b.value))),
		);
		const expected = [Math.SQRT1_2, 0, 0, 0.1, 0.2];
		told?.sum.forEach((v, i) => expect(Math.abs(v - expected[i])).toBeLessThan(1e-6));
		expect(told?.factors).toHaveLength(2);
	});
});
