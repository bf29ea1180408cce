import { expects, named } from "@hushgrad/tensor/author";
import { binomialTail } from "../accountant/binomial.ts";
import { lastWhere } from "../accountant/bisect.ts";
import { checkInteger, checkSignificance } from "../check.ts";

/** What was counted. */
export interface BinomialCount {
	/** How often it happened. */
	readonly successes: number;
	/** Out of how many independent trials, 1 or more. */
	readonly trials: number;
	/** The probability with which each of the two bounds may be wrong, in (0, 1). */
	readonly significance: number;
}

/** Bounds on a probability; each by itself holds with probability 1 − significance. */
export interface RateBounds {
	/** p is no smaller. */
	readonly lower: number;
	/** p is no larger. */
	readonly upper: number;
}

/**
 * Exact bounds on the probability p of a success, whatever p is: `lower` is the p at which as many successes or more have probability
 * `significance`, `upper` the one at which as few or fewer have it. Float64, to about trials·1e-16. Source: Clopper, Pearson 1934.
 * @throws ValueError for counts that are none, and a significance outside (0, 1).
 */
export const clopperPearson = named("clopperPearson", (count: BinomialCount): RateBounds => {
	expects("clopperPearson", { count }, { count: "options" });
	const { successes, trials, significance } = count;
	checkInteger("trials", trials);
	checkInteger("successes", successes, { min: 0, max: trials });
	checkSignificance(significance);
	return {
		lower: lowerRate(successes, trials, significance),
		upper: 1 - lowerRate(trials - successes, trials, significance),
	};
});

function lowerRate(successes: number, trials: number, significance: number): number {
	if (successes === 0) return 0;
	return lastWhere((p) => binomialTail(successes - 1, trials, p) <= significance, 0, 1);
}
