import { expects, named } from "@hushgrad/tensor/author";
import { checkInteger, refuse } from "../check.ts";

/** How strongly an attack believes that each canary was trained on; the higher, the more. A loss is such a score with its sign turned. */
export interface CanaryScores {
	/** Of the canaries that were trained on. */
	readonly included: ArrayLike<number>;
	/** Of those that were left out. */
	readonly excluded: ArrayLike<number>;
}

/** What an attack got right that takes every canary for included whose score reaches a threshold. */
export interface AttackCounts {
	/** Included canaries, n₁. */
	readonly included: number;
	/** Canaries left out, n₀. */
	readonly excluded: number;
	/** Included ones that were recognised. */
	readonly truePositives: number;
	/** Ones left out that were taken for included. */
	readonly falsePositives: number;
}

/** Where the thresholds of an audit lie, by default: the scores at these fractions from the top. */
const FRACTIONS = [0.5, 0.2, 0.1, 0.05, 0.02];
/** Guesses of an audit of one run, by default: so many of half the canaries. */
const GUESSED = [0.9, 0.5, 0.2, 0.1, 0.05];

/** @throws ValueError unless both lists hold finite numbers, at least one each. */
export function checkScores(op: string, scores: CanaryScores): void {
	expects(op, { scores }, { scores: "options" });
	for (const name of ["included", "excluded"] as const) {
		const list = scores[name];
		if (!(typeof list?.length === "number" && list.length > 0)) refuse("scores", `lists of scores, one or more in ${name}`, list);
		for (let i = 0; i < list.length; i++) if (!Number.isFinite(list[i])) refuse("scores", `finite in ${name}`, list[i]);
	}
}

/** @throws ValueError for counts that cannot be. */
export function checkCounts(op: string, counts: readonly AttackCounts[]): void {
	expects(op, { counts }, { counts: "list" });
	if (counts.length === 0) refuse("counts", "a list of counts, one or more", counts);
	for (const each of counts) {
		if (typeof each !== "object" || each === null) refuse("counts", "a list of counts, as attackCounts gives", each);
		const { included, excluded, truePositives, falsePositives } = each;
		checkInteger("included", included);
		checkInteger("excluded", excluded);
		checkInteger("truePositives", truePositives, { min: 0, max: included });
		checkInteger("falsePositives", falsePositives, { min: 0, max: excluded });
	}
}

const reaching = (scores: ArrayLike<number>, threshold: number): number => {
	let count = 0;
	for (let i = 0; i < scores.length; i++) if (scores[i] >= threshold) count++;
	return count;
};

/**
 * Counts of an attack at each of some thresholds, chosen beforehand; when left out ten: the scores of both lists at ½, ⅕, ⅒, 1/20 and
 * 1/50 from the top of each.
 *
 * That those are taken from the scores themselves costs nothing, where scores are independent and those of a list alike: the rate at
 * which scores reach the k-th of n is distributed as Beta(k, n − k + 1), and the bound of Clopper and Pearson for k of n is a quantile of
 * Beta(k + 1, n − k), which is larger; for the rate at which they stay below it, the two are the same. The other list does not know of
 * it. Scores that are often equal need thresholds that are handed over.
 * @throws ValueError for scores that are not finite, or a list without any.
 */
export const attackCounts = named("attackCounts", (scores: CanaryScores, thresholds?: readonly number[]): AttackCounts[] => {
	checkScores("attackCounts", scores);
	expects("attackCounts", { thresholds: thresholds ?? [] }, { thresholds: "list" });
	const { included, excluded } = scores;
	for (const threshold of thresholds ?? []) if (typeof threshold !== "number") refuse("thresholds", "a list of numbers", threshold);
	return (thresholds ?? [...ranked(included), ...ranked(excluded)]).map((threshold) => ({
		included: included.length,
		excluded: excluded.length,
		truePositives: reaching(included, threshold),
		falsePositives: reaching(excluded, threshold),
	}));
});

function ranked(scores: ArrayLike<number>): number[] {
	const sorted = Float64Array.from(scores).sort().reverse();
	return FRACTIONS.map((fraction) => sorted[Math.max(0, Math.round(fraction * sorted.length) - 1)]);
}

/**
 * Counts of an attack that takes so many of the highest scores for included, for each of some numbers chosen beforehand; when left out
 * 0.9, ½, ⅕, ⅒ and 1/20 of half the canaries. As `epsilonOneRun` demands it does not look at which canaries are included, but for
 * equal scores, of which those left out come first, against the attack.
 * @throws ValueError as `attackCounts`, and for numbers of guesses that are none.
 */
export const guessCounts = named("guessCounts", (scores: CanaryScores, guesses?: readonly number[]): AttackCounts[] => {
	checkScores("guessCounts", scores);
	const { included, excluded } = scores;
	const canaries = included.length + excluded.length;
	const asked = guesses ?? GUESSED.map((fraction) => Math.max(1, Math.round((fraction * canaries) / 2)));
	expects("guessCounts", { guesses: asked }, { guesses: "list" });
	const all = [...Array.from(included, (score) => ({ score, own: 1 })), ...Array.from(excluded, (score) => ({ score, own: 0 }))];
	all.sort((a, b) => b.score - a.score || a.own - b.own);
	return asked.map((guessed) => {
		checkInteger("guesses", guessed, { max: canaries });
		const truePositives = all.slice(0, guessed).reduce((sum, { own }) => sum + own, 0);
		return { included: included.length, excluded: excluded.length, truePositives, falsePositives: guessed - truePositives };
	});
});
