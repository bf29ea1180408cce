import {
	type AdaptiveClipping,
	type EngineState,
	GaussianMechanism,
	insecureNoiseForTests,
	PrivacyEngine,
	planPrivacy,
	research,
	type Transcript,
} from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import { data, mul, sum, type Tensor, zeros } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { nextNorm, sumMultiplier } from "../../packages/dp/src/clip/adaptive.ts";
import { StepNoise } from "../../packages/dp/src/stepNoise.ts";
import { useDevice } from "../support/device.ts";
import { goldenJson, relativeError } from "../support/goldens.ts";
import { encode, golden, network } from "./opacusNetwork.ts";
import { lossBy, problem, record, weight } from "./problem.ts";
import { moment } from "./statistics.ts";

const device = useDevice();

interface Clippings {
	readonly L: number;
	readonly batches: readonly (readonly number[])[];
	readonly noise: readonly (readonly number[])[];
	readonly adaptive: readonly { readonly sum: readonly number[]; readonly weights: readonly number[]; readonly norm: number }[];
	readonly multipliers: readonly (readonly [number, number, number])[];
}
const opacus = goldenJson<Clippings>("opacus_clipping.json");
const ADAPTIVE: AdaptiveClipping = {
	kind: "adaptive",
	targetUnclippedQuantile: 0.6,
	clipboundLearningRate: 0.2,
	unclippedNumStd: 0.9,
	minClipbound: 0.1,
	maxClipbound: 6,
};
const PLAN = { targetDelta: 1e-4, datasetSize: 100, expectedBatchSize: 50, noiseMultiplier: 1, steps: 4, maxGradNorm: 1 };
const mechanismOf = (clipping: AdaptiveClipping, length = 3, noiseMultiplier = 1) =>
	new GaussianMechanism({ length, maxGradNorm: 0.7, noiseMultiplier, expectedBatchSize: 50, clipping });

/** A weight of zeros, and records that are its gradients. */
function linear(length: number) {
	const w = new Parameter([length]);
	w.assign(zeros(device(), [length]));
	const loss = ({ x }: { readonly x: Tensor }): Tensor => sum(mul(x, w.value));
	return { optimizer: new SGD([w], { lr: 0 }), loss };
}

describe("adaptive clipping", () => {
	it("is Opacus' own with given noise: sums, weights and clipping norms of 12 steps", async () => {
		const net = network(device());
		const told: Transcript[] = [];
		const engine = PrivacyEngine.makePrivate({
			optimizer: new SGD(net.trainableParameters(), { lr: 0.2 }),
			datasetSize: golden.records.length,
			expectedBatchSize: opacus.L,
			physicalBatchSize: 4,
			noiseMultiplier: 1.3,
			maxGradNorm: 2,
			clipping: ADAPTIVE,
			targetDelta: 1e-3,
			steps: opacus.batches.length,
			noise: research({
				batches: (step) => opacus.batches[step - 1],
				noise: (step) => opacus.noise[step - 1],
				transcript: (t) => told.push(t),
			}),
		});
		let norm = 2;
		for (const [s, step] of opacus.adaptive.entries()) {
			const report = await engine.step(encode, (record: { readonly x: Tensor; readonly y: Tensor }) => net.loss(record));
			expect(report.maxGradNorm).toBe(norm);
			norm = engine.state().maxGradNorm as number;
			// Opacus keeps C in f32.
			expect(Math.abs(norm / step.norm - 1)).toBeLessThan(1e-6);
			expect(relativeError(told[s].sum, step.sum)).toBeLessThan(1e-5);
			expect(relativeError(await net.weights(), step.weights)).toBeLessThan(2e-6 * (s + 1));
		}
		expect(new Set(told.flatMap((t) => [...t.factors].map((f) => f === 1))).size).toBe(2);
	});

	it("has Opacus' noise multiplier of the sum, and with the count that of the plan", () => {
		for (const [sigma, std, expected] of opacus.multipliers) {
			expect(Math.abs(sumMultiplier(sigma, std) / expected - 1)).toBeLessThan(1e-14);
			expect(sumMultiplier(sigma, std) ** -2 + (2 * std) ** -2).toBeCloseTo(sigma ** -2, 12);
		}
		expect(sumMultiplier(0, 1)).toBe(0);
		// Close to σ/2, where σ⁻² − (2 σ_b)⁻² cancels.
		expect(Math.abs(sumMultiplier(1, 0.5 + 2 ** -40) / 2 ** 19 - 1)).toBeLessThan(1e-9);
	});

	it("adds noise of σ_Δ·sensitivity to the sum, of σ_b records to the count", () => {
		const length = 5;
		const m = mechanismOf({ kind: "adaptive", unclippedNumStd: 1.7 }, length, 1.5);
		const source = insecureNoiseForTests(4);
		const draws = 40_000;
		const counts: number[] = [];
		const coordinates: number[] = [];
		for (let i = 0; i < draws; i++) {
			const { mean, unclipped } = m.release(new Float64Array(length + 2), m.draw(source));
			counts.push(unclipped as number);
			coordinates.push(mean[i % length] * 50);
		}
		const deviation = (values: number[]): number => Math.sqrt(moment(Float64Array.from(values), 2));
		// 5 standard errors, 1/√(2 n) each
		expect(Math.abs(deviation(counts) / 1.7 - 1)).toBeLessThan(5 / Math.sqrt(2 * draws));
		expect(Math.abs(deviation(coordinates) / (sumMultiplier(1.5, 1.7) * m.sensitivity) - 1)).toBeLessThan(5 / Math.sqrt(2 * draws));
	});

	it("lets no record move sum and count together by more than 1/σ of their noise", async () => {
		const sigma = 1.3;
		const m = mechanismOf({ kind: "adaptive", unclippedNumStd: 0.8 }, 3, sigma);
		const C = m.maxGradNorm;
		const records: readonly (readonly [number[], number])[] = [
			[[0, 0, 0], 0.5],
			[[0.1, -0.2, 0.1], 0.5],
			[[C, 0, 0], 0.5],
			[[C * (1 + 1e-5), 0, 0], -0.5],
			[[5, -7, 1], -0.5],
			[[1e15, 0, 0], -0.5],
			[[Number.NaN, 0, 0], 0],
			[[0, Number.POSITIVE_INFINITY, 1], 0],
			[[1e30, 0, 0], 0],
		];
		for (const [gradient, vote] of records) {
			const total = m.newSum(device());
			device().scope(() => {
				// A row of padding beside it has no vote.
				total.add([device().fromHost([...gradient, 9, 9, 9], [2, 3])], device().fromHost([1, 0], [2]));
			});
			const steps = await total.read();
			total.dispose();
			expect(steps).toHaveLength(5);
			const count = steps[4] / (2 * m.countSteps);
			expect(count).toBe(vote);
			const moved = Math.hypot(...steps.subarray(0, 4)) * m.grid;
			const inNoise = Math.hypot(moved / (m.sumNoiseMultiplier * m.sensitivity), count / 0.8);
			expect(inNoise * sigma).toBeLessThanOrEqual(1);
		}
	});

	it("shows a record by sum and count together no better than σ allows: the best test of both, on 40,000 releases", () => {
		const sigma = 1.3;
		const m = mechanismOf({ kind: "adaptive", unclippedNumStd: 0.8 }, 1, sigma);
		const source = insecureNoiseForTests(9);
		// A record at its norm that was not clipped.
		const one = Float64Array.of(Math.floor(m.maxGradNorm / m.grid), 0, m.countSteps);
		const scoreOf = (sum: Float64Array): number => {
			const { mean, unclipped } = m.release(sum, m.draw(source));
			return (mean[0] * 50 * m.maxGradNorm) / (m.sumNoiseMultiplier * m.sensitivity) ** 2 + (0.5 * (unclipped as number)) / 0.8 ** 2;
		};
		const draws = 20_000;
		const included = Float64Array.from({ length: draws }, () => scoreOf(one));
		const excluded = Float64Array.from({ length: draws }, () => scoreOf(new Float64Array(3)));
		const centre = moment(included, 1) - moment(excluded, 1);
		const deviation = Math.sqrt(moment(excluded, 2) - moment(excluded, 1) ** 2);
		// μ = 1/σ; 5 standard errors
		expect(Math.abs(centre / deviation - 1 / sigma)).toBeLessThan(5 * Math.sqrt(2 / draws));
	});

	it("moves C by the records of a batch and L, whatever the batch holds: one record more is half a vote", async () => {
		const xs = [0.1, 0.5, 0.9, 2, 3, 4, 5];
		const noiseless = (batch: readonly number[]) => research({ batches: () => batch, noise: (_, length) => new Float64Array(length) });
		const nextOf = async (batch: readonly number[]) => {
			const { optimizer, loss } = linear(1);
			const engine = PrivacyEngine.makePrivate({ ...PLAN, optimizer, clipping: { kind: "adaptive" }, noise: noiseless(batch) });
			const { unclipped } = await engine.step((i) => ({ x: Float32Array.of(xs[i]) }), loss);
			return { votes: ((unclipped as number) - 0.5) * 50, norm: engine.state().maxGradNorm as number };
		};
		const all = await nextOf([0, 1, 2, 3, 4, 5, 6]);
		const without = await nextOf([0, 1, 2, 3, 4, 5]);
		const small = await nextOf([1, 2, 3, 4, 5, 6]);
		expect([all, without, small].map(({ votes }) => Math.round(votes * 1e9) / 1e9)).toEqual([-0.5, 0, -1]);
		for (const { votes, norm } of [all, without, small]) expect(Math.abs(Math.log(norm) - (-0.2 * votes) / 50)).toBeLessThan(1e-12);
		expect((await nextOf([])).norm).toBe(1);
	});

	it("comes to the quantile of the norms, and stays within its bounds", async () => {
		const { optimizer, loss } = linear(2);
		const [N, steps] = [100, 120];
		const engine = PrivacyEngine.makePrivate({
			...{ ...PLAN, datasetSize: N, expectedBatchSize: N, noiseMultiplier: 2, steps, maxGradNorm: 0.1 },
			physicalBatchSize: N,
			optimizer,
			clipping: { kind: "adaptive", targetUnclippedQuantile: 0.3, clipboundLearningRate: 0.4 },
			noise: insecureNoiseForTests(5),
			allowMeaninglessEpsilon: true,
		});
		const path: number[] = [];
		for (let i = 0; i < steps; i++) {
			// Norms 1/10, 2/10 … 10
			path.push((await engine.step((r) => ({ x: Float32Array.of((r + 1) / 10, 0) }), loss)).maxGradNorm);
		}
		for (const norm of path.slice(-20)) expect(Math.abs(norm - 3)).toBeLessThan(0.6);
		const clipping = { ...ADAPTIVE, kind: "adaptive" } as const;
		const bounded = planPrivacy({ ...PLAN, clipping, maxGradNorm: 2 }).clipping as Required<AdaptiveClipping>;
		expect(nextNorm(2, 1e6, bounded as never, 50)).toBe(0.1);
		expect(nextNorm(2, -1e6, bounded as never, 50)).toBe(6);
	});

	it("goes on from a saved state with the norm that it had come to, bit for bit where the noise repeats", async () => {
		const options = {
			clipping: { kind: "adaptive", unclippedNumStd: 3 } as const,
			noise: insecureNoiseForTests(6),
			steps: 6,
		};
		const whole = problem(device(), options);
		const stopped = problem(device(), options);
		for (let i = 0; i < 6; i++) await whole.engine.step(whole.encode, whole.loss);
		for (let i = 0; i < 3; i++) await stopped.engine.step(stopped.encode, stopped.loss);
		const state = JSON.parse(JSON.stringify(stopped.engine.state())) as EngineState;
		expect(state.maxGradNorm).not.toBe(1);
		const w = weight(device());
		w.assign(device().fromHost(await data(stopped.w.value), w.shape));
		const again = { ...options, optimizer: new SGD([w], { lr: 0.1 }), physicalBatchSize: 7 };
		const engine = PrivacyEngine.fromState(state, stopped.engine.plan, again);
		for (let i = 3; i < 6; i++) await engine.step(record, lossBy(w));
		expect(await data(w.value)).toEqual(await data(whole.w.value));
		expect(engine.state()).toEqual({ ...whole.engine.state(), run: state.run });
		for (const maxGradNorm of [undefined, "1", Number.NaN, 1e-9, 1e9]) {
			const changed = { ...state, maxGradNorm } as EngineState;
			expect(() => PrivacyEngine.fromState(changed, stopped.engine.plan, again)).toThrow(
				expect.objectContaining({ code: "privacy/state" }),
			);
		}
		const flat = problem(device());
		const odd = { ...flat.engine.state(), maxGradNorm: 1 };
		expect(() => PrivacyEngine.fromState(odd, flat.engine.plan, { optimizer: flat.optimizer })).toThrow("has a clipping norm of 1");
	});

	it("has noise that is drawn ahead in the size of its own step", async () => {
		const length = 200_000;
		const { secureNoise } = await import("@hushgrad/dp");
		const source = secureNoise();
		const noise = new StepNoise({ sampling: { kind: "poisson" }, steps: 3 }, source);
		for (const [step, sigma, maxGradNorm] of [
			[1, 1, 0.7],
			[2, 0.5, 3],
			[3, 2, 0.01],
		] as const) {
			const clipping = { kind: "adaptive", unclippedNumStd: 1.2 } as const;
			const m = new GaussianMechanism({ length, maxGradNorm, noiseMultiplier: sigma, expectedBatchSize: 1, clipping });
			const { mean, unclipped } = m.release(new Float64Array(length + 2), await noise.begin(m, source, { step, isLast: step === 3 })());
			expect(Math.abs(Math.sqrt(moment(Float64Array.from(mean), 2)) / (m.sumNoiseMultiplier * m.sensitivity) - 1)).toBeLessThan(0.01);
			expect(Math.abs(unclipped as number)).toBeLessThan(1.2 * 8.6);
			expect(unclipped).not.toBe(0);
		}
	});

	it("costs what σ costs, and says where the noise is", () => {
		const plan = planPrivacy({ ...PLAN, clipping: { kind: "adaptive", unclippedNumStd: 1 } });
		expect(plan.epsilon).toBe(planPrivacy(PLAN).epsilon);
		expect(plan.clipping).toEqual({
			kind: "adaptive",
			targetUnclippedQuantile: 0.5,
			clipboundLearningRate: 0.2,
			unclippedNumStd: 1,
			minClipbound: 1 / 1024,
			maxClipbound: 1024,
		});
		const { optimizer } = linear(1);
		const text = PrivacyEngine.follow(plan, { optimizer }).statement();
		expect(text).toContain("Gaussian noise, σ = 1, on a sum of gradients clipped to C and a count of those that were not, divided by L");
		expect(text).toContain("C = 1 in the first step, then by the noisy count towards the quantile 0.5 of the norms");
		expect(text).toContain("of σ the sum has 1.1547, the count noise of 1 records");
	});

	it("refuses a count that costs more than all, a norm that something else moves, and numbers that mean nothing", () => {
		const plan = (clipping: object, more: object = {}) => planPrivacy({ ...PLAN, clipping: { kind: "adaptive", ...clipping }, ...more });
		expect(() => plan({ unclippedNumStd: 0.5 })).toThrow("unclippedNumStd must be above half of the noise multiplier, 0.5");
		expect(() => plan({}, { expectedBatchSize: 10 })).toThrow(expect.objectContaining({ code: "dp/unclippedNumStd" }));
		// The largest σ of a schedule counts.
		const noiseSchedule = { kind: "listed", factors: [1, 3, 1] } as const;
		expect(() => plan({ unclippedNumStd: 1.4 }, { noiseSchedule })).toThrow("above half of the noise multiplier, 1.5");
		expect(plan({ unclippedNumStd: 1.6 }, { noiseSchedule }).noiseSchedule).toMatchObject(noiseSchedule);
		expect(() => plan({}, { maxGradNormSchedule: { kind: "linear", end: 0.5 } })).toThrow("left out where clipping is adaptive");
		for (const [name, values] of Object.entries({
			targetUnclippedQuantile: [0, 1, -1, Number.NaN, "0.5"],
			clipboundLearningRate: [0, -1, Number.POSITIVE_INFINITY],
			unclippedNumStd: [0, -1, Number.NaN, 1e12],
			minClipbound: [0, 2, 1e-40],
			maxClipbound: [0.5, Number.POSITIVE_INFINITY],
		})) {
			for (const value of values) {
				const make = () => {
					const { clipping } = plan({ [name]: value });
					return new GaussianMechanism({ ...PLAN, length: 1, clipping });
				};
				expect(make, `${name} ${value}`).toThrow(expect.objectContaining({ name: "ValueError" }));
			}
		}
	});
});
