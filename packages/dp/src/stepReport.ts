import { expects } from "@hushgrad/tensor/author";
import type { PrivateMeasures } from "./diagnostics.ts";
import type { GaussianMechanism } from "./mechanism.ts";
import type { NoisyCounts } from "./noiseDraw.ts";
import type { PrivacyPlan } from "./plan.ts";

/** What a report is made of. */
export interface StepFacts {
	readonly step: number;
	readonly plan: PrivacyPlan;
	readonly mechanism: Pick<GaussianMechanism, "maxGradNorm" | "noiseMultiplier">;
	readonly release: NoisyCounts;
	readonly measures: PrivateMeasures;
}

/** What one step did. Everything but `private` is public: ε covers it, and it may be printed and published. */
export class StepReport {
	static {
		Object.freeze(StepReport.prototype);
	}

	/** Number of this step, from 1. */
	readonly step: number;
	/** Number of records whose gradient was not finite, with noise: near 0 in a sound run, and below it as often as above. */
	readonly notFinite: number;
	/** C that records were clipped to. */
	readonly maxGradNorm: number;
	/** σ. */
	readonly noiseMultiplier: number;
	/** Of adaptive clipping: the fraction of the records that were not clipped, with noise; else undefined. */
	readonly unclipped: number | undefined;
	/** What was computed from the records without noise; shown by nothing but its `reveal()`. */
	readonly private: PrivateMeasures;
	readonly #plan: PrivacyPlan;

	/** The engine makes them. */
	constructor({ step, plan, mechanism, release, measures }: StepFacts) {
		expects("StepReport", { plan, mechanism, release }, { plan: "options", mechanism: "options", release: "options" });
		const { notFinite, unclipped } = release;
		this.step = step;
		this.notFinite = notFinite;
		this.maxGradNorm = mechanism.maxGradNorm;
		this.noiseMultiplier = mechanism.noiseMultiplier;
		this.unclipped = unclipped === undefined ? undefined : 0.5 + unclipped / plan.expectedBatchSize;
		this.private = measures;
		this.#plan = plan;
		Object.freeze(this);
	}

	/** ε spent so far, this step included, at the δ of the plan. */
	get epsilon(): number {
		return this.#plan.epsilonAfter(this.step);
	}

	/** The public part, for files. */
	toJSON(): Pick<StepReport, "step" | "epsilon" | "notFinite" | "maxGradNorm" | "noiseMultiplier" | "unclipped"> {
		const { step, epsilon, notFinite, maxGradNorm, noiseMultiplier, unclipped } = this;
		return { step, epsilon, notFinite, maxGradNorm, noiseMultiplier, unclipped };
	}

	/** The public part, in one line. */
	toString(): string {
		return `StepReport(step ${this.step}, ε = ${Math.ceil(this.epsilon * 1e4) / 1e4}, notFinite ≈ ${this.notFinite.toFixed(1)})`;
	}

	/** What `console.log` shows: the same line. */
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		return this.toString();
	}
}
