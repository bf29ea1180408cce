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
	insecureNoiseForTests,
	muFromRates,
	muFromScores,
	noiseFromRates,
	oneRunPValue,
	refutes,
} from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import { describe, expect, test } from "vitest";
import { noncentralTail } from "../../packages/dp/src/audit/gaussianPair.ts";
import goldens from "../goldens/audits.json" with { type: "json" };

/** Scores of so many canaries, half of them included, from N(mu, 1) and N(0, 1). */
function gaussianScores(canaries: number, mu: number, seed: number): CanaryScores {
	const normals = new Float64Array(canaries);
	insecureNoiseForTests(seed).fillNormals(normals);
	return { included: normals.subarray(0, canaries / 2).map((v) => v + mu), excluded: normals.subarray(canaries / 2) };
}

const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;

describe("bounds on rates", () => {
	test.each(goldens.rates)("$successes of $trials at $significance: SciPy's", ({ lower, upper, ...count }) => {
		const bounds = clopperPearson(count);
		expect(Math.abs(bounds.lower - lower)).toBeLessThan(1e-11 * Math.max(lower, 1e-3));
		expect(Math.abs(bounds.upper - upper)).toBeLessThan(1e-11);
	});

	test("are wrong as often as they say", () => {
		const source = insecureNoiseForTests(1);
		let wrong = 0;
		for (let run = 0; run < 2000; run++) {
			let successes = 0;
			for (let i = 0; i < 60; i++) if (source.uniform53() < 0.2) successes++;
			if (clopperPearson({ successes, trials: 60, significance: 0.1 }).upper < 0.2) wrong++;
		}
		expect(wrong / 2000).toBeLessThan(0.1 + 4 * Math.sqrt((0.1 * 0.9) / 2000));
		expect(wrong / 2000).toBeGreaterThan(0.04);
	});
});

describe("one run", () => {
	test.each(goldens.pValues)("$correct of $guesses of $canaries at ε $epsilon, δ $delta: jax_privacy's", ({ p, ...guesses }) => {
		expect(Math.abs(oneRunPValue(guesses) - p)).toBeLessThan(1e-10 * p + 1e-300);
	});
});

describe("the noncentral t distribution", () => {
	test.each(goldens.noncentralT)("$t, $degrees degrees, $noncentrality: SciPy's", ({ t, degrees, noncentrality, p }) => {
		expect(Math.abs(noncentralTail(t, degrees, noncentrality) - p)).toBeLessThan(1e-8 * p);
	});
});

describe.each(goldens.audits)("$name", ({ included, excluded, truePositives, falsePositives, ...golden }) => {
	const { oneRun, oneRunFdp, rates, gaussian, ...options } = golden;
	const counts = truePositives.map((t, i) => ({ included, excluded, truePositives: t, falsePositives: falsePositives[i] }));

	test("jax_privacy's bounds of one run", () => expect(epsilonOneRun(counts, options)).toBeCloseTo(oneRun, 5));
	test("jax_privacy's bounds of one run of f-DP", () => expect(epsilonOneRunFdp(counts, options)).toBeCloseTo(oneRunFdp, 5));
	test("jax_privacy's bounds from rates", () => expect(epsilonFromRates(counts, options)).toBeCloseTo(rates, 8));
	test("jax_privacy's bounds from rates of Gaussians", () => expect(epsilonFromGaussianRates(counts, options)).toBeCloseTo(gaussian, 6));
});

describe("an audit of scores", () => {
	const options = { delta: 1e-5, significance: 0.05 };
	const bounds = (scores: CanaryScores) => {
		const counts = attackCounts(scores);
		const guesses = guessCounts(scores);
		const ofOneRun = [epsilonOneRun(guesses, options), epsilonOneRunFdp(guesses, options)];
		return [...ofOneRun, epsilonFromRates(counts, options), epsilonFromGaussianRates(counts, options)];
	};
	const runs = (count: number, canaries: number, mu: number) =>
		Array.from({ length: count }, (_, run) => gaussianScores(canaries, mu, 1000 * mu + run));

	/**
	 * Mean bounds (one run, one run of f-DP, rates, rates of Gaussians) for μ = 1, 2, 4, simulated with jax_privacy's method: it chooses
	 * thresholds by the scores.
	 */
	const expected = [
		[100, [0.11, 0.15, 0, 0], [1.1, 1.73, 0.79, 3.37], [2.34, 4.37, 2.15, 11.66]],
		[200, [0.4, 0.56, 0.19, 0.73], [1.56, 2.37, 1.27, 5], [2.92, 5.15, 2.73, 14.47]],
		[500, [0.76, 1.03, 0.54, 1.87], [2.03, 2.92, 1.81, 6.5], [3.61, 5.93, 3.49, 17.14]],
		[1000, [0.92, 1.27, 0.79, 2.49], [2.18, 3.25, 2.22, 7.38], [4.02, 6.45, 4.05, 18.86]],
		[2000, [0.89, 1.49, 1.05, 3], [1.83, 3.54, 2.62, 8.05], [3.93, 7.01, 4.63, 20.24]],
	] as const;
	test.each(expected)(
		"of %d canaries finds what is expected, of fewer than 500 0.8 of it, from thresholds chosen beforehand",
		(canaries, ...ofMu) => {
			ofMu.forEach((ofKind, i) => {
				const mu = 2 ** i;
				const found = runs(20, canaries, mu).map((scores) => bounds(scores));
				ofKind.forEach((value, k) => {
					const own = found.map((f) => f[k]);
					expect(mean(own)).toBeGreaterThan((canaries < 500 ? 0.8 : 0.95) * value);
				});
				for (const each of found) expect(Math.max(...each)).toBeLessThan(gaussianEpsilon(mu, options.delta));
			});
		},
	);

	test.each([0, 0.5, 2])("finds more than there is as rarely as it says: μ %d", (mu) => {
		const found = runs(200, 200, mu);
		const above = (of: (scores: CanaryScores) => number) => found.filter((scores) => of(scores) > mu).length / found.length;
		const most = 0.1 + 4 * Math.sqrt((0.1 * 0.9) / found.length);
		expect(above((s) => muFromRates(attackCounts(s), { significance: 0.1 }))).toBeLessThan(most);
		const byScores = above((s) => muFromScores(s, { significance: 0.1 }));
		expect(byScores).toBeLessThan(most);
		if (mu > 0) expect(byScores).toBeGreaterThan(0.02);
	});

	test("gives 0 for a useless attack, and for one that is wrong more often than right", () => {
		const { included, excluded } = gaussianScores(2000, 1, 5);
		const wrong = { included: excluded, excluded: included };
		const equal = { included: [1, 1, 1], excluded: [1, 1] };
		for (const scores of [wrong, equal]) {
			expect(epsilonFromGaussianRates(attackCounts(scores), options)).toBe(0);
			expect(epsilonFromRates(attackCounts(scores), options)).toBe(0);
			expect(epsilonOneRun(guessCounts(scores), options)).toBe(0);
		}
		expect(epsilonFromScores(wrong, options)).toBe(0);
	});

	test("tells more by scores than by thresholds, and less than there is", () => {
		const scores = gaussianScores(1000, 1, 9);
		const all = epsilonFromScores(scores, options);
		expect(all).toBeGreaterThan(epsilonFromGaussianRates(attackCounts(scores), options));
		expect(all).toBeLessThan(gaussianEpsilon(1, options.delta));
	});
});

describe("scores without noise", () => {
	test("keep canaries apart, or tell nothing", () => {
		expect(muFromScores({ included: Array(500).fill(1), excluded: Array(500).fill(0) })).toBeGreaterThan(40);
		expect(muFromScores({ included: [1, 1], excluded: [1, 1] })).toBe(0);
		expect(muFromScores({ included: [0, 0], excluded: [1, 1] })).toBe(0);
	});
});

describe("an audit of noise", () => {
	const historyOf = (noiseMultiplier: number) => [{ sampleRate: 1, noiseMultiplier, steps: 4 }];

	test("finds a little more noise than there is, and refutes a claim of much more", () => {
		const counts = attackCounts(gaussianScores(1000, 2, 3));
		const found = noiseFromRates(historyOf, counts, { significance: 0.01 });
		expect(found).toBeGreaterThan(1);
		expect(found).toBeLessThan(1.4);
		expect(found).toBeCloseTo(2 / muFromRates(counts, { significance: 0.01 }), 1);
		expect(refutes(historyOf(1), counts, { significance: 0.01 })).toBe(false);
		expect(refutes(historyOf(1.4), counts, { significance: 0.01 })).toBe(true);
	});

	test("of an attack that is hardly better than chance finds much noise, or any", () => {
		const counts = [{ included: 1e6, excluded: 1e6, truePositives: 502_500, falsePositives: 500_000 }];
		expect(noiseFromRates(historyOf, counts)).toBeGreaterThan(500);
	});

	test("knows of no noise where nothing shows", () => {
		expect(noiseFromRates(historyOf, attackCounts(gaussianScores(200, 0, 3)))).toBe(Number.POSITIVE_INFINITY);
	});
});

describe("exposure", () => {
	test("is the rank in bits", () => {
		const excluded = [3, 1, 2, 0, -1, -2, -3];
		expect([...exposure({ included: [9, 2.5, -9, 3], excluded })]).toEqual([3, 2, 0, 3 - Math.log2(1.5)]);
	});

	test("is 1/ln 2 bits on average without a leak", () => {
		expect(mean([...exposure(gaussianScores(4000, 0, 1))])).toBeCloseTo(1 / Math.LN2, 0);
	});
});

describe("what is no audit", () => {
	const scores = { included: [1, 2], excluded: [0, 1] };
	test.each([
		["no scores", () => attackCounts({ included: [], excluded: [1] })],
		["scores that are not finite", () => guessCounts({ included: [Number.NaN], excluded: [1] })],
		["no thresholds", () => attackCounts(scores, ["0"] as unknown as number[])],
		["no counts", () => muFromRates([])],
		["counts that are none", () => muFromRates([undefined] as unknown as AttackCounts[])],
		["more right guesses than canaries", () => muFromRates([{ included: 1, excluded: 1, truePositives: 2, falsePositives: 0 }])],
		["no δ", () => epsilonFromRates(attackCounts(scores), { delta: 0 })],
		["no significance", () => epsilonOneRun(attackCounts(scores), { delta: 1e-5, significance: 1 })],
		["a single score", () => muFromScores({ included: [1], excluded: [1, 2] })],
		["more successes than trials", () => clopperPearson({ successes: 2, trials: 1, significance: 0.1 })],
		["more guesses than canaries", () => guessCounts(scores, [5])],
	])("%s", (_, audit) => expect(audit).toThrow(ValueError));
});
