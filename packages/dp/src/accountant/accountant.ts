import { blaming, expects } from "@hushgrad/tensor/author";
import { refuse } from "../check.ts";
import { type AccountedEvent, type AccountedHistory, appendEvent, type PrivacyEvent } from "./events.ts";
import { type AccountantName, epsilon } from "./spent.ts";

/** A step of Poisson sampling, or any event. */
export type AccountedStep = AccountedEvent | Omit<PrivacyEvent, "steps">;

/** An accountant as JSON, written by `Accountant.state` and read by `Accountant.fromState`. */
export interface AccountantState {
	/** Kind of the accountant. */
	readonly mechanism: AccountantName;
	/** Version of this form. */
	readonly version: 1;
	/** What was added up. */
	readonly history: AccountedHistory;
}

function checkAccountant(name: AccountantName): void {
	if (!["pld", "rdp", "prv", "gdp"].includes(name)) refuse("accountant", '"pld", "rdp", "prv" or "gdp"', name);
}

/** Adds up what a run spends, step by step, and reads ε off by the accountant named. Guarantee as of `epsilon`. */
export class Accountant {
	static {
		Object.freeze(Accountant.prototype);
	}

	/** Kind of the accountant. */
	readonly mechanism: AccountantName;
	#history: AccountedHistory = [];

	/** @throws ValueError for a name that is no accountant's. */
	constructor(mechanism: AccountantName = "pld") {
		blaming("Accountant", () => checkAccountant(mechanism));
		this.mechanism = mechanism;
	}

	/**
	 * An accountant that goes on where another one stopped.
	 * @throws ValueError when `state` was not written by `state()`, or holds an impossible event.
	 */
	static fromState(state: AccountantState): Accountant {
		return blaming("Accountant.fromState", () => {
			if (state?.version !== 1 || !Array.isArray(state.history)) refuse("state", "the state of an accountant, version 1", state);
			const accountant = new Accountant(state.mechanism);
			for (const event of state.history) accountant.step(event);
			return accountant;
		});
	}

	/** What was added up so far; it does not change with later steps. */
	get history(): AccountedHistory {
		return this.#history;
	}

	/**
	 * Adds an event; of Poisson sampling 1 step when `steps` is left out.
	 * @throws ValueError for a rate outside [0, 1], a negative or non-finite noise multiplier, or steps that are no count.
	 */
	step(event: AccountedStep): void {
		expects("Accountant.step", { event }, { event: "options" });
		const whole = "steps" in event ? event : { ...event, steps: 1 };
		this.#history = blaming("Accountant.step", () => appendEvent(this.#history, whole));
	}

	/**
	 * ε spent so far, at `delta`.
	 * @throws ValueError as `epsilon`.
	 */
	getEpsilon(delta: number): number {
		return blaming("Accountant.getEpsilon", () => epsilon(this.#history, { delta, accountant: this.mechanism }));
	}

	/** The accountant as plain values that JSON holds. */
	state(): AccountantState {
		return { mechanism: this.mechanism, version: 1, history: this.#history };
	}
}
