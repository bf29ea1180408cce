import { FormatError, type Key, PrivacyError } from "@hushgrad/tensor";
import { expects, instanceOf } from "@hushgrad/tensor/author";
import { Allocation } from "./allocation.ts";
import { type LedgerRun, PrivacyLedger } from "./ledger.ts";
import type { PrivacyPlan } from "./plan.ts";
import { isAllocated } from "./sampler.ts";
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

/** What a run knows that nobody else may: it says who is in which step of each epoch, or in which bin. To be kept where the records themselves may lie. */
export interface PrivateState {
	/** 64 hexadecimal digits, the same for the whole run; the name of the run follows from them. */
	readonly secret: string;
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
	/** Of random allocation and of bins, after the first step: what tells the records from others, for whoever has the private state. */
	readonly records?: string | undefined;
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
	const { version, run, steps, secure, excess, maxGradNorm, key, records, plan: facts } = (state ?? {}) as Partial<EngineState>;
	const isState =
		version === 1 &&
		typeof run === "string" &&
		isCount(steps) &&
		typeof secure === "boolean" &&
		typeof excess === "number" &&
		excess >= 0 &&
		isWord(key?.k0) &&
		isWord(key?.k1) &&
		(records === undefined || typeof records === "string");
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
 * What assigns the records of a run to its steps; undefined of other sampling. A run with secure noise goes on by what was kept and nothing
 * else: its name follows from it. Noise that repeats gives the same again.
 * @throws PrivacyError where what was kept is not of this run, and where nothing was kept of one that has steps to take.
 */
export function allocationOf(
	plan: PrivacyPlan,
	source: NoiseSource,
	state: Pick<EngineState, "run" | "steps"> | undefined,
	kept: PrivateState | undefined,
): Allocation | undefined {
	if (kept !== undefined) {
		expects("PrivacyEngine", { privateState: kept }, { privateState: "options" });
		const allocation = new Allocation(String(kept.secret));
		if (isAllocated(plan.sampling) && state !== undefined && allocation.name === state.run) return allocation;
		refuseState("has a private part that is not of this run", "give what engine.privateState() gave, of this run");
	}
	if (!isAllocated(plan.sampling)) return undefined;
	if (source.secure && state !== undefined && state.steps < plan.steps) {
		refuseState(
			"has no private part, and which record is in which step was kept nowhere else",
			"give what engine.privateState() gave, as `privateState`; or begin a new run",
		);
	}
	return Allocation.draw(source);
}

/** What the records of a run are told by. @throws PrivacyError where ledger and state do not agree. */
export function sealOf(state: EngineState | undefined, use: LedgerUse | undefined): string | undefined {
	if (state === undefined) return undefined;
	const noted = use?.ledger.run(state.run)?.records;
	if (noted !== undefined && state.records !== undefined && noted !== state.records)
		refuseState("is of other records than the ledger has", "it was changed: begin a new run");
	return noted ?? state.records;
}

/** @throws PrivacyError where the ledger has a run by this name that is another one: a state that was edited. */
function checkNoted(noted: LedgerRun, state: EngineState, dataset: string): void {
	const { sampling, datasetSize, sampleRate, noiseMultiplier, noiseSchedule, steps, unit } = state.plan;
	const numbers = { sampling, datasetSize, sampleRate, noiseMultiplier, noiseSchedule, steps };
	const own = { ...numbers, unit: unit?.name, secure: state.secure, dataset };
	for (const [name, value] of Object.entries(own)) {
		const [begun, now] = [JSON.stringify(noted[name as keyof LedgerRun]), JSON.stringify(value)];
		if (begun !== now)
			refuseState(`is of another run than the ledger has: ${name} was ${begun}, now it is ${now}`, "it was changed: begin a new run");
	}
}

/** Steps counted by a run that goes on, with this source and this ledger. @throws PrivacyError where they are not those of the state. */
export function countedSteps(state: EngineState, source: NoiseSource, use: LedgerUse | undefined): number {
	if (source.secure !== state.secure) {
		refuseState(
			`is of a run ${state.secure ? "with" : "without"} secure noise`,
			"go on with a source of the same kind: the statement is about the whole run",
		);
	}
	const { ledger: mark } = state;
	if (mark !== undefined && use !== undefined && use.dataset !== mark.dataset)
		refuseState(`is of the data set ${mark.dataset}, now it is ${use.dataset}`, "give the name that the run began with");
	const run = use?.ledger.run(state.run);
	if (use !== undefined && run !== undefined) checkNoted(run, state, use.dataset);
	// Without a mark it was written before the first step; the ledger may have seen more of the run since.
	if (mark === undefined) return state.secure ? Math.max(state.steps, run?.taken ?? 0) : state.steps;
	if (use === undefined) return refuseState("was noted in a ledger, and there is none now", "open the ledger and give it as `ledger`");
	if (run === undefined || !use.ledger.continues(mark.length, mark.head)) {
		return refuseState(
			"knows entries that the ledger does not hold",
			"the ledger was cut off or exchanged: what was spent cannot be told; restore it from a copy",
		);
	}
	return state.secure ? Math.max(state.steps, run.taken) : state.steps;
}
