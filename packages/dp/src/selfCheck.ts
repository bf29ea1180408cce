import type { Tensor } from "@hushgrad/tensor";
import { type Clipped, differences } from "./clip.ts";

/** Where two runs of a physical batch, one of them without a record, disagree about the others. */
export interface Difference {
	/** 1 where another record's integer contribution differs: u32 [P]. Kept; the caller releases it. */
	readonly tensor: Tensor;
	/** The record that was left out. */
	readonly record: number;
}

/**
 * Runs a physical batch again with its last record exchanged for padding, and compares what the others contribute, bit for
 * bit. `again` encodes and runs the given records.
 */
export function checkRecordsApart(indices: Int32Array, clipped: Clipped, again: (others: Int32Array) => Clipped): Difference {
	const row = indices.findLastIndex((i) => i >= 0);
	const tensor = differences(clipped, again(indices.with(row, -1)), row);
	return { tensor: tensor.device.keep(tensor), record: indices[row] };
}
