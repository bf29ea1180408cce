import { FormatError, PrivacyError, ValueError } from "@hushgrad/tensor";
import { blaming, shown } from "@hushgrad/tensor/author";
import type { AccountedHistory } from "./accountant/events.ts";
import { checkInteger } from "./check.ts";
import { checkPlan, type PrivacyPlan } from "./plan.ts";
import { historyAfter, type SampledMechanism } from "./sampler.ts";
import { sha256 } from "./sha256.ts";

/** A file, or whatever outlives the process, that lines are appended to. `fileLedger` of `@hushgrad/dp/files` opens one. */
export interface LedgerStore {
	/** All that was appended so far, by any process. */
	read(): Promise<string>;
	/** Appends a text. It must have reached the disk when the promise resolves: a step is taken on the word of it. */
	append(text: string): Promise<void>;
}

/** The beginning of a run. */
export interface RunEntry extends SampledMechanism {
	/** What it is. */
	readonly kind: "run";
	/** Name of the run, its own. */
	readonly run: string;
	/** Name of the data set that it trains on. */
	readonly dataset: string;
	/** Whether its noise is that of `secureNoise`. */
	readonly secure: boolean;
	/** The unit that its plan names; single records when left out. */
	readonly unit?: string | undefined;
	/** Of random allocation and of bins: what tells its records from others, for whoever has the private state. */
	readonly records?: string | undefined;
}

/** A step that is about to be taken: noted before its noise is drawn. */
export interface StepEntry {
	/** What it is. */
	readonly kind: "step";
	/** Whose. */
	readonly run: string;
	/** Its number, from 1. */
	readonly step: number;
}

/** What a ledger holds, in order. */
export type LedgerEntry = RunEntry | StepEntry;

/** A run, as the ledger has it. */
export interface LedgerRun extends RunEntry {
	/** Steps that were noted. */
	readonly taken: number;
}

/** What the first entry follows on. */
const GENESIS = "0".repeat(64);

const tampered = (line: number, what: string): FormatError =>
	new FormatError("privacy/ledger", `the ledger was changed: line ${line} ${what}`, {
		hint: "what was spent before it cannot be told any more: restore the file from a copy, or begin another data set",
	});

/**
 * What was spent on private records, by all runs: a log that is written ahead. Each step is noted, and has reached the disk, before its
 * noise is drawn, so that a process that is killed never leaves a step out; at worst it leaves one in that was not taken. Each line holds
 * the SHA-256 of the line before: what is changed or taken out in between is noticed. Lines that are missing at the end are noticed by
 * runs that know of them (`PrivacyEngine.fromState`); a last line that was cut off while it was written is none, for its step was not begun.
 */
export class PrivacyLedger {
	readonly #store: LedgerStore;
	readonly #runs = new Map<string, LedgerRun>();
	/** SHA-256 of each line, after that of none. */
	readonly #heads = [GENESIS];
	#queue: Promise<void> = Promise.resolve();

	static {
		Object.freeze(PrivacyLedger.prototype);
	}

	private constructor(store: LedgerStore) {
		this.#store = store;
		Object.freeze(this);
	}

	/** Reads and checks a ledger. @throws FormatError (`privacy/ledger`) when a line does not follow on the one before. */
	static open(store: LedgerStore): Promise<PrivacyLedger> {
		return blaming("PrivacyLedger.open", () => PrivacyLedger.#read(store));
	}

	static async #read(store: LedgerStore): Promise<PrivacyLedger> {
		if (typeof store?.read !== "function" || typeof store.append !== "function") {
			throw new ValueError("call/argument", "store has no read() and append()", {
				hint: "fileLedger() of @hushgrad/dp/files opens one",
			});
		}
		const ledger = new PrivacyLedger(store);
		const text = await store.read();
		if (typeof text !== "string") throw new ValueError("call/argument", `store.read() gave ${shown(text)}, expected a string`);
		const lines = text.split("\n");
		lines.pop();
		for (const [i, line] of lines.entries()) {
			const [, hash, text = ""] = /^([0-9a-f]{64}) (\{.*\})$/.exec(line) ?? [];
			if (sha256(`${ledger.head} ${text}`) !== hash) throw tampered(i + 1, "does not follow on the one before");
			ledger.#take(JSON.parse(text) as LedgerEntry, i + 1);
			ledger.#heads.push(hash);
		}
		return ledger;
	}

	/** Number of entries. */
	get length(): number {
		return this.#heads.length - 1;
	}

	/** SHA-256 of the last line: what a later reading must hold to be the same ledger, or one that goes on from it. */
	get head(): string {
		return this.#heads[this.length];
	}

	/** Whether it goes on from a ledger of so many entries with this head. */
	continues(length: number, head: string): boolean {
		return this.#heads.some((known, i) => i === length && known === head);
	}

	/** All runs on a data set, in order. */
	runsOn(dataset: string): LedgerRun[] {
		return [...this.#runs.values()].filter((r) => r.dataset === dataset);
	}

	/**
	 * What was done to a data set by all runs, for an accountant; `except` leaves one out.
	 * @throws PrivacyError (`privacy/unit`) where they protect different units: what they spend does not add up.
	 */
	historyOf(dataset: string, except?: string): AccountedHistory {
		const runs = this.runsOn(dataset).filter((r) => r.run !== except);
		if (new Set(runs.map((r) => r.unit)).size > 1) {
			throw new PrivacyError("privacy/unit", "runs on this data set protect different units, which do not add up", {
				op: "PrivacyLedger.historyOf",
				hint: "take those of one unit from runsOn(), and account for each unit on its own",
			});
		}
		return runs.flatMap((r) => historyAfter(r, r.taken));
	}

	/** A run by its name. */
	run(name: string): LedgerRun | undefined {
		return this.#runs.get(name);
	}

	/** Notes the beginning of a run by a plan; `records` is as of `RunEntry`. @throws ValueError when there is one of this name. */
	begin(run: string, dataset: string, plan: PrivacyPlan, secure: boolean, records?: string): Promise<void> {
		return blaming("PrivacyLedger.begin", () => {
			checkPlan(plan);
			const { sampling, datasetSize, sampleRate, noiseMultiplier, noiseSchedule, steps, unit } = plan;
			const mechanism = { sampling, datasetSize, sampleRate, noiseMultiplier, noiseSchedule };
			return this.#append({ kind: "run", run, dataset, ...mechanism, steps, secure, unit: unit?.name, records });
		});
	}

	/**
	 * Notes that a step is about to be taken. It is on the disk when the promise resolves. @throws PrivacyError when it was noted before
	 * (`privacy/ledger-step`), but for a run that is not private and may repeat itself, and beyond what the run may take.
	 */
	step(run: string, step: number): Promise<void> {
		return blaming("PrivacyLedger.step", () => this.#append({ kind: "step", run, step }));
	}

	/** One after the other, whoever calls. */
	#append(entry: LedgerEntry): Promise<void> {
		const done = this.#queue.then(async () => {
			this.#check(entry);
			const text = JSON.stringify(entry);
			const hash = sha256(`${this.head} ${text}`);
			await this.#store.append(`${hash} ${text}\n`);
			this.#take(entry, this.length + 1);
			this.#heads.push(hash);
		});
		this.#queue = done.catch(() => {});
		return done;
	}

	#check(entry: LedgerEntry): void {
		const names = { run: entry.run, ...(entry.kind === "run" && { dataset: entry.dataset }) };
		for (const [name, value] of Object.entries(names)) {
			if (typeof value !== "string") throw new ValueError("call/argument", `${name} is ${shown(value)}, expected a name`);
		}
		const run = this.#runs.get(entry.run);
		if (entry.kind === "run") {
			if (run !== undefined) throw new ValueError("privacy/ledger-run", `the ledger has a run ${entry.run} already`);
			return;
		}
		if (run === undefined) throw new ValueError("privacy/ledger-run", `the ledger has no run ${entry.run}`);
		checkInteger("step", entry.step);
		if (entry.step > run.steps)
			throw new PrivacyError("privacy/plan-spent", `run ${entry.run} may take ${run.steps} steps, all of them are noted`);
		if (run.secure && entry.step <= run.taken) {
			throw new PrivacyError("privacy/ledger-step", `step ${entry.step} of run ${entry.run} was taken before: ${run.taken} are noted`, {
				hint: "another process goes on with this run, or it was resumed from an older checkpoint without fromState()",
			});
		}
	}

	#take(entry: LedgerEntry, line: number): void {
		if (entry.kind === "run") {
			this.#runs.set(entry.run, { ...entry, taken: 0 });
			return;
		}
		const run = this.#runs.get(entry.run);
		if (run === undefined) throw tampered(line, `is a step of a run that does not begin in it`);
		this.#runs.set(entry.run, { ...run, taken: Math.max(run.taken, entry.step) });
	}
}
