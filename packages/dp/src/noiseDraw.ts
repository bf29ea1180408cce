import { PrivacyError } from "@hushgrad/tensor";
import { BITS_OFFSET } from "./addNoise.ts";
import type { GaussianMechanism } from "./mechanism.ts";

/** The counts of a release. */
export interface NoisyCounts {
	/** Number of records whose gradient was not finite, with noise of deviation σ·sensitivity/C. */
	readonly notFinite: number;
	/** Of adaptive clipping: half of how many more records were not clipped than were, with noise of deviation σ_b; else undefined. */
	readonly unclipped?: number;
}

/** Numbers that follow each other, in runs: they come from several workers. */
export type Runs = readonly Float64Array[];

/** Noise, to be taken once. */
export class Draw {
	static {
		Object.freeze(Draw.prototype);
	}

	/** A copy of the noise in grid steps, before it is taken. */
	static copyOf(draw: Draw): Float64Array | undefined {
		return draw.#bits && stepsOf(draw.#bits);
	}

	#bits: Runs | undefined;
	/** Whose noise it is. */
	readonly mechanism: GaussianMechanism;

	/** `bits` are whole grid steps, to each of which `BITS_OFFSET` was added. */
	constructor(mechanism: GaussianMechanism, bits: Runs) {
		this.mechanism = mechanism;
		this.#bits = bits;
		Object.freeze(this);
	}

	/**
	 * Hands the noise out, once: grid steps `[P + counts]`, to each of which `BITS_OFFSET` was added.
	 * @throws PrivacyError the second time.
	 */
	take(): Runs {
		const bits = this.#bits;
		if (bits === undefined) {
			throw new PrivacyError("privacy/noise-reused", "this noise was already added to a sum", {
				hint: "draw fresh noise for every step: the difference of two sums with the same noise has none",
			});
		}
		this.#bits = undefined;
		return bits;
	}
}

/** Noise drawn ahead for one sum of one mechanism: whole grid steps, usable once. Only `GaussianMechanism.draw` makes one. */
export type NoiseDraw = Draw;

/** @throws PrivacyError for what is no draw of this mechanism. */
export function checkOwn(mechanism: GaussianMechanism, draw: NoiseDraw): void {
	if (draw instanceof Draw && draw.mechanism === mechanism) return;
	throw new PrivacyError("privacy/noise-draw", "this noise was drawn for another mechanism", {
		hint: "use the draw() of the same mechanism",
	});
}

/** Takes the noise of a draw of this mechanism, as `Draw` has it. @throws PrivacyError as `release`. */
export function noiseOf(mechanism: GaussianMechanism, draw: NoiseDraw): Runs {
	checkOwn(mechanism, draw);
	return draw.take();
}

/** A copy of the noise of a draw that was not taken yet, for transcripts: what is released with it is not private for whoever has it. */
export const copyOfNoise = Draw.copyOf;

/** Runs in one. */
export function joined(runs: Runs): Float64Array {
	const all = new Float64Array(runs.reduce((n, run) => n + run.length, 0));
	let at = 0;
	for (const run of runs) {
		all.set(run, at);
		at += run.length;
	}
	return all;
}

/** The grid steps of a draw, in one. */
export const stepsOf = (bits: Runs): Float64Array => joined(bits).map((v) => v - BITS_OFFSET);

/** What noisy counts in grid steps say; the second is read where clipping is adaptive. */
export function countsOf({ counts, countSteps }: GaussianMechanism, notFinite: number, unclipped: number): NoisyCounts {
	if (counts === 1) return { notFinite: notFinite / countSteps };
	return { notFinite: notFinite / countSteps, unclipped: unclipped / (2 * countSteps) };
}
