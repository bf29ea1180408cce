import { expects, named } from "@hushgrad/tensor/author";
import { lastWhere } from "../accountant/bisect.ts";
import { gaussianEpsilon } from "../accountant/gaussian.ts";
import { normalCdf } from "../accountant/normal.ts";
import { checkSignificance, refuse } from "../check.ts";
import { type AuditConfidence, type AuditOptions, settled } from "./rates.ts";
import { type CanaryScores, checkScores } from "./scores.ts";

/** Nodes of the quadrature on the width of what it adds up. */
const FINENESS = 4;
/** The quadrature covers so many deviations of s, and all but e^−40 of its lower tail. */
const REACH = 12;
const TAIL = 40;
/** A larger distance counts as this one, whose ε is above 1,000. */
const LARGEST_MU = 50;

/**
 * P[T > t] of the noncentral t distribution with `degrees` ν ≥ 2 degrees of freedom and noncentrality d: the mean of Φ(d − t s) over
 * s = √(χ²_ν/ν), by a trapezoid rule over ln s.
 */
export function noncentralTail(t: number, degrees: number, noncentrality: number): number {
	const spread = Math.max(REACH / Math.sqrt(2 * degrees), TAIL / degrees);
	const nodes = Math.ceil(2 * spread * FINENESS * (Math.sqrt(2 * degrees) + Math.abs(t)));
	let total = 0;
	let above = 0;
	for (let i = 0; i <= nodes; i++) {
		const x = spread * ((2 * i) / nodes - 1);
		const weight = Math.exp(degrees * (x - Math.expm1(2 * x) / 2));
		total += weight;
		above += weight * normalCdf(noncentrality - t * Math.exp(x));
	}
	return above / total;
}

const mean = (x: ArrayLike<number>): number => Array.from(x).reduce((sum, v) => sum + v, 0) / x.length;
const squares = (x: ArrayLike<number>, center: number): number => Array.from(x).reduce((sum, v) => sum + (v - center) ** 2, 0);

/**
 * A lower bound on the μ that keeps two normal distributions of equal deviation apart, from scores of both: the distance of their means in
 * deviations. Student's statistic of two samples is noncentral t with n₁ + n₀ − 2 degrees of freedom and noncentrality
 * μ/√(1/n₁ + 1/n₀), whatever mean and deviation are; the bound is the μ at which one as large has probability `significance`. It uses all
 * of the scores, where `muFromRates` counts them, and so tells more with as many canaries.
 *
 * Guarantee: where scores of included canaries are independent and N(a + μ s, s²), those of others N(a, s²), the bound is above μ with
 * probability `significance`. That is so for what canaries of orthogonal gradients, in every step, leave in the sum of the noisy steps.
 * After the Gaussian pair of Agrawal et al. 2026 (arXiv 2606.12733), for equal deviations, with an exact bound.
 * @throws ValueError for scores that are not finite, fewer than 2 of a kind, or a significance outside (0, 1).
 */
export const muFromScores = named("muFromScores", (scores: CanaryScores, options: AuditConfidence = {}): number => {
	checkScores("muFromScores", scores);
	expects("muFromScores", { options }, { options: "options" });
	const { included, excluded } = scores;
	const { significance = 0.05 } = options;
	checkSignificance(significance);
	const fewest = Math.min(included.length, excluded.length);
	if (fewest < 2) refuse("scores", "two or more of a kind", fewest);
	const degrees = included.length + excluded.length - 2;
	const [high, low] = [mean(included), mean(excluded)];
	const deviation = Math.sqrt((squares(included, high) + squares(excluded, low)) / degrees);
	const unit = Math.sqrt(1 / included.length + 1 / excluded.length);
	if (high <= low) return 0;
	const t = Math.min((high - low) / deviation, LARGEST_MU) / unit;
	const exceeded = (d: number) => noncentralTail(t, degrees, d) <= significance;
	return exceeded(0) ? lastWhere(exceeded, 0, t) * unit : 0;
});

/**
 * `muFromScores` as ε at δ, by `gaussianEpsilon`: the tightest audit of steps that take every record.
 * @throws ValueError as `muFromScores`, and for δ outside (0, 1).
 */
export const epsilonFromScores = named("epsilonFromScores", (scores: CanaryScores, options: AuditOptions): number => {
	const { delta, significance } = settled("epsilonFromScores", options);
	const mu = muFromScores(scores, { significance });
	return mu > 0 ? gaussianEpsilon(mu, delta) : 0;
});
