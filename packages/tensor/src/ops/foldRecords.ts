import { runtimeOf } from "../device.ts";
import { PrivacyError } from "../errors.ts";
import type { OperandShape } from "../records.ts";
import { insideOf, type Tensor } from "../tensor.ts";
import { reveal } from "./records.ts";

/**
 * What the gradient of an operand is computed from. Where the operand is one for all records and its gradient is not,
 * the tensors come back with the records as axis 0: one product over all their rows then sums over the records too, and
 * no gradient for each of them is made. Otherwise they come back as they are.
 */
export function foldRecords(operand: OperandShape, tensors: readonly Tensor[]): readonly Tensor[] {
	const records = operand.records === undefined ? tensors.map((t) => insideOf(t).records).find((r) => r !== undefined) : undefined;
	if (records === undefined) return tensors;
	if (runtimeOf(tensors[0].device).world !== undefined) {
		throw new PrivacyError("privacy/shared-leaf", "a gradient by a tensor that all records share would mix them", {
			hint: "differentiate inside the program for one record",
		});
	}
	return tensors.map((t) => reveal(t, records));
}
