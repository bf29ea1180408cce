import { ValueError } from "@hushgrad/tensor";
import { checkDelta, checkInteger, checkPositive, refuse } from "../check.ts";
import { epsilon } from "./rdp.ts";

/** Noise multipliers are whole multiples of 1/RESOLUTION, so that they print and parse without loss. */
const RESOLUTION = 1e6;
const SMALLEST = 0.01 * RESOLUTION;
const LARGEST = 2 ** 20 * RESOLUTION;

/** What `getNoiseMultiplier` calibrates for. All of it is public. */
export interface CalibrationOptions {
	/** ε that may be spent once all steps are done, finite and above 0. */
	readonly targetEpsilon: number;
	/** δ at which ε is read, in (0, 1). */
	readonly targetDelta: number;
	/** Probability q in (0, 1] with which each record enters a logical batch: never that of a micro-batch. */
	readonly sampleRate: number;
	/** Logical steps T of the whole run, 1 or more. */
	readonly steps: number;
	/** Rényi orders to minimise ε over; `DEFAULT_ORDERS` when left out. */
	readonly orders?: readonly number[] | undefined;
}

/**
 * Smallest noise multiplier σ, a multiple of 1e-6 and at least 0.01, with which `steps` steps of the Poisson-sampled Gaussian
 * spend at most (targetEpsilon, targetDelta) by RDP. The returned σ itself was evaluated, so rounding never exceeds the target.
 * At most 60 evaluations of ε: σ is bracketed by doubling from 1, then bisected on the grid. Opacus' get_noise_multiplier, which
 * stops within 0.01 of the target ε.
 * @throws ValueError for arguments outside their domain, or when no σ up to 2²⁰ reaches the target.
 */
export function getNoiseMultiplier({ targetEpsilon, targetDelta, sampleRate, steps, orders }: CalibrationOptions): number {
	checkPositive("targetEpsilon", targetEpsilon);
	checkDelta(targetDelta);
	checkInteger("steps", steps);
	if (!(sampleRate > 0 && sampleRate <= 1)) refuse("sampleRate", "a probability in (0, 1]", sampleRate);
	const meets = (units: number) =>
		epsilon([{ sampleRate, noiseMultiplier: units / RESOLUTION, steps }], { delta: targetDelta, orders }) <= targetEpsilon;

	let tooLittle = SMALLEST - 1;
	let enough = RESOLUTION;
	while (!meets(enough)) {
		if (enough === LARGEST) {
			throw new ValueError("dp/calibration", `no noise multiplier up to ${LARGEST / RESOLUTION} reaches epsilon ${targetEpsilon}`, {
				hint: "raise targetEpsilon or targetDelta, or take fewer steps",
			});
		}
		tooLittle = enough;
		enough *= 2;
	}
	while (enough - tooLittle > 1) {
		const middle = Math.floor((enough + tooLittle) / 2);
		if (meets(middle)) enough = middle;
		else tooLittle = middle;
	}
	return enough / RESOLUTION;
}
