import { nextNorm } from "./clip/adaptive.ts";
import { largestFactor } from "./correlation.ts";
import { GaussianMechanism } from "./mechanism.ts";
import type { NoisyCounts } from "./noiseDraw.ts";
import type { PrivacyPlan } from "./plan.ts";
import { noiseMultiplierAt } from "./sampler.ts";
import { factorAt, rangeOf } from "./schedule.ts";

/** The mechanism of each step of a plan: σ and C follow their schedules, or C what was released. */
export class StepMechanisms {
	readonly #plan: PrivacyPlan;
	readonly #length: number;
	/** C of adaptive clipping. */
	#norm: number;
	#last: GaussianMechanism | undefined;

	/** `norm` is where adaptive clipping goes on. */
	constructor(plan: PrivacyPlan, length: number, norm = plan.maxGradNorm) {
		this.#plan = plan;
		this.#length = length;
		this.#norm = norm;
	}

	/** The mechanism of step 1, 2, … */
	of(step: number): GaussianMechanism {
		const { clipping, maxGradNorm, maxGradNormSchedule } = this.#plan;
		const norm = clipping.kind === "adaptive" ? this.#norm : maxGradNorm * factorAt(maxGradNormSchedule, step);
		return this.#make(noiseMultiplierAt(this.#plan, step), norm);
	}

	/** A mechanism with the most noise that a step has, or more where noise is correlated. */
	noisiest(): GaussianMechanism {
		const { noiseMultiplier, noiseSchedule, sampling, steps } = this.#plan;
		const factor = sampling.kind === "balls-in-bins" ? largestFactor(sampling.strategyCoefs, steps) : 1;
		return this.#make(noiseMultiplier * rangeOf(noiseSchedule).largest * factor, this.#norm);
	}

	/** Moves C of adaptive clipping by what a step released. */
	follow({ unclipped }: NoisyCounts): void {
		const { clipping, expectedBatchSize } = this.#plan;
		if (clipping.kind !== "adaptive" || unclipped === undefined) return;
		this.#norm = nextNorm(this.#norm, unclipped, clipping, expectedBatchSize);
	}

	/** C of the next step where clipping is adaptive; else undefined, for it follows from the plan. */
	get adaptiveNorm(): number | undefined {
		return this.#plan.clipping.kind === "adaptive" ? this.#norm : undefined;
	}

	#make(noiseMultiplier: number, maxGradNorm: number): GaussianMechanism {
		const last = this.#last;
		if (last !== undefined && last.noiseMultiplier === noiseMultiplier && last.maxGradNorm === maxGradNorm) return last;
		this.#last = new GaussianMechanism({ ...this.#plan, length: this.#length, noiseMultiplier, maxGradNorm });
		return this.#last;
	}
}
