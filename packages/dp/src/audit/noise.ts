import { expects, named, unblamed } from "@hushgrad/tensor/author";
import type { AccountedHistory } from "../accountant/events.ts";
import { truePositiveRate } from "../accountant/tradeOff.ts";
import { muOf } from "./gaussianRates.ts";
import { type AuditConfidence, type ErrorBounds, errorBounds } from "./rates.ts";
import { type AttackCounts, checkCounts } from "./scores.ts";

/** Thresholds that are compared, the most telling first: to leave some out makes an audit weaker, not wrong. */
const COMPARED = 3;
/** To what σ is found, relatively. */
const ACCURACY = 2e-3;
/** More noise than that is as good as all. */
const MOST_NOISE = 2 ** 20;

function mostTelling(counts: readonly AttackCounts[], significance: number): ErrorBounds[] {
	return errorBounds(counts, significance)
		.filter((bounds) => muOf(bounds) > 0)
		.sort((a, b) => muOf(b) - muOf(a))
		.slice(0, COMPARED);
}

const exceeds = (history: AccountedHistory, bounds: readonly ErrorBounds[]): boolean =>
	bounds.some(({ falsePositiveRate, falseNegativeRate }) => 1 - falseNegativeRate > truePositiveRate(history, falsePositiveRate));

/**
 * Whether attacks were right more often than any attack on this history can be: than `truePositiveRate`, with the bounds of Clopper and
 * Pearson on both rates. For steps with any sampling.
 *
 * Guarantee: a run that is what the history says is refuted with probability `significance` at most, under the conditions of
 * `epsilonFromRates`.
 * @throws ValueError for counts, a history or a significance outside their domain.
 */
export const refutes = named(
	"refutes",
	(history: AccountedHistory, counts: readonly AttackCounts[], options: AuditConfidence = {}): boolean => {
		expects("refutes", { history, options }, { history: "list", options: "options" });
		checkCounts("refutes", counts);
		return exceeds(history, mostTelling(counts, options.significance ?? 0.05));
	},
);

/**
 * How much noise there was, at most: the smallest noise multiplier σ whose history is refuted, to 0.2 % above; ∞ where none is.
 * `historyOf(σ)` gives what the run claims, but for σ; `epsilon(historyOf(σ), { delta })` is then a lower bound on ε.
 *
 * Guarantee: the noise of a run that is otherwise what `historyOf` says is larger with probability `significance` at most, under the
 * conditions of `epsilonFromRates`.
 * @throws ValueError for counts, a history or a significance outside their domain.
 */
export const noiseFromRates = named(
	"noiseFromRates",
	(historyOf: (noiseMultiplier: number) => AccountedHistory, counts: readonly AttackCounts[], options: AuditConfidence = {}): number => {
		expects("noiseFromRates", { historyOf, options }, { historyOf: "function", options: "options" });
		checkCounts("noiseFromRates", counts);
		const bounds = mostTelling(counts, options.significance ?? 0.05);
		const refuted = (sigma: number): boolean =>
			exceeds(
				unblamed(() => historyOf(sigma)),
				bounds,
			);
		let high = 1;
		while (!refuted(high)) {
			high *= 2;
			if (high > MOST_NOISE) return Number.POSITIVE_INFINITY;
		}
		let low = high / 2;
		while (refuted(low)) {
			high = low;
			low /= 2;
		}
		while (high > low * (1 + ACCURACY)) {
			const middle = Math.sqrt(low * high);
			if (refuted(middle)) high = middle;
			else low = middle;
		}
		return high;
	},
);
