import { epsilon, type LedgerRun, type PlanOptions, type PrivacyPlan, planPrivacy, privacyStatement, type Sampling } from "@hushgrad/dp";
import { beforeAll, describe, expect, it } from "vitest";

/* Full batches, whose ε has a closed form. */
const settings = { datasetSize: 1000, expectedBatchSize: 1000, steps: 4, maxGradNorm: 0.5, noiseMultiplier: 3.25, targetDelta: 1e-5 };
let plan: PrivacyPlan;
beforeAll(() => {
	plan = planPrivacy(settings);
});
const up = (x: number): string => String(Math.ceil(x * 1e4) / 1e4);
const gdp = (noiseMultiplier: number, steps: number) =>
	epsilon([{ sampleRate: 1, noiseMultiplier, steps }], { delta: 1e-5, accountant: "gdp" });
const rdp = (steps: number) => epsilon([{ sampleRate: 1, noiseMultiplier: 3.25, steps }], { delta: 1e-5, accountant: "rdp" });

const run = (taken: number, more: Partial<LedgerRun> = {}): LedgerRun => ({
	...{ kind: "run", run: "r", dataset: "d", sampling: { kind: "poisson" }, datasetSize: 1000, sampleRate: 1 },
	...{ noiseMultiplier: 2, steps: 9, secure: true, taken },
	...more,
});

describe("the statement of a run", () => {
	it("is this text", () => {
		expect(privacyStatement(plan, { stepsTaken: 3, secure: true })).toBe(
			`Differential privacy: (ε = ${up(gdp(3.25, 3))}, δ = 1e-5)
  unit         one record, added or removed; a person with several records is protected less
  sampling     Poisson: each record enters a step with q = 1, on its own (N = 1000 declared public, L = 1000)
  mechanism    Gaussian noise, σ = 3.25, on a sum of gradients clipped to C = 0.5, divided by L
  steps        T = 3 of 4 planned (ε = ${up(gdp(3.25, 4))} at the end)
  accountant   privacy loss distributions (PLD), an upper bound; by Rényi divergences (RDP) ε = ${up(rdp(3))}
  worst case   ε = ${up(gdp(3.25, 3))} without amplification by sampling, as if the record were in every step
  other runs   not known: no ledger was kept; what they spent on the same records is spent besides
Not covered:
  - losses and other measures printed from private records, and evaluation on them
  - the choice of hyper-parameters, of the number of steps or of a checkpoint by looking at private results
  - filters, vocabulary or lengths derived from the private records
  - the base model: its own guarantee, if any, is separate and covers other data`,
		);
	});

	it("begins with NOT PRIVATE where the noise came from a seed, and is the same below", () => {
		const lines = privacyStatement(plan, { stepsTaken: 3, secure: false }).split("\n");
		expect(lines.slice(0, 2)).toEqual([
			"NOT PRIVATE: noise came from a seed; whoever knows the seed can take it off again",
			`With secure noise the same run would have (ε = ${up(gdp(3.25, 3))}, δ = 1e-5)`,
		]);
		expect(lines.slice(2)).toEqual(privacyStatement(plan, { stepsTaken: 3, secure: true }).split("\n").slice(1));
	});

	it("names the target, and gradients that are scaled", () => {
		const { noiseMultiplier: _, ...rest } = settings;
		const options: PlanOptions = { ...rest, targetEpsilon: 2, clipping: { kind: "automatic", gamma: 0.01 } };
		const aimed = planPrivacy(options);
		const text = privacyStatement(aimed, { stepsTaken: 0, secure: true });
		expect(text).toContain(`steps        T = 0 of 4 planned (ε = ${up(aimed.epsilon)} at the end, target 2)\n`);
		expect(text).toContain("on a sum of gradients scaled to C = 0.5, divided by L\n");
		expect(text).toContain("Differential privacy: (ε = 0, δ = 1e-5)\n");
	});

	it("shortens what is not whole, and never an ε downwards", () => {
		const third = planPrivacy({ ...settings, datasetSize: 3000, noiseMultiplier: 20 });
		const text = privacyStatement(third, { stepsTaken: 1, secure: true });
		expect(text).toContain("with q = 0.333333, on its own (N = 3000 declared public, L = 1000)");
		const spent = Number(/^Differential privacy: \(ε = ([\d.]+),/.exec(text)?.[1]);
		expect(spent).toBeGreaterThanOrEqual(third.epsilonAfter(1));
		expect(spent - third.epsilonAfter(1)).toBeLessThan(1e-4);
	});

	it("names the sampling, and gives no figure that does not cover it", () => {
		const small = { ...settings, datasetSize: 40, expectedBatchSize: 10, targetDelta: 1e-4, steps: 8 };
		const say = (sampling: Sampling) =>
			privacyStatement(planPrivacy({ ...small, sampling }), { stepsTaken: 5, secure: true })
				.split("\n")
				.slice(2, 7);
		const bare = (steps: number) => up(epsilon([{ sampleRate: 1, noiseMultiplier: 3.25, steps }], { delta: 1e-4, accountant: "gdp" }));
		const capped = say({ kind: "truncated-poisson", maxBatchSize: 12 });
		expect(capped[0]).toBe(
			"  sampling     Poisson: each record enters a step with q = 0.25, on its own; of more than 12 a random subset of so many is kept (N = 40 declared public, L = 10)",
		);
		expect(capped[3]).toBe("  accountant   privacy loss distributions (PLD), an upper bound");
		expect(capped[4]).toBe(`  worst case   ε = ${bare(5)} without amplification by sampling, as if the record were in every step`);
		const allocated = say({ kind: "random-allocation" });
		expect(allocated[0]).toBe(
			"  sampling     random allocation: each record enters one of the 4 steps of an epoch, any of them alike, on its own (N = 40 declared public, L = 10)",
		);
		expect(allocated[3]).toBe("  accountant   privacy loss distributions (PLD), an upper bound");
		expect(allocated[4]).toBe(
			`  worst case   ε = ${bare(2)} without amplification by sampling, as if the step of the record were known in every epoch`,
		);
	});

	it("names what follows a schedule: the first and the last step, and the range of all", () => {
		const line = (more: Partial<PlanOptions>) =>
			privacyStatement(planPrivacy({ ...settings, ...more } as PlanOptions), { stepsTaken: 3, secure: true }).split("\n")[3];
		expect(
			line({ noiseSchedule: { kind: "listed", factors: [1, 0.5, 4, 2] }, maxGradNormSchedule: { kind: "linear", end: 3, every: 2 } }),
		).toBe(
			"  mechanism    Gaussian noise, σ = 3.25 in the first step, 6.5 in the last (listed, step by step; 1.625 to 13), on a sum of gradients clipped to C = 0.5 in the first step, 1.5 in the last (linear, every 2 steps; 0.5 to 1.5), divided by L",
		);
		expect(line({ clipping: { kind: "perLayer" } })).toBe(
			"  mechanism    Gaussian noise, σ = 3.25, on a sum of gradients clipped parameter by parameter, to C_k with Σ C_k² = C², C = 0.5, divided by L",
		);
	});

	it("names adaptive clipping, and what of the noise the sum has", () => {
		const clipping = {
			kind: "adaptive",
			targetUnclippedQuantile: 0.25,
			unclippedNumStd: 3.25,
			minClipbound: 0.1,
			maxClipbound: 8,
		} as const;
		const lines = (more: Partial<PlanOptions>) =>
			privacyStatement(planPrivacy({ ...settings, clipping, ...more } as PlanOptions), { stepsTaken: 3, secure: true })
				.split("\n")
				.slice(3, 5);
		// σ_Δ = σ/√(1 − (σ/2σ_b)²) with σ_b = σ: σ/√¾.
		const onSum = Number((3.25 / Math.sqrt(0.75)).toPrecision(6));
		const told = (first: string) =>
			`  clipping     C = 0.5 in the first step, then by the noisy count towards the quantile 0.25 of the norms, within 0.1 and 8; of σ the sum has ${onSum}${first}, the count noise of 3.25 records`;
		expect(lines({})).toEqual([
			"  mechanism    Gaussian noise, σ = 3.25, on a sum of gradients clipped to C and a count of those that were not, divided by L",
			told(""),
		]);
		expect(lines({ noiseSchedule: { kind: "listed", factors: [1, 1.5] } })[1]).toBe(told(" in the first step"));
	});

	it("names the unit, the bins and how noise is correlated", () => {
		const small = { ...settings, datasetSize: 40, expectedBatchSize: 10, targetDelta: 1e-4, steps: 8, noiseMultiplier: 30 };
		const lines = (strategyCoefs: readonly number[]) =>
			privacyStatement(
				planPrivacy({ ...small, unit: { name: "patient", maxRecords: 3 }, sampling: { kind: "balls-in-bins", strategyCoefs } }),
				{
					...{ stepsTaken: 5, secure: true },
				},
			).split("\n");
		const plain = lines([1]);
		expect(plain.slice(1, 4)).toEqual([
			"  unit         one patient with all of its records, added or removed; at most 3 of them count, as the mean of their losses",
			"  sampling     balls in bins: each patient is in one of 4 bins for the whole run, any of them alike, on its own, and the steps take the bins in turn (N = 40 of kind patient declared public, L = 10)",
			"  mechanism    Gaussian noise, σ = 30, on a sum of gradients clipped to C = 0.5, divided by L",
		]);
		expect(lines([1, 0.5])[3]).toBe(
			"  mechanism    Gaussian noise, σ = 30, correlated by C⁻¹, C of 2 bands in proportion to 1, 0.5 and of columns of norm 1, on a sum of gradients clipped to C = 0.5, divided by L",
		);
		expect(lines([1, 0.5, 0.25, 0.125])[3]).toContain("C of 4 bands in proportion to 1, 0.5, 0.25, 0.125 and of");
		expect(lines([1, 0.5, 0.25, 0.125, 0.1])[3]).toContain("C of 5 bands in proportion to 1, 0.5, 0.25, 0.125, … and of");
	});

	it("warns of a δ above 1/(10 N), and of no smaller one", () => {
		const last = (targetDelta: number) =>
			privacyStatement(planPrivacy({ ...settings, targetDelta }), { stepsTaken: 1, secure: true })
				.split("\n")
				.at(-1);
		expect(last(2e-4)).toBe("Warning: δ = 2e-4 is above 1/(10·N) = 0.0001");
		expect(last(1e-4)).toMatch(/^ {2}- the base model/);
	});

	it("says ∞ without noise", () => {
		const none = planPrivacy({ ...settings, noiseMultiplier: 0, allowMeaninglessEpsilon: true });
		expect(privacyStatement(none, { stepsTaken: 1, secure: true })).toContain("(ε = ∞, δ = 1e-5)");
	});

	it("adds up what other runs on the records have spent, by the ledger", () => {
		const line = (earlier: readonly LedgerRun[]) =>
			/other runs {3}(.*)/.exec(privacyStatement(plan, { stepsTaken: 3, secure: true, earlier }))?.[1];
		expect(line([])).toBe("none on the same records, by the ledger");
		expect(line([run(0)])).toBe("none on the same records, by the ledger");
		// μ² adds up: 3/3.25² + 5/2² and, of a run without secure noise, 1/4².
		const together = (...squares: number[]) =>
			up(gdp(1, 0) + epsilon([{ sampleRate: 1, noiseMultiplier: squares.reduce((a, b) => a + b) ** -0.5, steps: 1 }], { delta: 1e-5 }));
		expect(line([run(5), run(0)])).toBe(`1 on the same records, by the ledger; all together ε = ${together(3 / 3.25 ** 2, 5 / 4)}`);
		expect(line([run(5), run(1, { noiseMultiplier: 4, secure: false })])).toBe(
			`2 on the same records, by the ledger; all together ε = ${together(3 / 3.25 ** 2, 5 / 4, 1 / 16)}; some without secure noise, which gave the records away to whoever has the seed`,
		);
	});

	it("tells runs that protect another unit apart, which do not add up with it", () => {
		const line = (...earlier: LedgerRun[]) =>
			/other runs {3}(.*)/.exec(privacyStatement(plan, { stepsTaken: 3, secure: true, earlier }))?.[1];
		const foreign = run(5, { unit: "patient" });
		const alone = line(run(5));
		expect(line(run(5), run(0, { unit: "patient" }))).toBe(alone);
		expect(line(run(5), foreign)).toBe(`${alone}; 1 that protects another unit, which does not add up with these`);
		expect(line(foreign, run(5), foreign)).toBe(`${alone}; 2 that protect another unit, which does not add up with these`);
		expect(line(foreign)).toBe("none on the same records, by the ledger; 1 that protects another unit, which does not add up with these");
	});

	it.each<[string, unknown]>([
		["privacyStatement: earlier[] is 3, expected options in an object", { stepsTaken: 1, secure: true, earlier: [3] }],
		["privacyStatement: facts is 3, expected options in an object", 3],
		["privacyStatement: earlier is 3, expected a list", { stepsTaken: 1, secure: true, earlier: 3 }],
		["stepsTaken must be an integer in 0..9007199254740991, got -1", { stepsTaken: -1, secure: true }],
		["secure must be true or false, got 1", { stepsTaken: 1, secure: 1 }],
	])("is not made of facts that no run can have: %s", (message, facts) => {
		expect(() => privacyStatement(plan, facts as { stepsTaken: number; secure: boolean })).toThrow(
			expect.objectContaining({ name: "ValueError", message: expect.stringContaining(message) }),
		);
	});

	it("is not made of anything but a plan", () => {
		expect(() => privacyStatement({ ...plan } as typeof plan, { stepsTaken: 1, secure: true })).toThrow(
			expect.objectContaining({ name: "PrivacyError", code: "privacy/plan" }),
		);
	});
});
