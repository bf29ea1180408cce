import { FormatError, type Key, PrivacyError } from "@hushgrad/tensor";
import { expects, instanceOf } from "@hushgrad/tensor/author";
import { PrivacyLedger } from "./ledger.ts";
import type { PrivacyPlan } from "./plan.ts";
import { type Allocation, isAllocated, isAllocation, stepsPerEpoch } from "./sampler.ts";
import type { NoiseSource } from "./secureRandom.ts";

/** The numbers of a plan. */
export type PlanFacts = Omit<PrivacyPlan, "epsilonAfter">;

/** A ledger, and what it is used for. */
export interface LedgerUse {
	/** The ledger. */
	readonly ledger: PrivacyLedger;
	/** Name of the data set, the same for all runs on the same records: what they spend is added up under it. */
	readonly dataset: string;
}

/** What a run knows that nobody else may: who is in which step of the epoch that runs, or in which bin. To be kept where the records themselves may lie. */
export interface PrivateState extends Allocation {
	/** Name of the run. */
	readonly run: string;
}

/** Where a run stands, for a file: plain numbers and texts, all of them public. The parameters are saved beside it. */
export interface EngineState {
	/** Version of this form. */
	readonly version: 1;
	/** Name of the run. */
	readonly run: string;
	/** The plan that it follows. */
	readonly plan: PlanFacts;
	/** Steps counted. */
	readonly steps: number;
	/** Whether its noise is that of `secureNoise`. */
	readonly secure: boolean;
	/** What the watch for divergence has seen. */
	readonly excess: number;
	/** Where clipping is adaptive: C of the next step. */
	readonly maxGradNorm?: number | undefined;
	/** Key of the dropout masks. */
	readonly key: Key;
	/** The ledger when this was written. */
	readonly ledger?: LedgerMark;
}

/** What a ledger held at a time. */
export interface LedgerMark {
	/** Name of the data set. */
	readonly dataset: string;
	/** Number of entries. */
	readonly length: number;
	/** SHA-256 of the last one. */
	readonly head: string;
}

/** @throws ValueError for what is no ledger, or has no name for the data set. */
export function checkLedger({ ledger, dataset }: LedgerUse): void {
	const kinds = { ledger: instanceOf(PrivacyLedger, "a PrivacyLedger, as fileLedger() gives"), dataset: "text" } as const;
	expects("PrivacyEngine", { ledger, dataset }, kinds);
}

/** The numbers of a plan, for a file. */
export const factsOf = (plan: PrivacyPlan): PlanFacts => ({ ...plan });

const refuseState = (what: string, hint: string): never => {
	throw new PrivacyError("privacy/state", `the saved state ${what}`, { op: "PrivacyEngine.fromState", hint });
};

const isCount = (v: unknown): boolean => Number.isSafeInteger(v) && (v as number) >= 0;
const isWord = (v: unknown): boolean => typeof v === "number" && v >>> 0 === v;

/** Whether it is what adaptive clipping can have come to; there is none of other clipping. */
function isNorm(norm: number | undefined, { clipping }: PrivacyPlan): boolean {
	if (clipping.kind !== "adaptive") return norm === undefined;
	return typeof norm === "number" && norm >= clipping.minClipbound && norm <= clipping.maxClipbound;
}

/** @throws FormatError for what is no state, PrivacyError for one of another plan. */
export function checkState(state: EngineState, plan: PrivacyPlan): void {
	const { version, run, steps, secure, excess, maxGradNorm, key, plan: facts } = (state ?? {}) as Partial<EngineState>;
	const isState =
		version === 1 &&
		typeof run === "string" &&
		isCount(steps) &&
		typeof secure === "boolean" &&
		typeof excess === "number" &&
		excess >= 0 &&
		isWord(key?.k0) &&
		isWord(key?.k1);
	if (!isState) {
		throw new FormatError("privacy/state-format", "this is no state of a PrivacyEngine", {
			op: "PrivacyEngine.fromState",
			hint: "give what engine.state() gave, of this version of the library",
		});
	}
	for (const [name, value] of Object.entries(factsOf(plan))) {
		const saved = facts?.[name as keyof PlanFacts];
		const [was, is] = [JSON.stringify(saved), JSON.stringify(value)];
		if (was !== is)
			refuseState(`is of another plan: ${name} was ${was}, now it is ${is}`, "plan the run as it was planned, or begin a new one");
	}
	if (!isNorm(maxGradNorm, plan)) refuseState(`has a clipping norm of ${maxGradNorm}`, "it was changed: begin a new run");
	if ((steps ?? 0) > plan.steps) refuseState(`has ${steps} steps of ${plan.steps}`, "it was changed: begin a new run");
}

/**
 * Where a run of random allocation may go on: in an epoch whose allocation was kept, at once. Who was in which step of another one was known
 * to the process that ended only, so what is left of that epoch is given up. Bins are drawn once: without them there is no going on.
 */
function whereToGoOn(plan: PlanFacts, steps: number, kept: Allocation | undefined): number {
	if (plan.sampling.kind === "balls-in-bins" && steps > 0 && kept === undefined) {
		refuseState(
			"has no private part, and which record is in which bin was kept nowhere else",
			"give what engine.privateState() gave, as `privateState`; or begin a new run",
		);
	}
	if (plan.sampling.kind !== "random-allocation") return steps;
	const epoch = stepsPerEpoch(plan);
	if (kept?.epoch === Math.floor((steps - 1) / epoch)) return steps;
	return Math.min(plan.steps, Math.ceil(steps / epoch) * epoch);
}

/** @throws PrivacyError for a private state that is not of this run. */
export function checkPrivateState(kept: PrivateState, state: EngineState | undefined): void {
	expects("PrivacyEngine", { privateState: kept }, { privateState: "options" });
	const isOwn = state !== undefined && kept.run === state.run && isAllocated(state.plan.sampling);
	if (isOwn && isAllocation(kept, stepsPerEpoch(state.plan))) return;
	refuseState("has a private part that is not of this run", "give what engine.privateState() gave together with engine.state()");
}

/** Steps counted by a run that goes on, with this source and this ledger. @throws PrivacyError where they are not those of the state. */
export function countedSteps(state: EngineState, source: NoiseSource, use: LedgerUse | undefined, kept?: PrivateState): number {
	if (source.secure !== state.secure) {
		refuseState(
			`is of a run ${state.secure ? "with" : "without"} secure noise`,
			"go on with a source of the same kind: the statement is about the whole run",
		);
	}
	const whole = state.secure ? (steps: number): number => whereToGoOn(state.plan, steps, kept) : (steps: number): number => steps;
	if (state.ledger === undefined) {
		// Written before the first step; the ledger may have seen more of the run since.
		return whole(state.secure ? Math.max(state.steps, use?.ledger.run(state.run)?.taken ?? 0) : state.steps);
	}
	const { dataset, length, head } = state.ledger;
	if (use === undefined) return refuseState("was noted in a ledger, and there is none now", "open the ledger and give it as `ledger`");
	if (use.dataset !== dataset)
		refuseState(`is of the data set ${dataset}, now it is ${use.dataset}`, "give the name that the run began with");
	const run = use.ledger.run(state.run);
	if (run === undefined || !use.ledger.continues(length, head)) {
		return refuseState(
			"knows entries that the ledger does not hold",
			"the ledger was cut off or exchanged: what was spent cannot be told; restore it from a copy",
		);
	}
	return state.secure ? whole(Math.max(state.steps, run.taken)) : state.steps;
}
