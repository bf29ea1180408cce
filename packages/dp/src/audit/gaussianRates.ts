import { expects, named } from "@hushgrad/tensor/author";
import { gaussianEpsilon } from "../accountant/gaussian.ts";
import { normalQuantile } from "../accountant/normal.ts";
import { type AuditConfidence, type AuditOptions, type ErrorBounds, errorBounds, settled } from "./rates.ts";
import { type AttackCounts, checkCounts } from "./scores.ts";

/** The μ that keeps two normal distributions of deviation 1 apart if a threshold between them errs so often; 0 or less where nothing does. */
export function muOf({ falsePositiveRate, falseNegativeRate }: ErrorBounds): number {
	if (falsePositiveRate >= 1 || falseNegativeRate >= 1) return 0;
	return -normalQuantile(falsePositiveRate) - normalQuantile(falseNegativeRate);
}

/**
 * A lower bound on the μ of Gaussian differential privacy from how often attacks are right: the largest −Φ⁻¹(FPR) − Φ⁻¹(FNR) of all
 * thresholds, with the upper bounds of Clopper and Pearson on both rates. A useless attack, or one that is wrong more often than right,
 * gives 0.
 *
 * Guarantee: a μ-Gaussian differentially private mechanism is given a larger bound with probability `significance` at most, under the
 * conditions of `epsilonFromRates`. Where every record is in every step the mechanism is Gaussian, and μ = √T/σ. Source: Nasr et al. 2023.
 * @throws ValueError for counts or a significance outside their domain.
 */
export const muFromRates = named("muFromRates", (counts: readonly AttackCounts[], options: AuditConfidence = {}): number => {
	checkCounts("muFromRates", counts);
	expects("muFromRates", { options }, { options: "options" });
	const { significance = 0.05 } = options;
	return Math.max(0, ...errorBounds(counts, significance).map(muOf));
});

/**
 * `muFromRates` as ε at δ, by `gaussianEpsilon`. For a mechanism that is not Gaussian, such as sampled steps, it is an estimate and no
 * bound: `noiseFromRates` is made for those.
 * @throws ValueError for counts, δ or a significance outside their domain.
 */
export const epsilonFromGaussianRates = named(
	"epsilonFromGaussianRates",
	(counts: readonly AttackCounts[], options: AuditOptions): number => {
		const { delta, significance } = settled("epsilonFromGaussianRates", options);
		const mu = muFromRates(counts, { significance });
		return mu > 0 ? gaussianEpsilon(mu, delta) : 0;
	},
);
