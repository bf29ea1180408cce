import type { Physical } from "./physical.ts";
import { record } from "./record.ts";
import type { OperandShape, Records } from "./records.ts";
import type { NdArray } from "./reference.ts";
import type { Tensor } from "./tensor.ts";

/** How the property tests call a linear operation. */
export interface LinearTest<A> {
	/**
	 * Arguments for operands of this shape (the first operand's), from random numbers in [0, 1); undefined where the shape
	 * allows none.
	 */
	readonly draw: (shape: readonly number[], next: () => number) => A | undefined;
	/** Shapes of all operands from that of the first; one operand when left out. */
	readonly operands?: ((shape: readonly number[], args: A) => readonly (readonly number[])[]) | undefined;
	/** How far a result may be from the reference, beside rounding to f32; 0 for operations that only move values. */
	readonly abs?: number | undefined;
}

/**
 * A linear operation: a view, a copy, or a sum. Its gradient needs no saved values, only its adjoint.
 * - `forward`: the view or kernel, with the record axis in front;
 * - `adjoint`: from the gradient of the result to those of the operands, as further operations, so that they can be
 *   differentiated again;
 * - `constant`: for which operands it is no linear map but has gradient 0 (a cast to whole numbers);
 * - `reference`: float64 on the host.
 */
export interface LinearSpec<A> {
	readonly name: string;
	readonly forward: (inputs: readonly Physical[], args: A) => Physical;
	readonly adjoint: (dy: Tensor, args: A, operands: readonly OperandShape[], operand: number) => Tensor;
	readonly constant?: ((inputs: readonly Tensor[], args: A) => boolean) | undefined;
	readonly reference: (inputs: readonly NdArray[], args: A) => NdArray;
	readonly test: LinearTest<A>;
	/** The records of the result, where they are not those of the operands. */
	readonly resultRecords?: (args: A) => { readonly records: Records | undefined };
}

export class LinearOp<A = unknown> {
	readonly spec: LinearSpec<A>;

	constructor(spec: LinearSpec<A>) {
		this.spec = spec;
	}

	/** Runs it on operands and arguments that were checked, and records it while a gradient is traced. */
	apply(inputs: readonly Tensor[], args: A): Tensor {
		const { name, forward, adjoint, constant, resultRecords } = this.spec;
		const [result] = record({
			name,
			inputs,
			forward: (views) => [forward(views, args)],
			gradients: () => {
				const isConstant = constant?.(inputs, args) ?? false;
				const shapes = inputs.map((t): OperandShape => ({ shape: t.shape, records: undefined }));
				return inputs.map((_, i) => (isConstant ? "none" : { saves: [], rule: ({ dy }) => adjoint(dy, args, shapes, i) }));
			},
			...(resultRecords && { resultRecords: resultRecords(args) }),
		});
		return result;
	}
}

/** Defines a linear operation. */
export const defineLinear = <A>(spec: LinearSpec<A>): LinearOp<A> => new LinearOp(spec);
