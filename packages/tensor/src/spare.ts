/** Memory that can be had again, such as that of steps that were captured to be replayed. */
export interface Spare {
	/** Whoever it was kept for is garbage. */
	readonly isAbandoned: boolean;
	/** Gives it up, where nobody uses it just now. */
	release(): void;
}

/** The spare memory of a device: given up where the budget would refuse, and, where it was abandoned, with other garbage. */
export class SpareMemory {
	readonly #all = new Set<Spare>();

	add(spare: Spare): void {
		this.#all.add(spare);
	}

	/** Gives all of it up. */
	release(): void {
		for (const spare of this.#all) spare.release();
	}

	/** Gives up what was abandoned. */
	releaseAbandoned(): void {
		for (const spare of this.#all) {
			if (!spare.isAbandoned) continue;
			spare.release();
			this.#all.delete(spare);
		}
	}
}
