import { expects, named } from "@hushgrad/tensor/author";
import { checkDelta, checkSignificance } from "../check.ts";
import { clopperPearson } from "./clopperPearson.ts";
import { type AttackCounts, checkCounts } from "./scores.ts";

/** How sure an audit is. */
export interface AuditConfidence {
	/** The probability with which a bound may be wrong, all thresholds together; 0.05 when left out. */
	readonly significance?: number | undefined;
}

/** What an audit asks for. */
export interface AuditOptions extends AuditConfidence {
	/** δ of the guarantee, in (0, 1). */
	readonly delta: number;
}

/**
 * The options with their default.
 * @throws ValueError for δ or a significance outside (0, 1).
 */
export function settled(op: string, options: AuditOptions): { readonly delta: number; readonly significance: number } {
	expects(op, { options }, { options: "options" });
	const { delta, significance = 0.05 } = options;
	checkDelta(delta);
	checkSignificance(significance);
	return { delta, significance };
}

/** Upper bounds on the two kinds of error of an attack. */
export interface ErrorBounds {
	/** How often it takes a canary left out for included, at most. */
	readonly falsePositiveRate: number;
	/** How often it fails to recognise an included one, at most. */
	readonly falseNegativeRate: number;
}

/** Bounds on the errors at each threshold, all of which hold together with probability 1 − significance (Bonferroni). */
export function errorBounds(counts: readonly AttackCounts[], significance: number): ErrorBounds[] {
	checkSignificance(significance);
	const each = significance / (2 * counts.length);
	return counts.map(({ included, excluded, truePositives, falsePositives }) => ({
		falsePositiveRate: clopperPearson({ successes: falsePositives, trials: excluded, significance: each }).upper,
		falseNegativeRate: clopperPearson({ successes: included - truePositives, trials: included, significance: each }).upper,
	}));
}

/**
 * A lower bound on ε at δ from how often attacks are right: the largest ln((1 − FNR − δ)/FPR) and ln((1 − FPR − δ)/FNR) of all
 * thresholds, with the upper bounds of Clopper and Pearson on both rates; 0 where nothing shows. It assumes nothing of the mechanism.
 *
 * Guarantee: a mechanism that is (ε, δ)-differentially private is given a larger bound with probability `significance` at most, where
 * scores of included canaries are independent and alike, and so are those of canaries left out. It cannot exceed about
 * ln(n/−ln significance), whatever leaks. Source: Jagielski, Ullman, Oprea 2020.
 * @throws ValueError for counts, δ or a significance outside their domain.
 */
export const epsilonFromRates = named("epsilonFromRates", (counts: readonly AttackCounts[], options: AuditOptions): number => {
	checkCounts("epsilonFromRates", counts);
	const { delta, significance } = settled("epsilonFromRates", options);
	const of = (own: number, other: number): number => (1 - own > delta ? Math.log((1 - own - delta) / other) : 0);
	return Math.max(
		0,
		...errorBounds(counts, significance).flatMap(({ falsePositiveRate, falseNegativeRate }) => [
			of(falseNegativeRate, falsePositiveRate),
			of(falsePositiveRate, falseNegativeRate),
		]),
	);
});
