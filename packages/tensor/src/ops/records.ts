import { runtimeOf } from "../device.ts";
import { PrivacyError } from "../errors.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import type { OperandShape, Records } from "../records.ts";
import { moved } from "../reference.ts";
import { insideOf, type Tensor } from "../tensor.ts";
import { expand } from "./expand.ts";
import { reduceInner } from "./reduceInner.ts";
import { movedim, unsqueeze } from "./view.ts";

/* The ends of a program for one record. Not for programs: what they do to an axis, no program may do. */

interface HideArgs {
	readonly records: Records;
	readonly axis: number;
}

export const hidePrimitive: LinearOp<HideArgs> = defineLinear<HideArgs>({
	name: "hide",
	forward: ([x], { axis }) => {
		const at = axis + 1;
		const order = [at, ...x.shape.map((_, i) => i).filter((i) => i !== at)];
		const { shape, strides } = x.permute(order);
		return x.view({ shape: shape.toSpliced(1, 1), strides: strides.toSpliced(1, 1) });
	},
	adjoint: (dy, { records, axis }) => {
		const rows = reveal(dy, records);
		return axis === 0 ? rows : movedim(rows, 0, axis);
	},
	resultRecords: ({ records }) => ({ records }),
	reference: ([x]) => x,
	test: { draw: () => undefined },
});

export const revealPrimitive: LinearOp<{ readonly records: Records }> = defineLinear<{ readonly records: Records }>({
	name: "reveal",
	forward: ([x]) => x.view({ shape: [1, ...x.shape], strides: [0, ...x.strides] }),
	adjoint: (dy, { records }) => hide(dy, records, 0),
	resultRecords: () => ({ records: undefined }),
	reference: ([x]) => x,
	test: { draw: () => undefined },
});

export const sumRecordsPrimitive: LinearOp<null> = defineLinear<null>({
	name: "sumRecords",
	forward: ([x]) => {
		const total = reduceInner("sum", x.permute([...x.shape.keys()].slice(1).concat(0)), 1);
		return total.view({ shape: [1, ...total.shape] });
	},
	adjoint: (dy) => dy,
	resultRecords: () => ({ records: undefined }),
	reference: ([x]) => moved(x, x.shape, (i) => i),
	test: { draw: () => undefined },
});

/** A batch as seen by the program for one record: the axis disappears from sight. */
export const hide = (x: Tensor, records: Records, axis: number): Tensor => hidePrimitive.apply([x], { records, axis });

/** What a program for one record computed, as a batch: records along axis 0. */
export function reveal(x: Tensor, records: Records): Tensor {
	if (insideOf(x).records !== undefined) return revealPrimitive.apply([x], { records });
	return expand(unsqueeze(x, 0), [records.count, ...x.shape]);
}

/** The sum over all records: the gradient of what is one for all. */
export function sumRecords(x: Tensor): Tensor {
	checkMayJoin(x);
	return sumRecordsPrimitive.apply([x], null);
}

/**
 * What the gradient of an operand is computed from. Where the operand is one for all records and its gradient is not,
 * the tensors come back with the records as axis 0: one product over all their rows then sums over the records too, and
 * no gradient for each of them is made. Otherwise they come back as they are.
 */
export function foldRecords(operand: OperandShape, tensors: readonly Tensor[]): readonly Tensor[] {
	const records = operand.records === undefined ? tensors.map((t) => insideOf(t).records).find((r) => r !== undefined) : undefined;
	if (records === undefined) return tensors;
	checkMayJoin(tensors[0]);
	return tensors.map((t) => reveal(t, records));
}

/** @throws PrivacyError inside a private program, where nothing may join what belongs to several records. */
function checkMayJoin(x: Tensor): void {
	if (runtimeOf(x.device).world === undefined) return;
	throw new PrivacyError("privacy/shared-leaf", "a gradient by a tensor that all records share would mix them", {
		hint: "differentiate inside the program for one record",
	});
}
