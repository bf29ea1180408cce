import { type Device, type Tensor, ValueError } from "@hushgrad/tensor";
import { blaming, expects } from "@hushgrad/tensor/author";
import { BITS_OFFSET } from "./addNoise.ts";
import { BoundedSum } from "./boundedSum.ts";
import { checkClipNorm, checkInteger, checkNonNegative, checkPositive, refuse } from "./check.ts";
import { sumMultiplier } from "./clip/adaptive.ts";
import { type Clipping, clippingOf, type PlannedClipping } from "./clip/clip.ts";
import { checkOwn, countsOf, Draw, type NoiseDraw, type NoisyCounts, type Runs, stepsOf } from "./noiseDraw.ts";
import { checkNoiseSource, type NoiseSource } from "./secureRandom.ts";

/** The grid step is the power of two that puts 2²¹ to 2²² steps into the clipping norm. */
const GRID_BITS = 22;
/** What a norm and a scaled coordinate may be wrong by in f32, relatively: 2⁻¹⁹ and less for the factor, 2⁻²⁴ for the product. */
const F32_ERROR = 2 ** -18;
const MAX_I32 = 2 ** 31 - 1;
/** No normal that a source of 53-bit uniforms gives is larger. */
const LARGEST_NORMAL = 8.58;
/** Whole numbers that sum and noise stay below, each: exact in float64, and on a device. */
const LARGEST_SUM = 2 ** 50;

/** The sizes of a `GaussianMechanism`; all of them public. */
export interface MechanismOptions {
	/** Number of coordinates P, 1 or more. */
	readonly length: number;
	/** Clipping norm C of one record, in L2; 2⁻¹⁰⁴ to 2¹²⁶. */
	readonly maxGradNorm: number;
	/**
	 * σ, 0 or more: the noise has deviation σ times the sensitivity in each coordinate; of adaptive clipping σ is that of sum and count
	 * together, and the noise on the sum is larger.
	 */
	readonly noiseMultiplier: number;
	/** How records are brought to C; flat when left out. */
	readonly clipping?: Clipping | undefined;
	/** L, above 0: what the noisy sum is divided by. It must depend neither on the number of records nor on the batch. */
	readonly expectedBatchSize: number;
}

/**
 * What a mechanism gives for one batch: a release of (ε, δ)-differential privacy, all of it covered by the accountant. `Mean` is where it
 * lies: on a device, or on the host.
 */
export interface Release<Mean extends Tensor | Float32Array> extends NoisyCounts {
	/** (sum + noise) g / L: the noisy mean gradient, f32 `[P]`. */
	readonly mean: Mean;
}

/** A sum in whole grid steps: what a device summed, or what several such sums make. */
export type SumSteps = Int32Array | Float64Array;

/**
 * The Gaussian mechanism on a sum of clipped gradients, in exact arithmetic: clip to C, round to a grid, add as integers, add noise once,
 * divide by the public constant L. Sum, noise and divisor belong to one mechanism, so that none of them can be of other sizes.
 *
 * Clipping is at exactly C, as in the literature; what f32 and the grid may be wrong by goes into the noise. With grid step g, a power of
 * two with C/g in (2²¹, 2²²], one record moves the sum by at most
 *
 *     sensitivity = C (1 + 2⁻¹⁸) + √P g/2.
 *
 * Proof. Its scaled gradient has a norm of at most C (1 + 2⁻¹⁹)(1 + 2⁻²⁴): the factor min(1, C/‖g‖), or C/(‖g‖ + γ), is off by less than
 * 2⁻¹⁹ (`clip`), and each product is rounded once. Clipped layer by layer, that holds of each part of it with C_k for C, and so of the
 * whole, since Σ C_k² = C² but for 2⁻⁴⁰. Rounding P coordinates to the grid moves it by at most √P g/2. A record whose norm is not finite has a
 * gradient of zeros, and adds ⌊C/g⌋ steps, at most C, to one more coordinate; no other record does. Addition of integers is exact, up to
 * 2⁵⁰ steps, so neither split nor order matters. Q.E.D. Against clipping in real numbers the sum of n records is off by at most n
 * (2⁻¹⁸ C + √P g/2), in practice by some 10⁻⁷ n C.
 *
 * Adaptive clipping counts beside the sum which records were not clipped, ½ or −½ for each: there it is σ_Δ of `sumMultiplier` that takes
 * the place of σ, and the noise on the count has deviation σ_b, so that sum and count together are the Gaussian mechanism of σ. A record
 * that is not finite is not in that count.
 *
 * Guarantee: the release is the Gaussian mechanism with noise multiplier σ, for adding or removing one record. Rounding commutes with
 * adding an integer, round(sum + x) = sum + round(x), so it is a post-processing of sum + real noise, and shows nothing of the noise below
 * the grid (Mironov 2012).
 */
export class GaussianMechanism {
	/** Number of coordinates P. */
	readonly length: number;
	/** Clipping norm C. */
	readonly maxGradNorm: number;
	/** σ, what the release costs. */
	readonly noiseMultiplier: number;
	/** Deviation of the noise on the sum over the sensitivity: σ, and σ_Δ of adaptive clipping. */
	readonly sumNoiseMultiplier: number;
	/** Coordinates beside the sum: one counts what is not finite; of adaptive clipping another one what is not clipped. */
	readonly counts: 1 | 2;
	/** L. */
	readonly expectedBatchSize: number;
	/** How records are brought to C. */
	readonly clipping: PlannedClipping;
	/** Grid step g, in units of the gradient. */
	readonly grid: number;
	/** What one record moves the sum by at most, in L2: a little above C. */
	readonly sensitivity: number;
	/** Grid steps of the count for one record whose gradient is not finite: ⌊C/g⌋. */
	readonly countSteps: number;
	/** Grid steps that one record adds to a coordinate, at most. */
	readonly mostSteps: number;
	/** Rows of one physical batch, at most: what an i32 holds, some 500 to 1,000. */
	readonly mostRows: number;

	static {
		Object.freeze(GaussianMechanism.prototype);
	}

	/** @throws ValueError for numbers outside their domain, and noise too large for whole numbers in float64. */
	constructor(options: MechanismOptions) {
		expects("GaussianMechanism", { options }, { options: "options" });
		const { length, maxGradNorm, noiseMultiplier, expectedBatchSize, clipping } = options;
		blaming("GaussianMechanism", () => {
			checkInteger("length", length);
			checkClipNorm("maxGradNorm", maxGradNorm);
			checkNonNegative("noiseMultiplier", noiseMultiplier);
			checkPositive("expectedBatchSize", expectedBatchSize);
		});
		this.clipping = blaming("GaussianMechanism", () => clippingOf(clipping, options));
		this.length = length;
		this.maxGradNorm = maxGradNorm;
		this.noiseMultiplier = noiseMultiplier;
		this.expectedBatchSize = expectedBatchSize;
		const { clipping: own } = this;
		this.counts = own.kind === "adaptive" ? 2 : 1;
		this.sumNoiseMultiplier = own.kind === "adaptive" ? sumMultiplier(noiseMultiplier, own.unclippedNumStd) : noiseMultiplier;
		this.grid = 2 ** (Math.ceil(Math.log2(maxGradNorm)) - GRID_BITS);
		this.sensitivity = maxGradNorm * (1 + F32_ERROR) + (Math.sqrt(length) * this.grid) / 2;
		this.countSteps = Math.floor(maxGradNorm / this.grid);
		this.mostSteps = Math.ceil((maxGradNorm * (1 + F32_ERROR)) / this.grid) + 1;
		this.mostRows = Math.floor(MAX_I32 / this.mostSteps);
		if ((this.sumNoiseMultiplier * this.sensitivity * LARGEST_NORMAL) / this.grid >= LARGEST_SUM) {
			refuse("noiseMultiplier", "small enough for exact whole numbers in float64", noiseMultiplier);
		}
		if (own.kind === "adaptive" && own.unclippedNumStd * 2 * this.countSteps * LARGEST_NORMAL >= LARGEST_SUM) {
			refuse("unclippedNumStd", "small enough for exact whole numbers in float64", own.unclippedNumStd);
		}
		Object.freeze(this);
	}

	/** An empty sum on a device. Dispose of it, or release it. */
	newSum(device: Device): BoundedSum {
		return blaming("GaussianMechanism.newSum", () => new BoundedSum(device, this));
	}

	/**
	 * Noise for one sum: round(σ·sensitivity·N/g) for standard normals N, σ_Δ for σ where clipping is adaptive, as whole numbers in float64. It needs no data, so it can be drawn
	 * while the GPU still works on the batch. 16 bytes a coordinate pair from the source, fixed work.
	 * @throws PrivacyError for a source not made by this library.
	 */
	draw(source: NoiseSource): NoiseDraw {
		blaming("GaussianMechanism.draw", () => checkNoiseSource(source));
		const normals = new Float64Array(this.length + this.counts);
		source.fillNormals(normals);
		return drawOf(this, [normals]);
	}

	/**
	 * A draw of given numbers, for research: noise on each coordinate of the sum, in units of the gradient `[P]`, rounded to the grid; none
	 * on the counts. It hides nothing, and what is released with it is NOT PRIVATE.
	 * @throws ValueError unless there are P finite numbers.
	 */
	given(noise: ArrayLike<number>): NoiseDraw {
		return blaming("GaussianMechanism.given", () => this.#given(noise));
	}

	#given(noise: ArrayLike<number>): NoiseDraw {
		if (typeof noise?.length !== "number") refuse("noise", "a list of numbers", noise);
		if (typeof noise[0] !== "number") refuse("noise", "a list of numbers", noise);
		const bits = new Float64Array(this.length + this.counts).fill(BITS_OFFSET);
		for (let i = 0; i < this.length; i++) bits[i] += Math.round(noise[i] / this.grid);
		if (noise.length !== this.length || !bits.every(Number.isFinite)) {
			throw new ValueError("dp/given-noise", `${noise.length} numbers, expected ${this.length} finite ones`);
		}
		return new Draw(this, [bits]);
	}

	/**
	 * Adds noise to a sum in grid steps `[P + counts]` on the host, in float64, and divides by L: for sums that were made elsewhere, of several
	 * devices; `BoundedSum.release` does it on the device. An empty batch is a sum of zeros: it gets noise too.
	 * @throws PrivacyError when the draw was used before, or is another mechanism's; ValueError when the sum is of another length.
	 */
	release(sum: SumSteps, draw: NoiseDraw): Release<Float32Array> {
		return blaming("GaussianMechanism.release", () => this.#release(sum, draw));
	}

	#release(sum: SumSteps, draw: NoiseDraw): Release<Float32Array> {
		const { length, counts, grid, expectedBatchSize } = this;
		checkOwn(this, draw);
		if (!(sum instanceof Float64Array || sum instanceof Int32Array) || sum.length !== length + counts) {
			throw new ValueError(
				"dp/sum",
				`a sum of ${sum?.length} numbers, expected ${length} coordinates and ${counts === 1 ? "a count" : "two counts"}`,
			);
		}
		const noise = stepsOf(draw.take());
		const mean = new Float32Array(length);
		for (let i = 0; i < length; i++) mean[i] = ((sum[i] + noise[i]) * grid) / expectedBatchSize;
		return { mean, ...countsOf(this, sum[length] + noise[length], sum[length + 1] + noise[length + 1]) };
	}
}

/** The draw of P + counts standard normals, whose runs it takes over. */
export function drawOf(mechanism: GaussianMechanism, normals: Runs): NoiseDraw {
	const { length, clipping, countSteps } = mechanism;
	const deviation = (mechanism.sumNoiseMultiplier * mechanism.sensitivity) / mechanism.grid;
	const unclippedDeviation = clipping.kind === "adaptive" ? clipping.unclippedNumStd * 2 * countSteps : 0;
	let first = 0;
	for (const run of normals) {
		const end = Math.max(0, Math.min(run.length, length + 1 - first));
		round(run.subarray(0, end), deviation);
		round(run.subarray(end), unclippedDeviation);
		first += run.length;
	}
	return new Draw(mechanism, normals);
}

/** Brings normals to a deviation, and to the nearest whole numbers: float64 of the size of `BITS_OFFSET` are no others. In their place. */
function round(normals: Float64Array, deviation: number): void {
	for (let i = 0; i < normals.length; i++) normals[i] = normals[i] * deviation + BITS_OFFSET;
}
