import {
	epsilon,
	insecureNoiseForTests,
	PrivacyEngine,
	PrivacyLedger,
	type PrivacyPlan,
	planPrivacy,
	privacyStatement,
	research,
	type Schedule,
	type StepReport,
	secureNoise,
	type Transcript,
} from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import { mul, sum, type Tensor, zeros } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { factorAt } from "../../packages/dp/src/schedule.ts";
import { useDevice } from "../support/device.ts";
import { memory } from "./memoryStore.ts";
import { problem } from "./problem.ts";

const device = useDevice();
const PLAN = { targetDelta: 1e-4, datasetSize: 100, expectedBatchSize: 25, noiseMultiplier: 2, steps: 6, maxGradNorm: 1 };
const planWith = (noiseSchedule: Schedule, more: object = {}): PrivacyPlan =>
	planPrivacy({ ...PLAN, noiseSchedule, allowMeaninglessEpsilon: true, ...more });
const factors = (plan: PrivacyPlan): number[] => Array.from({ length: plan.steps }, (_, i) => factorAt(plan.noiseSchedule, i + 1));

describe("a schedule", () => {
	it("is constant within its stages, and what its kind says from stage to stage", () => {
		expect(factors(planWith({ kind: "exponential", gamma: 0.5 }))).toEqual([1, 0.5, 0.25, 0.125, 0.0625, 0.03125]);
		expect(factors(planWith({ kind: "exponential", gamma: 2, every: 4 }))).toEqual([1, 1, 1, 1, 2, 2]);
		expect(factors(planWith({ kind: "linear", end: 0.5 }))).toEqual([1, 0.9, 0.8, 0.7, 0.6, 0.5].map((f) => expect.closeTo(f, 12)));
		expect(factors(planWith({ kind: "linear", end: 2, every: 4 }))).toEqual([1, 1, 1, 1, 2, 2]);
		expect(factors(planWith({ kind: "linear", end: 2, every: 6 }))).toEqual([1, 1, 1, 1, 1, 1]);
		expect(factors(planWith({ kind: "listed", factors: [1, 3, 2], every: 1 }))).toEqual([1, 3, 2, 2, 2, 2]);
		expect(factors(planWith({ kind: "listed", factors: [1, 0.5], every: 5 }))).toEqual([1, 1, 1, 1, 1, 0.5]);
		expect(factorAt(undefined, 3)).toBe(1);
		// What comes after the run is as its last step.
		expect(factorAt(planWith({ kind: "exponential", gamma: 0.5 }).noiseSchedule, 100)).toBe(0.03125);
	});

	it("is refused unless all of its factors are numbers above 0", () => {
		const bad: readonly unknown[] = [
			null,
			3,
			{},
			{ kind: "cosine" },
			{ kind: "exponential" },
			{ kind: "exponential", gamma: 0 },
			{ kind: "exponential", gamma: 1e-300 },
			{ kind: "exponential", gamma: 1e300 },
			{ kind: "exponential", gamma: 0.5, every: 0 },
			{ kind: "exponential", gamma: 0.5, every: 1.5 },
			{ kind: "linear", end: 0 },
			{ kind: "linear", end: -1 },
			{ kind: "linear", end: Number.POSITIVE_INFINITY },
			{ kind: "listed" },
			{ kind: "listed", factors: [] },
			{ kind: "listed", factors: [2, 1] },
			{ kind: "listed", factors: [1, 0] },
			{ kind: "listed", factors: [1, Number.NaN] },
			{ kind: "listed", factors: [1, "1"] },
		];
		for (const schedule of bad) {
			for (const name of ["noiseSchedule", "maxGradNormSchedule"]) {
				const plan = () => planPrivacy({ ...PLAN, [name]: schedule });
				expect(plan, JSON.stringify(schedule)).toThrow(expect.objectContaining({ name: "ValueError" }));
			}
		}
		expect(() => planPrivacy({ ...PLAN, maxGradNormSchedule: { kind: "exponential", gamma: 2 ** -30 } })).toThrow("2⁻¹⁰⁴");
		const long = { ...PLAN, steps: 1000, noiseSchedule: { kind: "linear", end: 2 } as const, allowMeaninglessEpsilon: true };
		expect(() => planPrivacy(long)).toThrow("one of at most 64 noise multipliers");
	});

	it("stays what it was, whatever becomes of the list", () => {
		const mine = [1, 2];
		const plan = planWith({ kind: "listed", factors: mine });
		mine[1] = 1e-9;
		expect(factors(plan)).toEqual([1, 2, 2, 2, 2, 2]);
		expect(Object.isFrozen(plan.noiseSchedule)).toBe(true);
	});
});

describe("a noise schedule", () => {
	it("is accounted step by step, a stage that has begun no further than it has come", () => {
		const schedules = fc.oneof(
			fc.record({
				kind: fc.constant("exponential" as const),
				gamma: fc.double({ min: 0.7, max: 1.4, noNaN: true }),
				every: fc.integer({ min: 1, max: 4 }),
			}),
			fc.record({
				kind: fc.constant("linear" as const),
				end: fc.double({ min: 0.5, max: 2, noNaN: true }),
				every: fc.integer({ min: 1, max: 4 }),
			}),
		);
		fc.assert(
			fc.property(schedules, fc.integer({ min: 1, max: 6 }), (schedule, taken) => {
				const plan = planWith(schedule);
				const each = Array.from({ length: taken }, (_, i) => ({
					sampleRate: 0.25,
					noiseMultiplier: 2 * factorAt(plan.noiseSchedule, i + 1),
					steps: 1,
				}));
				expect(plan.epsilonAfter(taken) / epsilon(each, { delta: 1e-4 })).toBeCloseTo(1, 3);
			}),
			{ numRuns: 12, seed: 2 },
		);
	});

	it("is accounted for a run of as many steps as there are", () => {
		const long = { targetDelta: 1e-7, datasetSize: 1e6, expectedBatchSize: 10, noiseMultiplier: 2, steps: 300_000, maxGradNorm: 1 };
		const schedules = { noiseSchedule: { kind: "listed", factors: [1, 2, 1] }, maxGradNormSchedule: { kind: "linear", end: 2 } } as const;
		const plan = planPrivacy({ ...long, ...schedules });
		const each = { sampleRate: 1e-5, noiseMultiplier: 2, steps: 299_999 };
		expect(plan.epsilon).toBeCloseTo(epsilon([each, { ...each, noiseMultiplier: 4, steps: 1 }], { delta: 1e-7 }), 6);
	});

	it("is scaled as a whole to the target", () => {
		const { noiseMultiplier: _, ...rest } = PLAN;
		const plan = planPrivacy({ ...rest, targetEpsilon: 3, noiseSchedule: { kind: "listed", factors: [1, 0.5, 2], every: 2 } });
		expect(plan.epsilon).toBeLessThanOrEqual(3);
		expect(3 - plan.epsilon).toBeLessThan(1e-4);
		const history = [1, 0.5, 2].map((f) => ({ sampleRate: 0.25, noiseMultiplier: plan.noiseMultiplier * f, steps: 2 }));
		expect(epsilon(history, { delta: 1e-4 })).toBe(plan.epsilon);
		const constant = planPrivacy({ ...rest, targetEpsilon: 3 }).noiseMultiplier;
		expect(plan.noiseMultiplier).toBeGreaterThan(constant);
		expect(plan.noiseMultiplier / 2).toBeLessThan(constant);
	});

	it("counts each epoch of random allocation with the least noise in it, and keeps a cap", () => {
		const sampling = { kind: "random-allocation" } as const;
		const plan = planWith({ kind: "listed", factors: [1, 1.5, 0.8, 3, 2, 2] }, { sampling });
		const epochs = (least: readonly number[]) =>
			epsilon(
				least.map((f) => ({ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 2 * f, epochs: 1 })),
				{ delta: 1e-4 },
			);
		expect(plan.epsilonAfter(1)).toBe(epochs([0.8]));
		expect(plan.epsilonAfter(4)).toBe(epochs([0.8]));
		expect(plan.epsilon).toBe(epochs([0.8, 2]));
		const capped = planWith({ kind: "linear", end: 0.5, every: 3 }, { sampling: { kind: "truncated-poisson", maxBatchSize: 40 } });
		const event = { sampling: "truncated-poisson", datasetSize: 100, sampleRate: 0.25, maxBatchSize: 40, steps: 3 } as const;
		const history = [2, 1].map((noiseMultiplier) => ({ ...event, noiseMultiplier }));
		expect(capped.epsilon).toBe(epsilon(history, { delta: 1e-4 }));
	});

	it("is the noise that each step gets: its deviation, its report", async () => {
		const length = 40_000;
		const w = new Parameter([length]);
		w.assign(zeros(device(), [length]));
		const noises: Float64Array[] = [];
		const means: Float32Array[] = [];
		const transcript = (t: Transcript) => {
			noises.push(t.noise);
			means.push(t.mean);
		};
		const engine = PrivacyEngine.makePrivate({
			...PLAN,
			optimizer: new SGD([w], { lr: 0 }),
			noiseSchedule: { kind: "linear", end: 0.25, every: 2 },
			maxGradNormSchedule: { kind: "exponential", gamma: 2, every: 3 },
			noise: research({ batches: () => [], transcript }),
		});
		const reports: StepReport[] = [];
		for (let i = 0; i < 6; i++) {
			reports.push(
				await engine.step(
					() => ({ x: Float32Array.of(1) }),
					({ x }: { readonly x: Tensor }) => sum(mul(x, w.value)),
				),
			);
		}
		expect(reports.map((r) => r.noiseMultiplier)).toEqual([2, 2, 1.25, 1.25, 0.5, 0.5]);
		expect(reports.map((r) => r.maxGradNorm)).toEqual([1, 1, 1, 2, 2, 2]);
		noises.forEach((noise, i) => {
			const deviation = Math.sqrt(noise.reduce((s, v) => s + v * v, 0) / length);
			const { noiseMultiplier, maxGradNorm } = reports[i];
			// 5 standard errors; the sensitivity is above C by up to √P 2⁻²² C.
			expect(Math.abs(deviation / (noiseMultiplier * maxGradNorm) - 1)).toBeLessThan(5 / Math.sqrt(2 * length) + 1e-4);
			expect(Math.abs(means[i][0] * 25 - noise[0])).toBeLessThan(1e-5);
		});
		expect(reports[5].epsilon).toBe(engine.plan.epsilon);
	});

	it("is in the ledger: what a run has spent is told without its plan", async () => {
		const store = memory();
		const ledger = await PrivacyLedger.open(store);
		const schedules = { noiseSchedule: { kind: "exponential", gamma: 0.8 }, maxGradNormSchedule: { kind: "linear", end: 0.3 } } as const;
		const { engine, encode, loss, optimizer } = problem(device(), {
			...schedules,
			steps: 5,
			noise: secureNoise(),
			ledger: { ledger, dataset: "d" },
		});
		for (let i = 0; i < 3; i++) await engine.step(encode, loss);
		const read = await PrivacyLedger.open(store);
		expect(epsilon(read.historyOf("d"), { delta: 1e-4 })).toBe(engine.getEpsilon());
		const state = JSON.parse(JSON.stringify(engine.state()));
		const resumed = PrivacyEngine.fromState(state, engine.plan, { optimizer, ledger: { ledger: read, dataset: "d" } });
		const report = await resumed.step(encode, loss);
		expect(report.noiseMultiplier).toBe(engine.plan.noiseMultiplier * 0.8 ** 3);
		expect(report.maxGradNorm).toBeCloseTo(1 - (0.7 * 3) / 4, 12);
		const other = problem(device(), { ...schedules, noiseSchedule: { kind: "exponential", gamma: 0.9 }, steps: 5 });
		expect(() => PrivacyEngine.fromState(state, other.engine.plan, { optimizer })).toThrow("is of another plan");
	});

	it("is told in the statement, with the figure without amplification", () => {
		const plan = planWith({ kind: "linear", end: 0.5, every: 2 }, { maxGradNormSchedule: { kind: "exponential", gamma: 0.5 } });
		const text = privacyStatement(plan, { stepsTaken: 6, secure: true });
		expect(text).toContain("σ = 2 in the first step, 1 in the last (linear, every 2 steps; 1 to 2), on a sum");
		expect(text).toContain(
			"clipped to C = 1 in the first step, 0.03125 in the last (exponential, step by step; 0.03125 to 1), divided by L",
		);
		const bare = epsilon(
			[2, 1.5, 1].map((noiseMultiplier) => ({ sampleRate: 1, noiseMultiplier, steps: 2 })),
			{ delta: 1e-4, accountant: "gdp" },
		);
		expect(text).toContain(`ε = ${Math.ceil(bare * 1e4) / 1e4} without amplification`);
	});

	it("lets the watch for divergence bear the noisiest step", async () => {
		// Noise of thousands of records on the count of what is not finite, in batches of 10: it says nothing.
		const { engine, encode, loss } = problem(device(), {
			noiseSchedule: { kind: "listed", factors: [1, 2000] },
			noise: insecureNoiseForTests(3),
			steps: 5,
		});
		for (let i = 0; i < 5; i++) await engine.step(encode, loss);
		expect(engine.steps).toBe(5);
	});
});
