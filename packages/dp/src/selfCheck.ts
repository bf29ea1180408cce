import type { Tensor } from "@hushgrad/tensor";
import { type Clipped, differences } from "./clip.ts";

/** Where two runs of a physical batch, one of them without a record, disagree about the others. */
export interface Difference {
	/** 1 where another record's gradient differs: u32 [P]. Kept; the caller releases it. */
	readonly tensor: Tensor;
	/** The record that was left out, or the only one. */
	readonly record: number;
	/** It was the only one: nothing was left out, the same was run twice. */
	readonly isAlone: boolean;
}

/**
 * Runs a physical batch of two or more records again, once with its first and once with its last record exchanged for
 * padding, and compares the gradients of the others, bit for bit: whatever goes from an earlier row to a later one hangs on
 * the first, whatever goes back on the last. A batch of one row is run again as it is: what the host carries from record
 * to record shows in a second run. `again` encodes and runs the given records.
 */
export function checkRecordsApart(indices: Int32Array, clipped: Clipped, again: (others: Int32Array) => Clipped): Difference[] {
	const { device } = clipped.factors;
	const compare = (others: Int32Array, except: number): Tensor =>
		device.keep(device.scope(() => differences(clipped, again(others), except)));
	if (indices.length === 1) return [{ tensor: compare(indices, 1), record: indices[0], isAlone: true }];
	return [indices.findIndex((i) => i >= 0), indices.findLastIndex((i) => i >= 0)].map((row) => {
		return { tensor: compare(indices.with(row, -1), row), record: indices[row], isAlone: false };
	});
}
