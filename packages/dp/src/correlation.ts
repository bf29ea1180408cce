import { expects, named } from "@hushgrad/tensor/author";
import { columnNorm } from "./accountant/bins.ts";
import { checkInteger, refuse } from "./check.ts";

/** Coefficients at most: the noise of so many steps, less one, is kept. */
const MOST_BANDS = 64;

/**
 * The first `bands` coefficients of (1 − x)^(−1/2): 1, 1/2, 3/8, 5/16, … The Toeplitz matrix C of them is the banded square root of the matrix
 * of prefix sums (BSR): of noise C⁻¹z little adds up over the steps, which is what the trained weights see of it. 1 band is independent noise;
 * as many bands as a cycle of "balls-in-bins" has steps, or one less, are a good choice. Source: Kalinin, Lampert 2024.
 * @throws ValueError unless there are 1 to 64 bands.
 */
export const bandedSquareRoot = named("bandedSquareRoot", (bands: number): readonly number[] => {
	checkInteger("bands", bands, { max: MOST_BANDS });
	const coefs = [1];
	for (let j = 1; j < bands; j++) coefs.push((coefs[j - 1] * (2 * j - 1)) / (2 * j));
	return Object.freeze(coefs);
});

/** A copy, frozen. @throws ValueError for what are no coefficients of a strategy: from 1 on, none above the one before, none below 0. */
export function strategyOf(coefs: readonly number[]): readonly number[] {
	expects("sampling", { strategyCoefs: coefs }, { strategyCoefs: "list" });
	const fits = coefs.every((c, j) => typeof c === "number" && c >= 0 && c <= (j === 0 ? 1 : coefs[j - 1]));
	if (coefs[0] !== 1 || coefs.length > MOST_BANDS || !fits) {
		refuse("strategyCoefs", `1 to ${MOST_BANDS} numbers from 1 on, none above the one before and none below 0`, coefs);
	}
	return Object.freeze([...coefs]);
}

/**
 * What the noise of a step of so many is at most, in multiples of a single normal: ‖c‖·Σ_n |b_n| with 1/c(x) = Σ b_n x^n. It stays finite: the
 * prefix sums of the b_n lie in [0, 1], for they are the coefficients of 1/(1 − Σ d_j x^j) with d_j = c_{j−1} − c_j ≥ 0 and Σ d_j ≤ 1, which are
 * probabilities of a renewal. So over the steps no more of a normal adds up than ‖c‖ times what adds up of independent noise.
 */
export function largestFactor(coefs: readonly number[], steps: number): number {
	const inverse: number[] = [];
	let sum = 0;
	for (let t = 0; t < steps; t++) {
		let value = t === 0 ? 1 : 0;
		for (let j = 1; j < coefs.length && j <= t; j++) value -= coefs[j] * inverse[t - j];
		inverse.push(value);
		sum += Math.abs(value);
	}
	return columnNorm(coefs, steps - 1) * sum;
}

/**
 * Correlates the noise of the steps. From standard normals z_t it makes n_t·w_t with w_t = z_t − Σ_{j≥1} c_j w_{t−j}. That is C⁻¹z, of the
 * Toeplitz matrix of the c_j with its columns divided by their norms n_t (`columnNorm`: the end of the run cuts off the last of them). The w of
 * the last steps, as many as there are bands less one, are kept in memory, 8 bytes a coordinate, and nowhere else: whoever knows them can
 * take noise off what was released.
 *
 * A step that does not follow on the one before, for that one failed or the run was resumed, begins anew from z_t. The guarantee stays. Such
 * a run has a block-diagonal matrix in place of C, which is C with some entries put to 0. `binnedHistory` holds of every matrix without
 * entries below 0, and grows with each G_jk, which are sums of products of entries: none of them is larger now. Q.E.D.
 */
export class CorrelatedNormals {
	readonly #coefs: readonly number[];
	readonly #steps: number;
	/** w of the last steps, the latest first. */
	#last: readonly Float64Array[] = [];
	#step = 0;

	/** Of a run of so many steps. */
	constructor(coefs: readonly number[], steps: number) {
		this.#coefs = coefs;
		this.#steps = steps;
	}

	/** Whether all that the noise of a step hangs on is here: that of the step before, or nothing. */
	goesOnAt(step: number): boolean {
		return this.#coefs.length === 1 || step === this.#step + 1;
	}

	/** The noise of a step from fresh normals, whose array it takes over. */
	next(step: number, normals: Float64Array): Float64Array {
		if (this.#coefs.length === 1) return normals;
		if (!this.goesOnAt(step)) this.#last = [];
		for (const [j, w] of this.#last.entries()) {
			const c = this.#coefs[j + 1];
			for (let i = 0; i < normals.length; i++) normals[i] -= c * w[i];
		}
		this.#last = [normals, ...this.#last].slice(0, this.#coefs.length - 1);
		this.#step = step;
		const norm = columnNorm(this.#coefs, this.#steps - step);
		const noise = new Float64Array(normals.length);
		for (let i = 0; i < noise.length; i++) noise[i] = norm * normals[i];
		return noise;
	}
}
