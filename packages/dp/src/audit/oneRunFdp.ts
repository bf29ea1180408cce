import { expects, named } from "@hushgrad/tensor/author";
import { lastWhere } from "../accountant/bisect.ts";
import { gaussianEpsilon } from "../accountant/gaussian.ts";
import { normalCdf, normalQuantile } from "../accountant/normal.ts";
import { checkSignificance } from "../check.ts";
import { type AuditConfidence, type AuditOptions, settled } from "./rates.ts";
import { type AttackCounts, checkCounts } from "./scores.ts";

/**
 * Whether a μ-Gaussian differentially private run is guessed so well with probability `significance` at most: Algorithm 3 of the source. h
 * and r bound the shares of canaries that a guesser gets wrong and right, whose number of right guesses reaches i with that probability.
 */
function refuted(mu: number, { included, excluded, truePositives, falsePositives }: AttackCounts, significance: number): boolean {
	const canaries = included + excluded;
	const guesses = truePositives + falsePositives;
	let right = (significance * truePositives) / canaries;
	let wrong = (significance * falsePositives) / canaries;
	for (let i = truePositives - 1; i >= 0 && right + wrong <= guesses / canaries; i--) {
		const more = normalCdf(normalQuantile(right) - mu) - wrong;
		if (more <= 0) break;
		wrong += more;
		right += (i / (guesses - i)) * more;
	}
	return right + wrong > guesses / canaries;
}

/**
 * A lower bound on the μ of Gaussian differential privacy from guesses about the canaries of ONE run, which were included by fair coins: the
 * largest μ that is refuted, for the best of some numbers of guesses chosen beforehand, such as `guessCounts` gives (Bonferroni); 0 where
 * none is.
 *
 * Guarantee: a μ-Gaussian differentially private run is given a larger bound with probability `significance` at most. It assumes nothing of
 * the scores, which may hang on each other, and tells more than `epsilonOneRun`, which lets a run leak as (ε, δ) does at its worst.
 * Source: Mahloujifar, Melis, Chaudhuri 2024 (arXiv 2410.22235).
 * @throws ValueError for counts or a significance outside their domain.
 */
export const muOneRun = named("muOneRun", (counts: readonly AttackCounts[], options: AuditConfidence = {}): number => {
	checkCounts("muOneRun", counts);
	expects("muOneRun", { options }, { options: "options" });
	const { significance = 0.05 } = options;
	checkSignificance(significance);
	const telling = ({ truePositives, falsePositives }: AttackCounts) =>
		(truePositives - falsePositives) / Math.sqrt(truePositives + falsePositives + 1);
	let best = 0;
	for (const each of counts.toSorted((a, b) => telling(b) - telling(a))) {
		const holds = (mu: number) => refuted(mu, each, significance / counts.length);
		if (!holds(best)) continue;
		let high = Math.max(1, 2 * best);
		while (holds(high)) high *= 2;
		best = lastWhere(holds, best, high);
	}
	return best;
});

/**
 * `muOneRun` as ε at δ, by `gaussianEpsilon`. For a run that is not Gaussian, such as one of sampled steps, it is an estimate and no bound.
 * jax_privacy's epsilon_one_run_fdp.
 * @throws ValueError for counts, δ or a significance outside their domain.
 */
export const epsilonOneRunFdp = named("epsilonOneRunFdp", (counts: readonly AttackCounts[], options: AuditOptions): number => {
	const { delta, significance } = settled("epsilonOneRunFdp", options);
	const mu = muOneRun(counts, { significance });
	return mu > 0 ? gaussianEpsilon(mu, delta) : 0;
});
