import type { AccountedHistory } from "./events.ts";

/** A run whose records stay in their bins. */
export interface BinnedRun {
	/** Coefficients of C, from 1 on, none above the one before and none below 0, before its columns are scaled to norm 1. */
	readonly strategyCoefs: readonly number[];
	/** p, the steps of a cycle. */
	readonly stepsPerCycle: number;
	/** Steps of the whole run. */
	readonly steps: number;
	/** Steps taken. */
	readonly taken: number;
	/** σ of the first step. */
	readonly noiseMultiplier: number;
	/** What σ is multiplied by in step 1, 2, … */
	readonly factorAt: (step: number) => number;
}

/**
 * What a run of "balls in bins" with correlated noise did to a record, as two events: a Gaussian mechanism, of what all bins share, and an
 * epoch of random allocation, of what they do not.
 *
 * A record is in one of p bins, any of them alike, for the whole run; bin j takes part in steps j, j + p, … The noise of the steps is C⁻¹z
 * for independent normals z of deviation σ, with a lower triangular C whose columns have norm 1 and no entry below 0: what is released tells
 * as much as C x + z (Choquette-Choo et al. 2023). Let m_j be the sum of the columns of C that belong to the steps of bin j, each over the σ
 * of its step, G_jk = ⟨m_j, m_k⟩, d = max G_jj, and o = max G_jk over j ≠ k. In both directions the run is dominated by the Gaussian mechanism
 * with noise multiplier 1/√o, composed with random allocation over p steps with 1/√(d − o).
 *
 * Proof. Let x_s, ‖x_s‖ ≤ 1, be what the record would add in step s; it may hang on all releases before. The likelihood ratio with the record
 * over that without is L = (1/p) Σ_j Π_t exp(⟨μ_tj, z_t⟩ − ‖μ_tj‖²/2) with μ_tj = Σ C_ts x_s over the steps s ≤ t of bin j and, without the
 * record, independent standard normals z_t. δ is E f(L), with a convex f in either direction. Consider one step, and E f(Σ_j M_j exp(Z_j −
 * Var Z_j/2)): M_j ≥ 0 are all other factors, and Z is normal with covariances ⟨μ_tj, μ_tk⟩. (i) It grows when another covariance is added,
 * which multiplies the terms by factors of mean 1 that are independent of all else (Jensen). (ii) With variances kept it grows with each
 * covariance of two: the derivative is the mean of ∂²f/∂Z_j∂Z_k = f″ · M_j e^… · M_k e^… ≥ 0 (Plackett). Since ‖μ_tj‖ ≤ m_tj = Σ C_ts and
 * ⟨μ_tj, μ_tk⟩ ≤ m_tj m_tk, the worst are the covariances m_tj m_tk, by (i) on the diagonal and by (ii) beside it. These hang on nothing
 * that was released: steps are replaced one by one, from the last to the first, for averages of f over later steps are convex in the M_j. All
 * together Z has the covariance G. By (i) its diagonal becomes d, by (ii) all else o. That is one normal of variance o for all bins, and
 * one of variance d − o for each: L is the product of the ratios of the two mechanisms. Q.E.D. It is exact where all bins have the same
 * G_jj and G_jk. That contributions which are aligned are the worst is known (Choquette-Choo et al. 2024, "Near exact privacy amplification for
 * matrix mechanisms", where δ is drawn by Monte Carlo).
 */
export function binnedHistory(run: BinnedRun): AccountedHistory {
	const { own, shared } = binOverlap(run);
	const { noiseMultiplier: sigma, stepsPerCycle: stepsPerEpoch } = run;
	const apart = { sampling: "random-allocation", stepsPerEpoch, noiseMultiplier: sigma / Math.sqrt(own - shared), epochs: 1 } as const;
	return [...(shared > 0 ? [{ sampleRate: 1, noiseMultiplier: sigma / Math.sqrt(shared), steps: 1 }] : []), ...(own > 0 ? [apart] : [])];
}

/** d and o of `binnedHistory`, for a σ of 1 in the first step: √d is the sensitivity to a record whose bin is known. */
export function binOverlap({ strategyCoefs, stepsPerCycle: p, steps, taken, factorAt }: BinnedRun): { own: number; shared: number } {
	const bands = strategyCoefs.length;
	const bins = Math.min(p, taken);
	const weightOf = (step: number): number => 1 / (columnNorm(strategyCoefs, steps - step) * factorAt(step));
	/** Bins whose distance on the circle is less than this share rows of C. */
	const near = Math.min(bands, Math.floor(p / 2) + 1);
	const weights = Float64Array.from({ length: taken }, (_, i) => weightOf(i + 1));
	/** G of bin j and bin j + distance. */
	const overlaps = new Float64Array(bins * near);
	for (let t = 1; t <= taken; t++) {
		const row = new Float64Array(Math.min(bands, p, t)); // of the bin of step t, of the one before, …
		for (let j = 0; j < Math.min(bands, t); j++) row[j % p] += strategyCoefs[j] * weights[t - j - 1];
		for (const [j, one] of row.entries()) {
			for (let k = j; k < row.length; k++) {
				const [late, early] = [(t - 1 - j) % p, (t - 1 - k) % p];
				const ahead = k - j; // the late bin is so far ahead of the early one
				const from = 2 * ahead < p ? early : 2 * ahead > p ? late : Math.min(late, early);
				overlaps[from * near + Math.min(ahead, p - ahead)] += one * row[k];
			}
		}
	}
	let [own, shared] = [0, 0];
	for (const [i, value] of overlaps.entries()) {
		if (i % near === 0) own = Math.max(own, value);
		else shared = Math.max(shared, value);
	}
	return { own, shared };
}

/** What a column of C is divided by, of a step that so many others follow: its norm, 1 for the last one. */
export const columnNorm = (coefs: readonly number[], following: number): number =>
	Math.sqrt(coefs.slice(0, following + 1).reduce((sum, c) => sum + c * c, 0));
