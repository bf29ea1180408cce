import { PrivacyError } from "@hushgrad/tensor";
import type { Allocation } from "./allocation.ts";

/** @throws PrivacyError always: a record that is another one has its own step, and who stands behind both takes part twice. */
export function refuseChanged(what: string): never {
	throw new PrivacyError("privacy/records-changed", what, {
		hint: "each record has one step of an epoch, or one bin: hand over the same records in all steps of a run, in any order, and let encode() give the same numbers of a record each time; Poisson sampling asks for neither",
	});
}

/** The records of a run that gives each of them its step: who they are, by what they hold, and that they stay the same. */
export class Roster {
	readonly #allocation: Allocation;
	#seal: string | undefined;
	#given: number | readonly unknown[] | undefined;
	#identities: readonly string[] = [];

	/** `seal` is that of a run that goes on. */
	constructor(allocation: Allocation, seal: string | undefined) {
		this.#allocation = allocation;
		this.#seal = seal;
	}

	/** What tells the records of the run from others; undefined before the first step. */
	get seal(): string | undefined {
		return this.#seal;
	}

	/**
	 * What each record is, by `identify`, which is asked where other objects are handed over than before.
	 * @throws PrivacyError (`privacy/records-changed`) where they are not the records that the run began with.
	 */
	identitiesOf(records: number | readonly unknown[], identify: () => readonly string[]): readonly string[] {
		if (isSame(records, this.#given)) return this.#identities;
		const identities = identify();
		const seal = this.#allocation.sealOf(identities);
		if (seal !== (this.#seal ?? seal)) refuseChanged("the records are not those that the run began with");
		this.#seal = seal;
		this.#given = records;
		this.#identities = identities;
		return identities;
	}

	/** Asks anew for the records of the next step. */
	forget(): void {
		this.#given = undefined;
	}
}

function isSame(records: number | readonly unknown[], before: number | readonly unknown[] | undefined): boolean {
	if (typeof records === "number" || before === undefined || typeof before === "number") return records === before;
	return records.length === before.length && records.every((r, i) => r === before[i]);
}
