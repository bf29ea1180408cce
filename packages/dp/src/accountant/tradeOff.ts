import { expects, named } from "@hushgrad/tensor/author";
import { refuse } from "../check.ts";
import type { AccountedHistory } from "./events.ts";
import { pldMeasure } from "./pld.ts";
import { type LossLaw, lawAt, walk } from "./tilted.ts";

/** What may be left out of a window, and is counted as told. */
const OUTSIDE = 1e-15;

/**
 * The largest true positive rate of any membership test at a false positive rate `rate` in (0, 1): min over ε of e^ε·rate + δ(ε), the
 * Neyman–Pearson bound. The test decides whether one record was there; both of its kinds of error are taken in both directions, and the
 * larger rate counts. An upper bound, within about 0.1 %.
 *
 * Guarantee: as of `epsilon`, by PLD.
 * @throws ValueError for a rate outside (0, 1), and for a history that holds an impossible event.
 */
export const truePositiveRate = named("truePositiveRate", (history: AccountedHistory, falsePositiveRate: number): number => {
	expects("truePositiveRate", { history, falsePositiveRate }, { history: "list", falsePositiveRate: "number" });
	if (!(falsePositiveRate > 0 && falsePositiveRate < 1)) {
		refuse("falsePositiveRate", "a probability strictly between 0 and 1", falsePositiveRate);
	}
	return pldMeasure(history, falsePositiveRate, { withoutSteps: falsePositiveRate, withoutNoise: 1 }, (segments) =>
		rateOf(lawAt(segments, 0, OUTSIDE), falsePositiveRate),
	).value;
});

/**
 * The trade-off function f of f-differential privacy: the smallest false negative rate of any membership test at `falsePositiveRate`,
 * 1 − `truePositiveRate`; a lower bound. Without any leak it is 1 − falsePositiveRate. Source: Dong, Roth, Su 2022.
 * @throws ValueError as `truePositiveRate`.
 */
export const tradeOff = named("tradeOff", (history: AccountedHistory, falsePositiveRate: number): number => {
	expects("tradeOff", { history, falsePositiveRate }, { history: "list", falsePositiveRate: "number" });
	return 1 - truePositiveRate(history, falsePositiveRate);
});

function rateOf(law: LossLaw, rate: number): number {
	let best = 1;
	walk(law, (t, delta) => {
		best = Math.min(best, delta + Math.exp(t) * rate);
		return true;
	});
	return Math.max(best, rate);
}
