import type { Physical } from "./physical.ts";
import { record } from "./record.ts";
import type { OperandShape, Records } from "./records.ts";
import type { NdArray } from "./reference.ts";
import type { Tensor } from "./tensor.ts";

/** How the property tests call a linear operation with arguments of type A. */
export interface LinearTest<A> {
	/**
	 * Arguments for operands of this shape (the first operand's), from random numbers in [0, 1), a new one each call of `next`;
	 * undefined where the shape allows none.
	 */
	readonly draw: (shape: readonly number[], next: () => number) => A | undefined;
	/** Shapes of all operands from that of the first; one operand when left out. */
	readonly operands?: ((shape: readonly number[], args: A) => readonly (readonly number[])[]) | undefined;
	/**
	 * How far a result may be from the reference, beside rounding to f32. Left out for operations that only move values: they
	 * are tested on bool too.
	 */
	readonly abs?: number | undefined;
}

/**
 * A linear operation: a view, a copy, or a sum, of one or more operands, with one result. Its gradient needs no saved values,
 * only its adjoint. `A` is the type of its arguments besides the operands (axes, sizes), which `forward`, `adjoint` and
 * `reference` get as the call gave them: the function that users call checks and normalises them first.
 */
export interface LinearSpec<A> {
	/** Names it in errors, profiles and debug output. */
	readonly name: string;
	/**
	 * The view or kernel. Axis 0 of the operands and of the result is the record axis, and the axes that the arguments name
	 * come behind it: visible axis i is axis i + 1 here. A result that shares the storage of an operand costs no kernel.
	 */
	readonly forward: (inputs: readonly Physical[], args: A) => Physical;
	/**
	 * The transposed map: from dy, the gradient of the result, to that of operand number `operand`, of the shape
	 * `operands[operand].shape`. Made of differentiable operations on the tensors of one record, so that it can be
	 * differentiated again.
	 */
	readonly adjoint: (dy: Tensor, args: A, operands: readonly OperandShape[], operand: number) => Tensor;
	/** For which calls it is no linear map but has gradient 0, such as a cast to whole numbers; for none when left out. */
	readonly constant?: ((inputs: readonly Tensor[], args: A) => boolean) | undefined;
	/** The same for one record, in float64 on the host: the oracle of the tests. */
	readonly reference: (inputs: readonly NdArray[], args: A) => NdArray;
	/** How the tests call it. */
	readonly test: LinearTest<A>;
	/** The records of the result, where they are not those of the operands: for the two ends of `vmap`. */
	readonly resultRecords?: (args: A) => {
		/** undefined: one for all. */
		readonly records: Records | undefined;
	};
}

/** A linear operation, made by `defineLinear`. Exported by a module, it is found and tested by the registry. */
export class LinearOp<A = unknown> {
	/** Its definition. */
	readonly spec: LinearSpec<A>;

	constructor(spec: LinearSpec<A>) {
		this.spec = spec;
	}

	/**
	 * Runs it on operands and arguments that the caller has checked, and records it while a gradient is traced. The result
	 * belongs to the innermost scope.
	 * @throws ValueError for operands of two devices or of a program for one record that has ended; DisposedError for one that
	 * was released; what `forward` throws.
	 */
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

/** Defines a linear operation. The returned object runs it with `apply` and carries its definition for the tests. */
export const defineLinear = <A>(spec: LinearSpec<A>): LinearOp<A> => new LinearOp(spec);
