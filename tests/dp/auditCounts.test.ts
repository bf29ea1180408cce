import {
	type AttackCounts,
	attackCounts,
	type CanaryScores,
	clopperPearson,
	epsilonFromGaussianRates,
	epsilonFromRates,
	epsilonFromScores,
	epsilonOneRun,
	epsilonOneRunFdp,
	exposure,
	gaussianEpsilon,
	guessCounts,
	muFromRates,
	muFromScores,
	muOneRun,
	oneRunPValue,
} from "@hushgrad/dp";
import { describe, expect, it, test } from "vitest";
import { normalQuantile } from "../../packages/dp/src/accountant/normal.ts";
import { noncentralTail } from "../../packages/dp/src/audit/gaussianPair.ts";
import { muOf } from "../../packages/dp/src/audit/gaussianRates.ts";
import { errorBounds } from "../../packages/dp/src/audit/rates.ts";
import goldens from "../goldens/audits.json" with { type: "json" };

const wrong = (v: unknown): never => v as never;
const valueError = (code: string, message: string) =>
	expect.objectContaining({ name: "ValueError", code, message: expect.stringContaining(message) });

const counts: AttackCounts = { included: 10, excluded: 20, truePositives: 9, falsePositives: 1 };

describe("bounds on a rate", () => {
	test.each(goldens.rates)("$successes of $trials at $significance: SciPy's", ({ lower, upper, ...count }) => {
		const bounds = clopperPearson(count);
		expect(Math.abs(bounds.lower - lower)).toBeLessThan(1e-11 * Math.max(lower, 1e-3));
		expect(Math.abs(bounds.upper - upper)).toBeLessThan(1e-11);
	});

	it("have closed forms where nothing or everything is a success", () => {
		// (1 − p)ⁿ = significance, and pⁿ.
		expect(clopperPearson({ successes: 0, trials: 9, significance: 0.1 })).toEqual({
			lower: 0,
			upper: expect.closeTo(1 - 0.1 ** (1 / 9), 14),
		});
		expect(clopperPearson({ successes: 9, trials: 9, significance: 0.1 })).toEqual({ lower: expect.closeTo(0.1 ** (1 / 9), 14), upper: 1 });
	});

	it("refuse counts that are none", () => {
		const count = { successes: 1, trials: 2, significance: 0.1 };
		expect(() => clopperPearson({ ...count, trials: 0 })).toThrow(valueError("dp/trials", "trials must be an integer in 1.."));
		expect(() => clopperPearson({ ...count, successes: 3 })).toThrow(
			valueError("dp/successes", "successes must be an integer in 0..2, got 3"),
		);
		expect(() => clopperPearson({ ...count, successes: -1 })).toThrow("successes must be an integer in 0..2, got -1");
		expect(() => clopperPearson({ ...count, significance: 1 })).toThrow("significance must be");
		expect(() => clopperPearson(wrong(3))).toThrow("clopperPearson: count is 3, expected options in an object");
	});
});

describe("counts of an attack", () => {
	const scores = { included: [5, 3, 3, 1], excluded: [4, 3, 0] };

	it("are those that reach each threshold", () => {
		const of = (truePositives: number, falsePositives: number) => ({ included: 4, excluded: 3, truePositives, falsePositives });
		expect(attackCounts(scores, [6, 5, 3, 3.5, -1])).toEqual([of(0, 0), of(1, 0), of(3, 2), of(1, 1), of(4, 3)]);
		expect(attackCounts(scores, [])).toEqual([]);
	});

	it("have as thresholds the scores at ½, ⅕, ⅒, 1/20 and 1/50 from the top of each list, when left out", () => {
		const included = Array.from({ length: 100 }, (_, i) => i);
		const excluded = Array.from({ length: 200 }, (_, i) => i / 2 - 1000);
		const at = (list: number[], ranks: number[]) => ranks.map((r) => list.toSorted((a, b) => b - a)[r - 1]);
		const thresholds = [...at(included, [50, 20, 10, 5, 2]), ...at(excluded, [100, 40, 20, 10, 4])];
		expect(attackCounts({ included, excluded })).toEqual(attackCounts({ included, excluded }, thresholds));
		const mixed = { included: included.map((v) => (v * 37) % 100), excluded: excluded.toReversed() };
		expect(attackCounts(mixed)).toEqual(attackCounts({ included, excluded }));
		// Of a short list the highest score, at least.
		expect(attackCounts({ included: [7, 9], excluded: [1] })).toEqual(
			attackCounts({ included: [7, 9], excluded: [1] }, [9, 9, 9, 9, 9, 1, 1, 1, 1, 1]),
		);
	});

	it("of guesses take the highest scores, of equal ones those left out first", () => {
		const of = (truePositives: number, falsePositives: number) => ({ included: 4, excluded: 3, truePositives, falsePositives });
		expect(guessCounts(scores, [1, 2, 3, 4, 5, 6, 7])).toEqual([of(1, 0), of(1, 1), of(1, 2), of(2, 2), of(3, 2), of(4, 2), of(4, 3)]);
		const many = { included: new Array(60).fill(1), excluded: new Array(40).fill(0) };
		expect(guessCounts(many).map((c) => c.truePositives)).toEqual([45, 25, 10, 5, 3]);
		expect(guessCounts({ included: [1], excluded: [0] }).map((c) => c.truePositives)).toEqual([1, 1, 1, 1, 1]);
	});

	it("refuse scores, thresholds and guesses that are none, by name", () => {
		for (const [op, call] of [
			["attackCounts", attackCounts],
			["guessCounts", guessCounts],
			["exposure", exposure],
			["muFromScores", muFromScores],
		] as const) {
			const of = (change: object) => call({ included: [1, 2], excluded: [1, 2], ...change });
			expect(() => call(wrong(3))).toThrow(`${op}: scores is 3, expected options in an object`);
			for (const name of ["included", "excluded"]) {
				for (const none of [[], undefined, null, 3, {}]) {
					expect(() => of({ [name]: none })).toThrow(
						valueError("dp/scores", `scores must be lists of scores, one or more in ${name}, got `),
					);
				}
				for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, "1"]) {
					expect(() => of({ [name]: [0, bad] })).toThrow(valueError("dp/scores", `scores must be finite in ${name}, got `));
				}
			}
		}
		expect(() => attackCounts(scores, wrong(3))).toThrow("attackCounts: thresholds is 3, expected a list");
		expect(() => attackCounts(scores, wrong(["0"]))).toThrow(valueError("dp/thresholds", 'thresholds must be a list of numbers, got "0"'));
		expect(() => guessCounts(scores, wrong(3))).toThrow("guessCounts: guesses is 3, expected a list");
		for (const bad of [0, 8, 0.5])
			expect(() => guessCounts(scores, [bad])).toThrow(valueError("dp/guesses", "guesses must be an integer in 1..7"));
	});

	it("are refused where they cannot be, by name", () => {
		const options = { delta: 1e-5 };
		for (const [op, call] of [
			["muFromRates", muFromRates],
			["epsilonFromRates", (c: AttackCounts[]) => epsilonFromRates(c, options)],
			["epsilonOneRun", (c: AttackCounts[]) => epsilonOneRun(c, options)],
			["muOneRun", muOneRun],
			["epsilonFromGaussianRates", (c: AttackCounts[]) => epsilonFromGaussianRates(c, options)],
		] as const) {
			expect(() => call(wrong(3))).toThrow(`${op}: counts is 3, expected a list`);
			expect(() => call([])).toThrow(valueError("dp/counts", "counts must be a list of counts, one or more"));
			for (const none of [undefined, null, 3]) {
				expect(() => call([counts, wrong(none)])).toThrow(
					valueError("dp/counts", "counts must be a list of counts, as attackCounts gives, got "),
				);
			}
			for (const [name, bad, range] of [
				["included", 0, "1.."],
				["excluded", 0, "1.."],
				["truePositives", 11, "0..10"],
				["truePositives", -1, "0..10"],
				["falsePositives", 21, "0..20"],
				["falsePositives", -1, "0..20"],
			] as const) {
				expect(() => call([{ ...counts, [name]: bad }])).toThrow(valueError(`dp/${name}`, `${name} must be an integer in ${range}`));
			}
		}
	});
});

describe("bounds from rates", () => {
	const upper = (successes: number, trials: number, significance: number) => clopperPearson({ successes, trials, significance }).upper;

	it("hold at all thresholds together, and for both kinds of error", () => {
		const two = [counts, { ...counts, truePositives: 4, falsePositives: 0 }];
		expect(errorBounds(two, 0.1)).toEqual([
			{ falsePositiveRate: upper(1, 20, 0.025), falseNegativeRate: upper(1, 10, 0.025) },
			{ falsePositiveRate: upper(0, 20, 0.025), falseNegativeRate: upper(6, 10, 0.025) },
		]);
		expect(() => errorBounds(two, 0)).toThrow("significance must be");
	});

	it("are the largest of what any threshold tells, 0.05 being the significance when left out", () => {
		const tells = ({ included, excluded, truePositives, falsePositives }: AttackCounts, delta: number, each: number) => {
			const [fpr, fnr] = [upper(falsePositives, excluded, each), upper(included - truePositives, included, each)];
			return [Math.log((1 - fnr - delta) / fpr), Math.log((1 - fpr - delta) / fnr)];
		};
		const [better, worse, turned] = [
			counts,
			{ ...counts, truePositives: 5 },
			{ included: 20, excluded: 10, truePositives: 19, falsePositives: 1 },
		];
		const each = 0.05 / 4;
		for (const delta of [1e-5, 0.2]) {
			expect(epsilonFromRates([worse, better], { delta })).toBeCloseTo(Math.max(...tells(better, delta, each)), 12);
			expect(epsilonFromRates([turned, worse], { delta })).toBeCloseTo(Math.max(...tells(turned, delta, each)), 12);
			expect(epsilonFromRates([better], { delta, significance: 0.5 })).toBeCloseTo(Math.max(...tells(better, delta, 0.25)), 12);
		}
		expect(epsilonFromRates([better], { delta: 0.99 })).toBe(0);
		expect(() => epsilonFromRates([better], { delta: 1 })).toThrow("delta must be");
		expect(() => epsilonFromRates([better], { delta: 0.1, significance: 0 })).toThrow("significance must be");
		expect(() => epsilonFromRates([better], wrong(3))).toThrow("epsilonFromRates: options is 3, expected options in an object");
	});

	it("of Gaussians are the distance of their quantiles", () => {
		// Φ(1) and Φ(2).
		const [one, two] = [0.8413447460685429, 0.9772498680518208];
		expect(muOf({ falsePositiveRate: 1 - two, falseNegativeRate: 1 - one })).toBeCloseTo(3, 12);
		expect(muOf({ falsePositiveRate: two, falseNegativeRate: 1 - one })).toBeCloseTo(-1, 12);
		for (const rates of [
			{ falsePositiveRate: 1, falseNegativeRate: 0.1 },
			{ falsePositiveRate: 0.1, falseNegativeRate: 1 },
		]) {
			expect(muOf(rates)).toBe(0);
		}
		const of = (c: AttackCounts, each: number) => muOf(errorBounds([c], 2 * each)[0]);
		expect(muFromRates([{ ...counts, truePositives: 5 }, counts])).toBeCloseTo(of(counts, 0.05 / 4), 12);
		expect(muFromRates([counts], { significance: 0.4 })).toBeCloseTo(of(counts, 0.2), 12);
		expect(muFromRates([{ ...counts, truePositives: 1, falsePositives: 19 }])).toBe(0);
		expect(epsilonFromGaussianRates([counts], { delta: 1e-3, significance: 0.4 })).toBe(
			gaussianEpsilon(muFromRates([counts], { significance: 0.4 }), 1e-3),
		);
		expect(epsilonFromGaussianRates([counts], { delta: 1e-3 })).toBe(gaussianEpsilon(muFromRates([counts], { significance: 0.05 }), 1e-3));
		expect(epsilonFromGaussianRates([{ ...counts, truePositives: 1 }], { delta: 1e-3 })).toBe(0);
		expect(() => muFromRates([counts], wrong(3))).toThrow("muFromRates: options is 3, expected options in an object");
		expect(() => epsilonFromGaussianRates([counts], wrong(3))).toThrow("epsilonFromGaussianRates: options is 3");
	});
});

/** Audits with few thresholds; those with many are in auditStatistics.test.ts. */
const AUDITS = goldens.audits.filter(({ truePositives }) => truePositives.length < 100);

describe.each(AUDITS)("$name", ({ included, excluded, truePositives, falsePositives, ...golden }) => {
	const { oneRun, oneRunFdp, rates, gaussian, ...options } = golden;

	it("has jax_privacy's bounds", () => {
		const all = truePositives.map((t, i) => ({ included, excluded, truePositives: t, falsePositives: falsePositives[i] }));
		expect(epsilonOneRun(all, options)).toBeCloseTo(oneRun, 5);
		expect(epsilonOneRunFdp(all, options)).toBeCloseTo(oneRunFdp, 5);
		expect(epsilonFromRates(all, options)).toBeCloseTo(rates, 8);
		expect(epsilonFromGaussianRates(all, options)).toBeCloseTo(gaussian, 6);
	});
});

describe("one run", () => {
	const guess = { canaries: 20, guesses: 10, correct: 9, epsilon: 1, delta: 1e-3 };

	test.each(goldens.pValues)("$correct of $guesses of $canaries at ε $epsilon, δ $delta: jax_privacy's", ({ p, ...guesses }) => {
		expect(Math.abs(oneRunPValue(guesses) - p)).toBeLessThan(1e-10 * p + 1e-300);
	});

	it("has the probability of its formula, summed up term by term", () => {
		for (const epsilon of [0, 0.5, 3]) {
			for (const [guesses, correct] of [
				[10, 9],
				[10, 10],
				[20, 1],
				[20, 12],
				[1, 1],
				[1, 0],
			]) {
				const q = 1 / (1 + Math.exp(-epsilon));
				const law = [(1 - q) ** guesses];
				for (let k = 1; k <= guesses; k++) law.push(((law[k - 1] * (guesses - k + 1)) / k) * (q / (1 - q)));
				const between = (from: number, to: number) => law.slice(Math.max(0, from), Math.max(0, to)).reduce((a, b) => a + b, 0);
				let slope = 0;
				for (let i = 1; i <= correct; i++) slope = Math.max(slope, between(correct - i, correct) / i);
				const expected = Math.min(1, between(correct, guesses + 1) + 2 * 20 * 1e-3 * slope);
				expect(oneRunPValue({ ...guess, guesses, correct, epsilon })).toBeCloseTo(expected, 12);
			}
		}
		expect(oneRunPValue({ ...guess, correct: 5, delta: 0.99 })).toBe(1);
	});

	it("refuses numbers outside their domain, by name", () => {
		for (const [name, bad, range] of [
			["canaries", 0, "an integer in 1.."],
			["guesses", 21, "an integer in 1..20"],
			["guesses", 0, "an integer in 1..20"],
			["correct", 11, "an integer in 0..10"],
			["correct", -1, "an integer in 0..10"],
			["epsilon", -1, "a finite number, 0 or more"],
			["delta", 0, "a probability"],
		] as const) {
			expect(() => oneRunPValue({ ...guess, [name]: bad })).toThrow(valueError(`dp/${name}`, `${name} must be ${range}`));
		}
		expect(() => oneRunPValue(wrong(3))).toThrow("oneRunPValue: options is 3, expected options in an object");
	});

	it("refutes the largest ε that its best number of guesses does", () => {
		const of = (truePositives: number, falsePositives: number): AttackCounts => ({
			included: 500,
			excluded: 500,
			truePositives,
			falsePositives,
		});
		const delta = 1e-6;
		for (const [all, best] of [
			[[of(300, 0)], of(300, 0)],
			[[of(0, 0), of(60, 2), of(300, 100)], of(60, 2)],
			[[of(300, 100), of(60, 2), of(0, 0)], of(60, 2)],
		] as const) {
			const epsilon = epsilonOneRun(all, { delta });
			const p = (e: number) =>
				oneRunPValue({ canaries: 1000, guesses: best.truePositives + best.falsePositives, correct: best.truePositives, epsilon: e, delta });
			expect(p(epsilon)).toBeLessThanOrEqual(0.05 / all.length);
			expect(p(epsilon + 1e-9)).toBeGreaterThan(0.05 / all.length);
		}
		expect(epsilonOneRun([of(0, 0)], { delta })).toBe(0);
		expect(epsilonOneRun([of(50, 50)], { delta })).toBe(0);
		expect(() => epsilonOneRun([of(1, 0)], wrong(3))).toThrow("epsilonOneRun: options is 3, expected options in an object");
	});
});

describe("one run of Gaussian differential privacy", () => {
	const of = (truePositives: number, falsePositives: number): AttackCounts => ({
		...{ included: 500, excluded: 500 },
		...{ truePositives, falsePositives },
	});

	it("is bounded by its best number of guesses, 0.05 being the significance when left out", () => {
		const [one, two] = [of(60, 2), of(300, 100)];
		const alone = (counts: AttackCounts, significance: number) => muOneRun([counts], { significance });
		expect(alone(one, 0.025)).toBeGreaterThan(alone(two, 0.025));
		expect(muOneRun([two, one])).toBe(alone(one, 0.025));
		expect(muOneRun([one, two])).toBe(alone(one, 0.025));
		expect(epsilonOneRunFdp([one], { delta: 1e-3 })).toBe(gaussianEpsilon(alone(one, 0.05), 1e-3));
		expect(epsilonOneRunFdp([one], { delta: 1e-3, significance: 0.3 })).toBe(gaussianEpsilon(alone(one, 0.3), 1e-3));
	});

	it("of a single guess has the closed form Φ⁻¹(s/m) − Φ⁻¹((1 − s)/m)", () => {
		for (const [canaries, significance] of [
			[2, 0.9],
			[10, 0.8],
			[1000, 0.99],
		]) {
			const one = { included: canaries / 2, excluded: canaries / 2, truePositives: 1, falsePositives: 0 };
			const mu = normalQuantile(significance / canaries) - normalQuantile((1 - significance) / canaries);
			expect(muOneRun([one], { significance })).toBeCloseTo(mu, 10);
			expect(muOneRun([one], { significance: 0.4 })).toBe(0);
		}
	});

	it("is 0 where nothing shows", () => {
		for (const useless of [of(0, 0), of(0, 50), of(50, 50), of(40, 60)]) {
			expect(muOneRun([useless])).toBe(0);
			expect(epsilonOneRunFdp([useless], { delta: 1e-5 })).toBe(0);
		}
	});

	it("refuses options that are none", () => {
		expect(() => muOneRun([of(1, 0)], wrong(3))).toThrow("muOneRun: options is 3, expected options in an object");
		expect(() => muOneRun([of(1, 0)], { significance: 1 })).toThrow("significance must be");
		expect(() => epsilonOneRunFdp([of(1, 0)], wrong(3))).toThrow("epsilonOneRunFdp: options is 3, expected options in an object");
		expect(() => epsilonOneRunFdp([of(1, 0)], { delta: 0 })).toThrow("delta must be");
		expect(() => epsilonOneRunFdp([], { delta: 0.1 })).toThrow("counts must be a list of counts, one or more");
	});
});

describe("bounds from scores", () => {
	const scores: CanaryScores = { included: [5, 4, 6.5, 5.5], excluded: [3, 2.5, 4, 3.25, 3.5] };

	test.each(goldens.noncentralT)("noncentral t $t, $degrees degrees, $noncentrality: SciPy's", ({ t, degrees, noncentrality, p }) => {
		expect(Math.abs(noncentralTail(t, degrees, noncentrality) - p)).toBeLessThan(1e-8 * p);
	});

	it("are the μ at which Student's statistic is as large with the significance", () => {
		const mean = (x: ArrayLike<number>) => Array.from(x).reduce((a, b) => a + b) / x.length;
		const square = (x: ArrayLike<number>) => Array.from(x).reduce((a, b) => a + (b - mean(x)) ** 2, 0);
		const unit = Math.sqrt(1 / 4 + 1 / 5);
		const t = (mean(scores.included) - mean(scores.excluded)) / Math.sqrt((square(scores.included) + square(scores.excluded)) / 7) / unit;
		for (const significance of [0.05, 0.2]) {
			const mu = muFromScores(scores, significance === 0.05 ? {} : { significance });
			expect(noncentralTail(t, 7, mu / unit)).toBeCloseTo(significance, 10);
		}
		expect(epsilonFromScores(scores, { delta: 1e-3, significance: 0.2 })).toBe(
			gaussianEpsilon(muFromScores(scores, { significance: 0.2 }), 1e-3),
		);
		expect(epsilonFromScores(scores, { delta: 1e-3 })).toBe(gaussianEpsilon(muFromScores(scores), 1e-3));
	});

	it("are 0 where nothing shows", () => {
		const { included, excluded } = scores;
		for (const nothing of [
			{ included: excluded, excluded: included },
			{ included, excluded: included },
			{ included: [1, 3], excluded: [0, 2.9] },
		]) {
			expect(muFromScores(nothing)).toBe(0);
			expect(epsilonFromScores(nothing, { delta: 1e-3 })).toBe(0);
		}
	});

	it("refuse fewer than two of a kind, and options that are none", () => {
		for (const few of [
			{ included: [1], excluded: [1, 2] },
			{ included: [1, 2], excluded: [1] },
		]) {
			expect(() => muFromScores(few)).toThrow(valueError("dp/scores", "scores must be two or more of a kind, got 1"));
		}
		expect(() => muFromScores(scores, wrong(3))).toThrow("muFromScores: options is 3, expected options in an object");
		expect(() => muFromScores(scores, { significance: 1 })).toThrow("significance must be");
		expect(() => epsilonFromScores(scores, wrong(3))).toThrow("epsilonFromScores: options is 3, expected options in an object");
		expect(() => epsilonFromScores(scores, { delta: 0 })).toThrow("delta must be");
	});
});

it("exposure is the rank in bits, of equal scores half a rank", () => {
	const excluded = [3, 1, 2, 0, -1, -2, -3];
	expect([...exposure({ included: [9, 2.5, -9, 3], excluded })]).toEqual([3, 2, 0, 3 - Math.log2(1.5)]);
});
