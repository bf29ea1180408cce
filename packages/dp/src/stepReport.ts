import type { PrivateMeasures } from "./diagnostics.ts";
import type { PrivacyPlan } from "./plan.ts";

/** What a report is made of. */
export interface StepFacts {
	readonly step: number;
	readonly plan: PrivacyPlan;
	readonly notFinite: number;
	readonly measures: PrivateMeasures;
}

/** What one step did. Everything but `private` is public: ε covers it, and it may be printed and published. */
export class StepReport {
	/** Number of this step, from 1. */
	readonly step: number;
	/** Number of records whose gradient was not finite, with noise: near 0 in a sound run, and below it as often as above. */
	readonly notFinite: number;
	/** What was computed from the records without noise; shown by nothing but its `reveal()`. */
	readonly private: PrivateMeasures;
	readonly #plan: PrivacyPlan;

	/** The engine makes them. */
	constructor({ step, plan, notFinite, measures }: StepFacts) {
		this.step = step;
		this.notFinite = notFinite;
		this.private = measures;
		this.#plan = plan;
	}

	/** ε spent so far, this step included, at the δ of the plan. */
	get epsilon(): number {
		return this.#plan.epsilonAfter(this.step);
	}

	/** The public part, for files. */
	toJSON(): Pick<StepReport, "step" | "epsilon" | "notFinite"> {
		return { step: this.step, epsilon: this.epsilon, notFinite: this.notFinite };
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
