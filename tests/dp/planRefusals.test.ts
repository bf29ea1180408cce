import { epsilon, type PlanOptions, type PrivacyPlan, planPrivacy } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { checkPlan } from "../../packages/dp/src/plan.ts";

/* Full batches, whose ε has a closed form. */
const options = { datasetSize: 1000, expectedBatchSize: 1000, steps: 4, maxGradNorm: 0.5, noiseMultiplier: 3.25, targetDelta: 1e-5 };
const history = (noiseMultiplier: number, steps: number, sampleRate = 1) => [{ sampleRate, noiseMultiplier, steps }];
const make = (change: object) => planPrivacy({ ...options, ...change } as PlanOptions);
const aimed = (change: object) => make({ noiseMultiplier: undefined, targetEpsilon: 2, ...change });

describe("a plan", () => {
	it("holds what it was asked for, and nothing of it can be changed", () => {
		const asked = { sampling: { kind: "poisson" } as const, clipping: { kind: "automatic", gamma: 0.1 } as const };
		const plan = make(asked);
		expect({ ...plan }).toEqual({ ...options, ...asked, sampleRate: 1, targetEpsilon: undefined, epsilon: plan.epsilon });
		expect(plan.epsilon).toBe(epsilon(history(3.25, 4), { delta: 1e-5 }));
		for (const part of [plan, plan.sampling, plan.clipping, Object.getPrototypeOf(plan)]) expect(Object.isFrozen(part)).toBe(true);
		expect(Object.isFrozen(asked.sampling) || Object.isFrozen(asked.clipping)).toBe(false);
		expect(make({})).toMatchObject({ sampling: { kind: "poisson" }, clipping: { kind: "flat" } });
	});

	it("has the least noise that meets its target", () => {
		const plan = aimed({});
		expect(plan).toMatchObject({ targetEpsilon: 2, steps: 4 });
		expect(plan.epsilon).toBeLessThanOrEqual(2);
		expect(epsilon(history(plan.noiseMultiplier - 1e-6, 4), { delta: 1e-5 })).toBeGreaterThan(2);
	});

	it("counts epochs in steps", () => {
		expect(make({ steps: undefined, epochs: 2.6 }).steps).toBe(3);
		expect(make({ steps: undefined, epochs: 1.5, datasetSize: 4000 }).steps).toBe(6);
	});

	it("takes one step of round(N/L) from random allocation", () => {
		const plan = make({ datasetSize: 3000, expectedBatchSize: 1100, noiseMultiplier: 20, sampling: { kind: "random-allocation" } });
		expect([plan.sampleRate, plan.expectedBatchSize]).toEqual([1 / 3, 1100]);
		expect(make({ datasetSize: 3000, expectedBatchSize: 1100, noiseMultiplier: 20 }).sampleRate).toBe(1100 / 3000);
	});

	it("tells what some of its steps spend, at any δ", () => {
		const plan = make({});
		expect(plan.epsilonAfter(0)).toBe(0);
		expect(plan.epsilonAfter(3)).toBe(epsilon(history(3.25, 3), { delta: 1e-5 }));
		expect(plan.epsilonAfter(9, 1e-3)).toBe(epsilon(history(3.25, 9), { delta: 1e-3 }));
		for (const steps of [-1, 0.5, Number.NaN]) {
			expect(() => plan.epsilonAfter(steps)).toThrow("steps must be an integer in 0..9007199254740991");
		}
		expect(() => plan.epsilonAfter(1, 1)).toThrow("PrivacyPlan.epsilonAfter: delta must be");
	});

	it("takes no noise at all, where that is insisted on, and as much of the records as there are", () => {
		expect(make({ noiseMultiplier: 0, allowMeaninglessEpsilon: true }).epsilon).toBe(Number.POSITIVE_INFINITY);
		expect(make({ expectedBatchSize: 1000 }).sampleRate).toBe(1);
	});
});

describe("planPrivacy refuses", () => {
	const never = [Number.NaN, Number.POSITIVE_INFINITY, "1"];

	it.each<[string, string, readonly unknown[], (change: object) => PrivacyPlan]>([
		["targetEpsilon", "a finite number above 0", [0, -1, undefined, null, ...never], aimed],
		["noiseMultiplier", "a finite number, 0 or more", [-1, null, ...never], make],
		["targetDelta", "a probability strictly between 0 and 1", [0, 1, undefined, ...never], make],
		["datasetSize", "an integer in 1..9007199254740991", [0, 0.5, undefined, ...never], make],
		["maxGradNorm", "a finite number above 0", [0, undefined, ...never], make],
		["expectedBatchSize", "above 0 and at most the 1000 records", [0, -1, 1001, undefined, Number.NaN, "500"], make],
		["steps", "an integer in 1..9007199254740991", [0, 0.5, Number.NaN], make],
		["epochs", "a finite number above 0", [0, -1, undefined, Number.NaN], (change) => make({ steps: undefined, ...change })],
	])("%s unless it is %s", (name, expected, values, plan) => {
		const called = name === "targetDelta" ? "delta" : name;
		for (const value of values) {
			expect(() => plan({ [name]: value }), String(value)).toThrow(
				expect.objectContaining({
					name: "ValueError",
					code: `dp/${called}`,
					message: expect.stringContaining(`${called} must be ${expected}`),
				}),
			);
		}
	});

	it("a batch larger than the records, with a hint", () => {
		expect(() => make({ expectedBatchSize: 1000.5 })).toThrow(expect.objectContaining({ hint: "lower the batch size" }));
	});

	it("a δ of 1/N, which would let a record out, and none below", () => {
		for (const targetDelta of [1e-3, 0.5]) {
			expect(() => make({ targetDelta })).toThrow(
				expect.objectContaining({
					...{ name: "PrivacyError", code: "privacy/delta", hint: "a usual choice is 1/(10·N) or less, here 0.00010" },
					message: expect.stringContaining(`delta must be below 1/N = 1/1000, got ${targetDelta}`),
				}),
			);
		}
		expect(make({ targetDelta: 0.999e-3 }).targetDelta).toBe(0.999e-3);
	});

	it("an ε above 50, unless it is insisted on", () => {
		const loud = { noiseMultiplier: 0.29, steps: 4 };
		const spent = epsilon(history(0.29, 4), { delta: 1e-5 });
		expect(spent).toBeGreaterThan(50);
		for (const allowMeaninglessEpsilon of [undefined, false, 1, "true"]) {
			expect(() => make({ ...loud, allowMeaninglessEpsilon })).toThrow(
				expect.objectContaining({
					...{ name: "PrivacyError", code: "privacy/meaningless" },
					message: expect.stringContaining(`this run would spend an epsilon of ${spent.toPrecision(4)}, which protects nobody`),
					hint: expect.stringContaining("plan for 50 or less"),
				}),
			);
		}
		expect(make({ ...loud, allowMeaninglessEpsilon: true }).epsilon).toBe(spent);
		expect(aimed({ targetEpsilon: 50 }).epsilon).toBeGreaterThan(49.9);
	});

	it("a schedule of more than 64 noise multipliers, whose composition each costs time", () => {
		const stages = (gamma: number, every: number) => make({ steps: 65, noiseSchedule: { kind: "exponential", gamma, every } });
		expect(() => stages(1.01, 1)).toThrow(
			expect.objectContaining({
				...{ name: "ValueError", code: "dp/noiseSchedule", hint: "raise its `every`" },
				message: expect.stringContaining("noiseSchedule must be one of at most 64 noise multipliers, got"),
			}),
		);
		expect(make({ steps: 64, noiseSchedule: { kind: "exponential", gamma: 1.01 } }).noiseSchedule?.steps).toBe(64);
		expect(stages(1, 1).epsilon).toBe(epsilon(history(3.25, 65), { delta: 1e-5 }));
	});

	it("schedules by their name, and norms in them that no grid holds", () => {
		const none = { kind: "none" };
		expect(() => make({ noiseSchedule: none })).toThrow("noiseSchedule must be of a kind among");
		expect(() => make({ maxGradNormSchedule: none })).toThrow("maxGradNormSchedule must be of a kind among");
		const tiny = { kind: "listed", factors: [1, 2 ** -105] };
		expect(() => make({ maxGradNormSchedule: tiny })).toThrow(
			expect.objectContaining({
				code: "dp/maxGradNorm",
				message: expect.stringContaining("maxGradNorm must be between 2⁻¹⁰⁴ and 2¹²⁶, got "),
			}),
		);
		expect(make({ maxGradNormSchedule: { kind: "listed", factors: [1, 2 ** 126] } }).maxGradNormSchedule?.steps).toBe(4);
	});

	it("a schedule of norms where clipping is adaptive", () => {
		const maxGradNormSchedule = { kind: "exponential", gamma: 0.9 };
		expect(() => make({ clipping: { kind: "adaptive" }, maxGradNormSchedule })).toThrow(
			expect.objectContaining({
				...{ name: "ValueError", code: "dp/maxGradNormSchedule" },
				message: expect.stringContaining("maxGradNormSchedule must be left out where clipping is adaptive, which moves C itself, got"),
			}),
		);
		expect(make({ maxGradNormSchedule }).maxGradNormSchedule).toMatchObject(maxGradNormSchedule);
		expect(make({ clipping: { kind: "adaptive" } }).maxGradNormSchedule).toBeUndefined();
	});

	it("a count of unclipped records that costs more than the plan, in its noisiest step", () => {
		const counted = (unclippedNumStd: number, factors: readonly number[]) =>
			make({ clipping: { kind: "adaptive", unclippedNumStd }, noiseSchedule: { kind: "listed", factors } });
		expect(counted(2, [1, 0.1]).noiseMultiplier).toBe(3.25);
		expect(() => counted(2, [1, 4])).toThrow("unclippedNumStd must be above half of the noise multiplier, 6.5, got 2");
		expect(() => counted(1.6, [1, 0.1])).toThrow("unclippedNumStd must be above half of the noise multiplier, 1.625, got 1.6");
	});

	it("samplings and clippings that are none, and what is no object", () => {
		expect(() => make({ sampling: { kind: "shuffle" } })).toThrow("sampling must be of a kind among poisson");
		expect(() => make({ clipping: { kind: "none" } })).toThrow("clipping must be");
		expect(() => planPrivacy(3 as unknown as PlanOptions)).toThrow("planPrivacy: options is 3, expected options in an object");
	});
});

describe("checkPlan", () => {
	it("takes what planPrivacy has made, and nothing else", () => {
		const plan = make({});
		expect(checkPlan(plan)).toBeUndefined();
		for (const fake of [{ ...plan }, Object.create(plan), undefined, null, 3, "plan", () => plan]) {
			expect(() => checkPlan(fake as PrivacyPlan)).toThrow(
				expect.objectContaining({
					...{ name: "PrivacyError", code: "privacy/plan", hint: expect.stringContaining("no object stands in for one") },
					message: expect.stringContaining("expected a plan made by planPrivacy(), got something else"),
				}),
			);
		}
	});
});
