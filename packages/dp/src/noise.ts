import { PrivacyError, ShapeError, ValueError } from "@hushgrad/tensor";
import { checkInteger, checkNonNegative, checkPositive, refuse } from "./check.ts";
import { checkNoiseSource, type NoiseSource } from "./secureRandom.ts";

/** The grid step is the power of two that puts 2¹⁹ to 2²⁰ steps into the clipping norm. */
const GRID_BITS = 20;
/** Room for what a norm and a scale computed in f32 may be wrong by, relatively. */
const F32_MARGIN = 2 ** -12;
const MAX_I32 = 2 ** 31 - 1;
const SMALLEST_F32 = 2 ** -126;
const LARGEST_F32 = 2 ** 127;
/** No normal that a source of 53-bit uniforms gives is larger. */
const LARGEST_NORMAL = 8.58;
/** Deviations of noise that an i32 sum keeps room for. */
const NOISE_ROOM = 10;

/** Grid on which clipped gradients are summed as integers; see `fixedPointGrid`. */
export interface FixedPointGrid {
	/** Grid step g, a power of two, in units of the gradient. */
	readonly grid: number;
	/** L2 norm to clip each record to before it is rounded to the grid; below maxGradNorm. */
	readonly clipNorm: number;
	/**
	 * Most records one i32 sum can hold with room for 10 deviations of noise: 2047 − ⌈10σ⌉, or more (up to 4095 − ⌈10σ⌉).
	 * @throws ValueError for σ below 0 or not finite.
	 */
	maxSamples(noiseMultiplier: number): number;
}

/**
 * Grid for sums of `numParameters` coordinates, P, clipped to `maxGradNorm`, C: g is C·2⁻²⁰ rounded up to a power of two, and
 * `clipNorm = (C − √P·g/2)·(1 − 2⁻¹²)`.
 *
 * Guarantee: if a record's f32 gradient is scaled to a norm of at most clipNorm·(1 + 2⁻¹²) and each coordinate is rounded to the
 * nearest multiple of g, then the rounded vector has an L2 norm of at most C, and none of its coordinates exceeds C/g steps.
 * Integer addition is exact, so adding or removing one record changes the sum by at most C, and the sum does not depend on the
 * split into physical batches or on the order of addition.
 * @throws ValueError when C is above 2¹²⁷ or g below 2⁻¹²⁶, P is no whole number above 0, or P is so large (2⁴⁰ to 2⁴²) that
 * rounding alone reaches C.
 */
export function fixedPointGrid(maxGradNorm: number, numParameters: number): FixedPointGrid {
	checkPositive("maxGradNorm", maxGradNorm);
	checkInteger("numParameters", numParameters);
	const grid = 2 ** (Math.ceil(Math.log2(maxGradNorm)) - GRID_BITS);
	if (grid < SMALLEST_F32 || maxGradNorm > LARGEST_F32) {
		refuse("maxGradNorm", `between ${SMALLEST_F32 * 2 ** GRID_BITS} and ${LARGEST_F32}`, maxGradNorm);
	}
	const clipNorm = (maxGradNorm - (Math.sqrt(numParameters) * grid) / 2) * (1 - F32_MARGIN);
	if (clipNorm <= 0) {
		throw new ValueError("dp/too-many-parameters", `rounding ${numParameters} coordinates may add more than the clipping norm`, {
			hint: "train fewer parameters",
		});
	}
	const stepsPerSample = Math.floor(maxGradNorm / grid);
	return {
		grid,
		clipNorm,
		maxSamples(noiseMultiplier) {
			checkNonNegative("noiseMultiplier", noiseMultiplier);
			return Math.max(0, Math.floor(MAX_I32 / stepsPerSample) - Math.ceil(NOISE_ROOM * noiseMultiplier));
		},
	};
}

/** Sizes of the noise; all of them public. */
export interface NoiseSettings {
	/** `FixedPointGrid.grid` of the sum, in units of the gradient. */
	readonly grid: number;
	/** Sensitivity C of the sum, in units of the gradient. */
	readonly maxGradNorm: number;
	/** σ, 0 or more; the noise has deviation σ·C per coordinate. */
	readonly noiseMultiplier: number;
}

class Draw {
	#steps: Float64Array | undefined;
	/** Grid step that it is counted in. */
	readonly grid: number;
	/** Number of coordinates. */
	readonly length: number;

	constructor(steps: Float64Array, grid: number) {
		this.#steps = steps;
		this.grid = grid;
		this.length = steps.length;
	}

	/**
	 * Hands the noise out, once, in grid steps.
	 * @throws PrivacyError the second time.
	 */
	take(): Float64Array {
		const steps = this.#steps;
		if (steps === undefined) {
			throw new PrivacyError("privacy/noise-reused", "this noise was already added to a sum", {
				hint: "draw fresh noise for every step: the difference of two sums with the same noise has none",
			});
		}
		this.#steps = undefined;
		return steps;
	}
}

/** Noise drawn ahead for one sum: whole grid steps, usable once. Only `drawNoise` makes one. */
export type NoiseDraw = Draw;

/**
 * Noise for a sum of `length` coordinates: round(σ·C·N/g) for standard normals N, as integers in float64. It needs no data, so it
 * can be drawn while the GPU still works on the batch. 16 bytes a coordinate pair from the source, fixed work.
 * @throws PrivacyError for a source not made by this library, ValueError for settings outside their domain.
 */
export function drawNoise(length: number, { grid, maxGradNorm, noiseMultiplier }: NoiseSettings, source: NoiseSource): NoiseDraw {
	checkNoiseSource(source);
	checkInteger("length", length, { min: 0 });
	checkGrid(grid);
	checkPositive("maxGradNorm", maxGradNorm);
	checkNonNegative("noiseMultiplier", noiseMultiplier);
	const deviation = (noiseMultiplier * maxGradNorm) / grid;
	if (deviation * LARGEST_NORMAL + MAX_I32 >= Number.MAX_SAFE_INTEGER) {
		refuse("noiseMultiplier", "small enough for exact integers in float64", noiseMultiplier);
	}
	const steps = new Float64Array(length);
	source.fillNormals(steps);
	for (let i = 0; i < length; i++) steps[i] = Math.round(steps[i] * deviation);
	return new Draw(steps, grid);
}

/**
 * Noisy mean: (sum + noise)·g/L, f32 in the unit of the gradient. The sum of the two integers is exact, and dividing by the
 * public constant L = `expectedBatchSize` and casting to f32 come after it.
 *
 * Guarantee: rounding commutes with adding an integer, round(sum + x) = sum + round(x), so the result is a post-processing of the
 * Gaussian mechanism with deviation σ·C on a sum of sensitivity C (add/remove of one record): it shows nothing of the real-valued
 * noise below the grid. L must depend neither on the number of records nor on the batch.
 * @throws PrivacyError when the draw was used before, ShapeError when its length or grid is not that of the sum, ValueError for L
 * not above 0.
 */
export function addNoise(
	sum: Int32Array,
	draw: NoiseDraw,
	{ grid, expectedBatchSize }: { readonly grid: number; readonly expectedBatchSize: number },
): Float32Array {
	checkPositive("expectedBatchSize", expectedBatchSize);
	if (draw.length !== sum.length || draw.grid !== grid) {
		throw new ShapeError(
			"dp/noise-draw",
			`noise for ${draw.length} coordinates on grid ${draw.grid} does not fit a sum of ${sum.length} on grid ${grid}`,
		);
	}
	const noise = draw.take();
	const mean = new Float32Array(sum.length);
	for (let i = 0; i < sum.length; i++) mean[i] = ((sum[i] + noise[i]) * grid) / expectedBatchSize;
	return mean;
}

/** `drawNoise` and `addNoise` in one. Guarantee and errors as there. An empty batch is a sum of zeros: it gets noise too. */
export function privatize(
	sum: Int32Array,
	settings: NoiseSettings & { readonly expectedBatchSize: number },
	source: NoiseSource,
): Float32Array {
	return addNoise(sum, drawNoise(sum.length, settings, source), settings);
}

function checkGrid(grid: number): void {
	if (!(grid >= SMALLEST_F32 && Number.isInteger(Math.log2(grid)))) refuse("grid", "a power of two", grid);
}
