import { named } from "@hushgrad/tensor/author";
import { type CanaryScores, checkScores } from "./scores.ts";

/**
 * Exposure of each included canary among those that were left out, in bits: log₂(n₀ + 1) − log₂ rank, where the rank is 1 for a score above
 * all of theirs; equal scores share a rank. log₂(n₀ + 1) bits is the most that can be seen. Without any leak the rank is uniform,
 * and the mean about 1.44 bits. It is no bound on ε: runs of one ε memorise differently. Source: Carlini et al. 2019.
 * @throws ValueError for scores that are not finite, or a list without any.
 */
export const exposure = named("exposure", (scores: CanaryScores): Float64Array => {
	checkScores("exposure", scores);
	const { included, excluded } = scores;
	return Float64Array.from(included, (own) => {
		let rank = 1;
		for (let i = 0; i < excluded.length; i++) rank += excluded[i] > own ? 1 : excluded[i] === own ? 0.5 : 0;
		return Math.log2((excluded.length + 1) / rank);
	});
});
