import { data, PrivacyError, type Tensor } from "@hushgrad/tensor";
import { type Clipped, differences } from "./clip/clip.ts";

/** Where two runs of a physical batch, one of them without a record, disagree about the others. */
interface Difference {
	/** 1 where another record's gradient differs: u32 [P]. Kept. */
	readonly tensor: Tensor;
	/** The record that was left out, or the only one. */
	readonly record: number;
	/** It was the only one: nothing was left out, the same was run twice. */
	readonly isAlone: boolean;
}

/** A physical batch that may be looked at. */
export interface Candidate {
	/** Records of its rows, −1 for padding. */
	readonly indices: Int32Array;
	/** Its number in the step. */
	readonly part: number;
	/** Whether encode() gave one and the same record for several. */
	readonly isOneRecord: boolean;
	/** What came of it. */
	readonly clipped: Clipped;
	/** Encodes and runs the given records. */
	readonly again: (others: Int32Array) => Clipped;
}

/**
 * Looks for what no rule can see: one record moving another by arithmetic on the host, or in a kernel of one's own. It runs a physical
 * batch of two or more records again, once with its first and once with its last record exchanged for padding, and compares the gradients
 * of the others, bit for bit: whatever goes from an earlier row to a later one hangs on the first, whatever goes back on the last. A batch
 * of one row is run again as it is: what the host carries from record to record shows in a second run.
 */
export class SelfCheck {
	readonly #every: number;
	/** Programs that were found to keep records apart, by their text. */
	readonly #apart = new Set<string>();
	#checked = 0;

	/** Beside the first step in which two records meet under a program, every `every`-th step is looked at. */
	constructor(every: number) {
		this.#every = every;
	}

	/** The check of one step, of the program with this text. */
	begin(step: number, program: string): StepCheck {
		const isDue = !this.#apart.has(program) || step - this.#checked >= this.#every;
		return new StepCheck(isDue, () => {
			this.#checked = step;
			this.#apart.add(program);
		});
	}
}

/** The check of the first batch of a step in which two records meet: in one batch, or where a batch is one record, one after the other. */
class StepCheck {
	/** Whether one is to be made, where records meet. */
	readonly isDue: boolean;
	readonly #passed: () => void;
	readonly #found: Difference[] = [];

	constructor(isDue: boolean, passed: () => void) {
		this.isDue = isDue;
		this.#passed = passed;
	}

	/** @throws PrivacyError (`privacy/records-mix`) where encode() gave one record for several numbers. */
	look({ indices, part, isOneRecord, clipped, again }: Candidate): void {
		const meets = indices.length === 1 ? part > 0 : indices.filter((i) => i >= 0).length >= 2;
		if (!this.isDue || !meets || this.#found.length > 0) return;
		if (isOneRecord) raiseOneRecord(indices);
		const { device } = clipped.factors;
		const compare = (others: Int32Array, except: number): Tensor =>
			device.keep(device.scope(() => differences(clipped, again(others), except)));
		if (indices.length === 1) {
			this.#found.push({ tensor: compare(indices, 1), record: indices[0], isAlone: true });
			return;
		}
		for (const row of [indices.findIndex((i) => i >= 0), indices.findLastIndex((i) => i >= 0)]) {
			this.#found.push({ tensor: compare(indices.with(row, -1), row), record: indices[row], isAlone: false });
		}
	}

	/** @throws PrivacyError (`privacy/records-mix`), naming the parameter, where a record moved another one's gradient. */
	async conclude(nameAt: (offset: number) => string): Promise<void> {
		for (const difference of this.#found) {
			const at = ((await data(difference.tensor)) as Uint32Array).indexOf(1);
			if (at >= 0) raiseMixed(difference, nameAt(at));
		}
		if (this.#found.length > 0) this.#passed();
	}

	dispose(): void {
		for (const { tensor } of this.#found) tensor.dispose();
	}
}

function raiseMixed({ record, isAlone }: Difference, name: string): never {
	throw new PrivacyError(
		"privacy/records-mix",
		isAlone
			? `record number ${record} has another gradient by ${name} when it is run once more`
			: `without one record of the batch (number ${record}) another one's gradient by ${name} changes`,
		{
			path: name,
			hint: "encode() or the loss carries something from record to record: a number computed from the batch, or state on the host; what it draws at random must follow from the record and the step",
		},
	);
}

function raiseOneRecord(indices: Int32Array): never {
	const numbers = indices.filter((i) => i >= 0).join(", ");
	throw new PrivacyError("privacy/records-mix", `encode() gives one and the same record for the numbers ${numbers}`, {
		hint: "does it keep the first one? every number stands for a record of its own",
	});
}
