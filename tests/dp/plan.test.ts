import { type EngineOptions, epsilon, PrivacyEngine, planPrivacy, privacyStatement } from "@hushgrad/dp";
import { HushgradError, PrivacyError, ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const options = { targetEpsilon: 8, targetDelta: 1e-5, datasetSize: 900, expectedBatchSize: 225, steps: 40, maxGradNorm: 0.1 };

describe("planPrivacy", () => {
	test("calibrates the logical step and reports what the whole run spends", () => {
		const plan = planPrivacy(options);
		expect(plan).toMatchObject({ ...options, sampleRate: 0.25 });
		expect(plan.epsilon).toBe(epsilon([{ sampleRate: 0.25, noiseMultiplier: plan.noiseMultiplier, steps: 40 }], { delta: 1e-5 }));
		expect(plan.epsilon).toBeLessThanOrEqual(8);
		expect(8 - plan.epsilon).toBeLessThan(2e-5);
		// σ 1.2345 gives ε 8.000495 by PLD (dp_accounting).
		expect(plan.noiseMultiplier).toBeGreaterThan(1.2345);
		expect(plan.noiseMultiplier).toBeLessThan(1.2347);
		expect(Object.isFrozen(plan)).toBe(true);
	});

	test("never plans more than the target", () => {
		const plans = fc.record({
			targetEpsilon: fc.double({ min: 0.1, max: 30, noNaN: true }),
			datasetSize: fc.integer({ min: 10, max: 100_000 }),
			share: fc.double({ min: 0.001, max: 1, noNaN: true }),
			steps: fc.integer({ min: 1, max: 3000 }),
		});
		fc.assert(
			fc.property(plans, ({ share, datasetSize, ...rest }) => {
				const plan = planPrivacy({
					...rest,
					datasetSize,
					expectedBatchSize: share * datasetSize,
					targetDelta: 0.1 / datasetSize,
					maxGradNorm: 1,
				});
				const spent = (steps: number) =>
					epsilon([{ sampleRate: plan.sampleRate, noiseMultiplier: plan.noiseMultiplier, steps }], { delta: plan.targetDelta });
				expect(plan.epsilon).toBeLessThanOrEqual(rest.targetEpsilon);
				expect(spent(plan.steps)).toBe(plan.epsilon);
				expect(spent(Math.floor(plan.steps / 2))).toBeLessThan(plan.epsilon);
			}),
			{ numRuns: 8, seed: 9 },
		);
	});

	test("says what given noise costs, and takes epochs for steps", () => {
		const { targetEpsilon: _, ...others } = options;
		const plan = planPrivacy({ ...others, noiseMultiplier: 1.5 });
		expect(plan).toMatchObject({ noiseMultiplier: 1.5, targetEpsilon: undefined });
		expect(plan.epsilon).toBe(epsilon([{ sampleRate: 0.25, noiseMultiplier: 1.5, steps: 40 }], { delta: 1e-5 }));
		const { steps: __, ...timeless } = options;
		expect(planPrivacy({ ...timeless, epochs: 10 })).toEqual(planPrivacy(options));
	});

	test("refuses an ε that protects nobody, unless it is insisted on", () => {
		const plan = { ...options, targetEpsilon: 51 };
		expect(() => planPrivacy(plan)).toThrow(expect.objectContaining({ name: "PrivacyError", code: "privacy/meaningless" }));
		expect(planPrivacy({ ...plan, allowMeaninglessEpsilon: true }).epsilon).toBeGreaterThan(50);
		expect(planPrivacy({ ...plan, targetEpsilon: 49 }).epsilon).toBeLessThan(49);
	});

	test("cannot be forged: an engine takes what planPrivacy() made, and nothing that looks like it", () => {
		const plan = planPrivacy(options);
		for (const fake of [{ ...plan }, Object.create(plan), JSON.parse(JSON.stringify(plan)), undefined]) {
			expect(() => PrivacyEngine.follow(fake, {} as EngineOptions)).toThrow(expect.objectContaining({ code: "privacy/plan" }));
		}
		expect(() => Object.assign(plan, { noiseMultiplier: 0.1 })).toThrow(TypeError);
	});

	test("refuses a δ that lets a record out", () => {
		for (const delta of [1 / 900, 0.01, 0.5]) expect(() => planPrivacy({ ...options, targetDelta: delta })).toThrow(PrivacyError);
		expect(() => planPrivacy({ ...options, targetDelta: 0.01 })).toThrow("delta must be below 1/N = 1/900, got 0.01");
		expect(planPrivacy({ ...options, targetDelta: 0.99 / 900 }).targetDelta).toBe(0.99 / 900);
	});

	test.each([
		["targetEpsilon", [0, -1, Number.NaN, Number.POSITIVE_INFINITY]],
		["targetDelta", [0, -1e-5, 1, Number.NaN]],
		["datasetSize", [0, -9, 1.5, Number.NaN]],
		["expectedBatchSize", [0, -1, 901, Number.NaN]],
		["steps", [0, -1, 2.5, Number.NaN, Number.POSITIVE_INFINITY]],
		["maxGradNorm", [0, -1, Number.NaN, Number.POSITIVE_INFINITY]],
	])("refuses a senseless %s by name", (name, values) => {
		for (const value of values) {
			const plan = () => planPrivacy({ ...options, [name]: value });
			expect(plan).toThrow(ValueError);
			expect(plan).toThrow(HushgradError);
			expect(plan).toThrow(`${name === "targetDelta" ? "delta" : name} must be`);
		}
	});
});

describe("privacyStatement", () => {
	const plan = planPrivacy(options);
	const facts = { stepsTaken: 40, secure: true };

	test("says who is protected, how, and what is not covered", () => {
		const text = privacyStatement(plan, facts);
		for (const part of [
			"(ε = 8, δ = 1e-5)",
			"one record, added or removed",
			"Poisson",
			"q = 0.25",
			`σ = ${plan.noiseMultiplier}`,
			"C = 0.1",
			"T = 40 of 40",
			"RDP",
			"losses",
			"hyper-parameters",
			"base model",
		]) {
			expect(text).toContain(part);
		}
		expect(text).not.toContain("NOT PRIVATE");
		expect(text).not.toContain("Warning");
	});

	test("gives the figure without amplification, of T full Gaussian steps", () => {
		const bare = epsilon([{ sampleRate: 1, noiseMultiplier: plan.noiseMultiplier, steps: 40 }], { delta: 1e-5, accountant: "gdp" });
		expect(privacyStatement(plan, facts)).toContain(`ε = ${Math.ceil(bare * 1e4) / 1e4} without amplification`);
	});

	test("claims nothing for noise from a seed", () => {
		const [first, second] = privacyStatement(plan, { ...facts, secure: false }).split("\n");
		expect(first).toMatch(/^NOT PRIVATE: noise came from a seed/);
		expect(second).toMatch(/^With secure noise the same run would have/);
	});

	test("warns of a δ near 1/N, and prints an infinite ε as such", () => {
		expect(privacyStatement(planPrivacy({ ...options, targetDelta: 0.5 / 900 }), facts)).toContain("Warning: δ =");
		const { targetEpsilon: _, ...others } = options;
		const none = planPrivacy({ ...others, noiseMultiplier: 0, allowMeaninglessEpsilon: true });
		expect(privacyStatement(none, facts)).toContain("ε = ∞");
	});

	test("starts from nothing spent", () => {
		expect(privacyStatement(plan, { ...facts, stepsTaken: 0 })).toContain("(ε = 0, δ = 1e-5)");
	});

	test("refuses facts that no run can have", () => {
		for (const change of [{ stepsTaken: -1 }, { stepsTaken: 1.5 }]) {
			expect(() => privacyStatement(plan, { ...facts, ...change })).toThrow(ValueError);
		}
	});
});
