import {
	GaussianMechanism,
	insecureNoiseForTests,
	type NoiseSource,
	type PlanOptions,
	planPrivacy,
	research,
	secureNoise,
} from "@hushgrad/dp";
import { afterEach, describe, expect, it, vi } from "vitest";
import { nextNorm } from "../../packages/dp/src/clip/adaptive.ts";
import { CorrelatedNormals, largestFactor } from "../../packages/dp/src/correlation.ts";
import { drawOf } from "../../packages/dp/src/mechanism.ts";
import { joined, stepsOf } from "../../packages/dp/src/noiseDraw.ts";
import { NoiseWorkers } from "../../packages/dp/src/noiseWorkers.ts";
import { StepMechanisms } from "../../packages/dp/src/stepMechanisms.ts";
import { StepNoise } from "../../packages/dp/src/stepNoise.ts";

/* What noise each step of a run has, number by number; that it is correlated and of the right size is in correlation.test.ts. */

const adaptive = { kind: "adaptive", unclippedNumStd: 2 } as const;
const bins = (...strategyCoefs: readonly number[]) => ({ kind: "balls-in-bins", strategyCoefs }) as const;

describe("the noise of a step", () => {
	const STEPS = 5;
	const mechanism = new GaussianMechanism({ length: 6, maxGradNorm: 1, noiseMultiplier: 2, expectedBatchSize: 1, clipping: adaptive });
	const normals = (source: NoiseSource, of = mechanism): Float64Array => {
		const out = new Float64Array(of.length + of.counts);
		source.fillNormals(out);
		return out;
	};
	const taken = async (noise: StepNoise, source: NoiseSource, step: number, of = mechanism) =>
		(await noise.begin(of, source.forStep(step), { step, isLast: step === STEPS })()).take();

	it("that repeats is that of the number of the step, of the counts as well", async () => {
		const source = insecureNoiseForTests(3);
		for (const sampling of [{ kind: "poisson" }, bins(1)] as const) {
			const noise = new StepNoise({ sampling, steps: STEPS }, source);
			for (const step of [4, 1]) {
				expect(await taken(noise, source, step)).toEqual(drawOf(mechanism, [normals(source.forStep(step))]).take());
			}
		}
	});

	it("that repeats is as if all steps before had been taken, wherever a run begins or goes on", async () => {
		const source = insecureNoiseForTests(4);
		const sampling = bins(1, 0.5, 0.25);
		const correlated = new CorrelatedNormals(sampling.strategyCoefs, STEPS);
		const expected = [1, 2, 3, 4, 5].map((step) => drawOf(mechanism, [correlated.next(step, normals(source.forStep(step)))]).take());
		const whole = new StepNoise({ sampling, steps: STEPS }, source);
		for (const step of [1, 2, 3, 4, 5]) expect(await taken(whole, source, step)).toEqual(expected[step - 1]);
		const other = new StepNoise({ sampling, steps: STEPS }, source);
		for (const step of [3, 4, 2, 5]) expect(await taken(other, source, step)).toEqual(expected[step - 1]);
	});

	it("of a study is what it gives, none on the counts", async () => {
		const asked: unknown[] = [];
		const source = research({
			noise: (...of) => {
				asked.push(of);
				return [1, 2, 3, 4, 5, -6];
			},
		});
		const noise = new StepNoise({ sampling: bins(1, 0.5), steps: STEPS }, source);
		const steps = stepsOf(await taken(noise, source, 2));
		expect([...steps].map((v) => v * mechanism.grid)).toEqual([1, 2, 3, 4, 5, -6, 0, 0]);
		expect(asked).toEqual([[2, 6]]);
	});

	describe("that is secure", () => {
		afterEach(() => {
			vi.restoreAllMocks();
		});

		it("is asked of workers a step ahead, at once, and of none after the last one", async () => {
			let answers = 0;
			const asked = vi.spyOn(NoiseWorkers.prototype, "normals").mockImplementation(async (length: number) => {
				return [new Float64Array(length - 3).fill(++answers), new Float64Array(3).fill(answers)];
			});
			const closed = vi.spyOn(NoiseWorkers.prototype, "close");
			const source = secureNoise();
			const noise = new StepNoise({ sampling: { kind: "poisson" }, steps: STEPS }, source);
			for (const step of [3, 4, 5]) {
				const give = noise.begin(mechanism, source, { step, isLast: step === STEPS });
				expect(asked.mock.calls).toEqual(Array(Math.min(step - 1, 3)).fill([8]));
				const wanted = drawOf(mechanism, [new Float64Array(8).fill(step - 2)]).take();
				expect(joined((await give()).take())).toEqual(joined(wanted));
				expect(closed.mock.calls.length).toBe(step === STEPS ? 1 : 0);
			}
		});

		it("is drawn here where no worker draws it, when it is needed, and correlated", async () => {
			vi.spyOn(NoiseWorkers.prototype, "normals").mockImplementation(async () => undefined);
			const source = secureNoise();
			const fills = vi.fn((out: Float64Array) => out.fill(1));
			const own = { secure: true, study: source.study, fillNormals: fills } as unknown as NoiseSource;
			const noise = new StepNoise({ sampling: bins(1, 0.5), steps: STEPS }, own);
			const correlated = new CorrelatedNormals([1, 0.5], STEPS);
			for (const step of [1, 2]) {
				const give = noise.begin(mechanism, own, { step, isLast: false });
				expect(fills).toHaveBeenCalledTimes(step - 1);
				expect((await give()).take()).toEqual(drawOf(mechanism, [correlated.next(step, new Float64Array(8).fill(1))]).take());
				expect(fills).toHaveBeenCalledTimes(step);
			}
		});
	});
});

describe("the mechanism of a step", () => {
	const plan = (more: Partial<PlanOptions> = {}) =>
		planPrivacy({
			...{ datasetSize: 100, expectedBatchSize: 10, steps: 4, maxGradNorm: 2, targetDelta: 1e-4, noiseMultiplier: 3 },
			...more,
		} as PlanOptions);
	const listed = (...factors: readonly number[]) => ({ kind: "listed", factors }) as const;

	it("has the σ and the C of its schedules, the sizes of the plan, and is the same where they are", () => {
		const mechanisms = new StepMechanisms(plan({ noiseSchedule: listed(1, 1, 2, 2), maxGradNormSchedule: listed(1, 0.5, 0.5, 4) }), 7);
		const all = [1, 2, 3, 4].map((step) => mechanisms.of(step));
		expect(all.map((m) => [m.noiseMultiplier, m.maxGradNorm])).toEqual([
			[3, 2],
			[3, 1],
			[6, 1],
			[6, 8],
		]);
		expect(all.map((m) => [m.length, m.expectedBatchSize, m.clipping.kind, m.counts])).toEqual(Array(4).fill([7, 10, "flat", 1]));
		expect(mechanisms.of(4)).toBe(all[3]);
		expect(mechanisms.of(3)).not.toBe(all[3]);
		expect(mechanisms.adaptiveNorm).toBeUndefined();
	});

	it("with the most noise has the largest factor of its schedule, and of what is correlated", () => {
		const most = (more?: Partial<PlanOptions>) => new StepMechanisms(plan(more), 7).noisiest();
		expect([most().noiseMultiplier, most().maxGradNorm]).toEqual([3, 2]);
		expect(most({ noiseSchedule: listed(1, 5, 2) }).noiseMultiplier).toBe(15);
		const factor = largestFactor([1, 0.5], 4);
		expect(factor).toBeGreaterThan(1.5);
		expect(most({ sampling: bins(1, 0.5) }).noiseMultiplier).toBeCloseTo(3 * factor, 12);
	});

	it("follows the norm that adaptive clipping releases, from where it is told to go on", () => {
		const planned = plan({ clipping: adaptive, maxGradNormSchedule: undefined });
		const { clipping } = planned;
		if (clipping.kind !== "adaptive") throw new Error("it is");
		const mechanisms = new StepMechanisms(planned, 7);
		expect([mechanisms.adaptiveNorm, mechanisms.of(1).maxGradNorm, mechanisms.of(1).counts]).toEqual([2, 2, 2]);
		mechanisms.follow({ notFinite: 0, unclipped: 4 });
		const next = nextNorm(2, 4, clipping, 10);
		expect(next).not.toBe(2);
		expect([mechanisms.adaptiveNorm, mechanisms.of(2).maxGradNorm, mechanisms.noisiest().maxGradNorm]).toEqual([next, next, next]);
		mechanisms.follow({ notFinite: 0 });
		expect(mechanisms.adaptiveNorm).toBe(next);
		expect(new StepMechanisms(planned, 7, 0.5).of(3).maxGradNorm).toBe(0.5);
		const flat = new StepMechanisms(plan(), 7, 0.5);
		flat.follow({ notFinite: 0, unclipped: 4 });
		expect([flat.adaptiveNorm, flat.of(2).maxGradNorm, flat.noisiest().maxGradNorm]).toEqual([undefined, 2, 0.5]);
	});
});
