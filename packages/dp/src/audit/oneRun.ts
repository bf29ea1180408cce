import { expects, named } from "@hushgrad/tensor/author";
import { binomialTail, logBinomial } from "../accountant/binomial.ts";
import { lastWhere } from "../accountant/bisect.ts";
import { checkDelta, checkInteger, checkNonNegative } from "../check.ts";
import { type AuditOptions, settled } from "./rates.ts";
import { type AttackCounts, checkCounts } from "./scores.ts";

const NEGLIGIBLE = 2 ** -60;

/** Guesses about canaries that a fair coin has included or left out. */
export interface OneRunGuesses {
	/** Canaries m, of which each was in or out by a fair coin of its own. */
	readonly canaries: number;
	/** How many of them were guessed about, r; about the others nothing was said. */
	readonly guesses: number;
	/** How many guesses were right, v. */
	readonly correct: number;
	/** ε that is to be refuted, 0 or more. */
	readonly epsilon: number;
	/** δ that is to be refuted, in (0, 1). */
	readonly delta: number;
}

/**
 * The probability that guesses about the canaries of ONE run are so often right, or more often, if the run is (ε, δ)-differentially
 * private, at most: with Q = e^ε/(1 + e^ε),
 *
 *     p = min(1, β + 2 m δ a),  β = P[Bin(r, Q) ≥ v],  a = max over i = 1 … v of P[v − i ≤ Bin(r, Q) < v]/i.
 *
 * It assumes nothing of the scores, which may hang on each other. Float64. Source: Steinke, Nasr, Jagielski 2023.
 * @throws ValueError for numbers outside their domain.
 */
export const oneRunPValue = named("oneRunPValue", (options: OneRunGuesses): number => {
	expects("oneRunPValue", { options }, { options: "options" });
	const { canaries, guesses, correct, epsilon, delta } = options;
	checkInteger("canaries", canaries);
	checkInteger("guesses", guesses, { max: canaries });
	checkInteger("correct", correct, { min: 0, max: guesses });
	checkNonNegative("epsilon", epsilon);
	checkDelta(delta);
	const right = 1 / (1 + Math.exp(-epsilon));
	const beta = binomialTail(correct - 1, guesses, right);
	if (correct === 0) return 1;
	const logWrong = -epsilon - Math.log1p(Math.exp(-epsilon));
	let logTerm = logBinomial(correct - 1, guesses) + (correct - 1) * (logWrong + epsilon) + (guesses - correct + 1) * logWrong;
	let sum = 0;
	let slope = 0;
	for (let i = 1, k = correct - 1; i <= correct; i++, k--) {
		const term = Math.exp(logTerm);
		sum += term;
		slope = Math.max(slope, sum / i);
		if (k < right * guesses && term <= sum * NEGLIGIBLE) break;
		logTerm += Math.log(k / (guesses - k + 1)) - epsilon;
	}
	return Math.min(1, beta + 2 * canaries * delta * slope);
});

/**
 * A lower bound on ε at δ from one run, whose canaries were included by fair coins: the largest ε that `oneRunPValue` refutes, for the best
 * of some numbers of guesses chosen beforehand, such as `guessCounts` gives (Bonferroni); 0 where none is refuted.
 *
 * Guarantee: a run that is (ε, δ)-differentially private is given a larger bound with probability `significance` at most. The correction
 * by δ costs the more, the more canaries there are: keep 2 m δ far below `significance`. Source: Steinke, Nasr, Jagielski 2023.
 * @throws ValueError for counts, δ or a significance outside their domain.
 */
export const epsilonOneRun = named("epsilonOneRun", (counts: readonly AttackCounts[], options: AuditOptions): number => {
	checkCounts("epsilonOneRun", counts);
	const { delta, significance } = settled("epsilonOneRun", options);
	let best = 0;
	for (const { included, excluded, truePositives, falsePositives } of counts) {
		const guesses = truePositives + falsePositives;
		if (guesses === 0) continue;
		const given = { canaries: included + excluded, guesses, correct: truePositives, delta };
		const refuted = (epsilon: number) => oneRunPValue({ ...given, epsilon }) <= significance / counts.length;
		if (!refuted(best)) continue;
		let high = Math.max(1, 2 * best);
		while (refuted(high)) high *= 2;
		best = lastWhere(refuted, best, high);
	}
	return best;
});
