import { expects } from "@hushgrad/tensor/author";
import { checkInteger, checkPositive, refuse } from "./check.ts";

/**
 * What a number is multiplied by in the course of a run, from 1 in the first step on: constant for `every` steps, then another one. It follows
 * from the number of the step alone, so it is public.
 */
export type Schedule =
	| {
			/** γ^k in the k-th stage from 0: Opacus' exponential and step schedulers. */
			readonly kind: "exponential";
			/** γ, above 0. */
			readonly gamma: number;
			/** Steps of a stage; 1 when left out. */
			readonly every?: number | undefined;
	  }
	| {
			/** From 1 to `end` in equal differences, stage by stage. */
			readonly kind: "linear";
			/** The factor of the last stage, above 0. */
			readonly end: number;
			/** Steps of a stage; 1 when left out. */
			readonly every?: number | undefined;
	  }
	| {
			/** Factors that are listed, the last of them for all stages that follow: Opacus' lambda schedulers. */
			readonly kind: "listed";
			/** One for each stage, above 0. */
			readonly factors: readonly number[];
			/** Steps of a stage; 1 when left out. */
			readonly every?: number | undefined;
	  };

/** A schedule within a run: it needs nothing else to be told. */
export type PlannedSchedule = Schedule & {
	/** Steps of a stage. */
	readonly every: number;
	/** Steps of the run. */
	readonly steps: number;
};

/** The factor of step 1, 2, …; that of the last step for all that follow; 1 without a schedule. */
export function factorAt(schedule: PlannedSchedule | undefined, step: number): number {
	if (schedule === undefined) return 1;
	const stage = Math.floor((Math.min(step, schedule.steps) - 1) / schedule.every);
	if (schedule.kind === "exponential") return schedule.gamma ** stage;
	if (schedule.kind === "listed") return schedule.factors[Math.min(stage, schedule.factors.length - 1)];
	const last = Math.ceil(schedule.steps / schedule.every) - 1;
	return last === 0 ? 1 : 1 + ((schedule.end - 1) * stage) / last;
}

/** The factors of all stages, in order. */
export function factorsOf(schedule: PlannedSchedule | undefined): number[] {
	if (schedule === undefined) return [1];
	const { steps, every } = schedule;
	return Array.from({ length: Math.ceil(steps / every) }, (_, stage) => factorAt(schedule, stage * every + 1));
}

/** The least and the largest factor. */
export function rangeOf(schedule: PlannedSchedule | undefined): { readonly least: number; readonly largest: number } {
	const factors = factorsOf(schedule);
	return { least: factors.reduce((a, b) => Math.min(a, b)), largest: factors.reduce((a, b) => Math.max(a, b)) };
}

/** The schedule in a run of so many steps, frozen. @throws ValueError, by `name`, for what is none, and a factor that is 0 or infinite. */
export function plannedSchedule(name: string, schedule: Schedule | undefined, steps: number): PlannedSchedule | undefined {
	if (schedule === undefined) return undefined;
	const kinds = ["exponential", "linear", "listed"];
	if (!kinds.includes(schedule?.kind)) refuse(name, `of a kind among ${kinds.join(", ")}`, schedule?.kind);
	const { every = 1 } = schedule;
	checkInteger("every", every);
	const times = { every, steps };
	const planned = ((): PlannedSchedule => {
		if (schedule.kind === "exponential") return { kind: schedule.kind, gamma: schedule.gamma, ...times };
		if (schedule.kind === "linear") return { kind: schedule.kind, end: schedule.end, ...times };
		expects(name, { factors: schedule.factors }, { factors: "list" });
		return { kind: schedule.kind, factors: Object.freeze([...schedule.factors]), ...times };
	})();
	if (planned.kind === "exponential") checkPositive("gamma", planned.gamma);
	if (planned.kind === "linear") checkPositive("end", planned.end);
	if (planned.kind === "listed" && planned.factors[0] !== 1) refuse("factors", "a list that begins with 1", planned.factors);
	const factors = planned.kind === "listed" ? planned.factors : factorsOf(planned);
	const at = factors.findIndex((factor) => !(Number.isFinite(factor) && factor > 0));
	if (at >= 0) refuse(name, "one of finite factors above 0", factors[at]);
	return Object.freeze(planned);
}
