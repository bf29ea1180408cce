import { inspect } from "node:util";
import { PrivateMeasures, planPrivacy, StepReport } from "@hushgrad/dp";
import { beforeAll, describe, expect, test } from "vitest";

const plan = planPrivacy({ noiseMultiplier: 2, targetDelta: 1e-3, datasetSize: 100, expectedBatchSize: 25, steps: 10, maxGradNorm: 1 });
const secrets = { loss: 1.2345678, records: 271, meanNorm: 31.415926, clipped: 0.57721 };
const mechanism = { maxGradNorm: 0.5, noiseMultiplier: 2 };
let measures: PrivateMeasures;
let report: StepReport;
beforeAll(() => {
	measures = new PrivateMeasures({ ...secrets });
	report = new StepReport({ step: 3, plan, mechanism, release: { notFinite: -0.25 }, measures });
});

describe("a report of a step", () => {
	test("shows no private measures, in whatever way it is written", () => {
		const shown = [
			String(report),
			inspect(report),
			inspect({ report }, { depth: 9, showHidden: true }),
			JSON.stringify(report),
			JSON.stringify({ ...report }),
			String(measures),
			inspect(measures),
			inspect([measures], { depth: 9, showHidden: true }),
			JSON.stringify([measures, { measures }]),
			Object.entries(measures).join(),
		];
		for (const text of shown) for (const secret of Object.values(secrets)) expect(text).not.toContain(String(secret));
		expect(report.private.reveal()).toEqual(secrets);
		expect(Object.isFrozen(report.private.reveal())).toBe(true);
		expect(String(measures)).toBe("PrivateMeasures(not covered by ε; reveal() gives them)");
	});

	test("is of a plan, a mechanism and a release, and of nothing else", () => {
		const facts = { step: 3, plan, mechanism, release: { notFinite: 0 }, measures };
		for (const name of ["plan", "mechanism", "release"]) {
			for (const none of [undefined, null, 3]) {
				expect(() => new StepReport({ ...facts, [name]: none })).toThrow(`StepReport: ${name} is ${none}, expected options in an object`);
			}
		}
	});

	test("tells what ε covers: the step, what is spent after it, the noisy count; no private measures", () => {
		expect(report.epsilon).toBe(plan.epsilonAfter(3));
		expect(JSON.parse(JSON.stringify(report))).toEqual({ step: 3, epsilon: plan.epsilonAfter(3), notFinite: -0.25, ...mechanism });
		const adaptive = new StepReport({ step: 3, plan, mechanism, release: { notFinite: 0, unclipped: -5 }, measures });
		expect(JSON.parse(JSON.stringify(adaptive))).toMatchObject({ maxGradNorm: 0.5, unclipped: 0.5 - 5 / 25 });
		const rounded = Math.ceil(report.epsilon * 1e4) / 1e4;
		expect(rounded).toBeGreaterThanOrEqual(report.epsilon);
		expect(String(report)).toBe(`StepReport(step 3, ε = ${rounded}, notFinite ≈ -0.3)`);
		expect(inspect(report)).toBe(String(report));
	});
});
