import type { Attrs, Primitive } from "./primitive.ts";
import type { Given } from "./record.ts";
import type { OperandShape } from "./records.ts";
import type { Rows } from "./streamed.ts";
import type { Tensor } from "./tensor.ts";

/** Rows of the gradient of an operand along its first axis, bit for bit those of its rule, each time it is called. */
export type RowRule<A> = (given: Given, attrs: A, operand: OperandShape, rows: Rows) => Tensor;

const rules = new WeakMap<object, Readonly<Record<string, RowRule<never>>>>();

/**
 * Gives an operation of this package rules for rows, by operand: with them the gradient of a large parameter need not be held. Nobody
 * else can: a private step computes rows twice, for norms and for the sum, and what the second call gives is bounded by the first alone.
 */
export function byRows<A extends Attrs>(primitive: Primitive<A>, byOperand: Readonly<Record<string, RowRule<A>>>): Primitive<A> {
	rules.set(primitive, byOperand);
	return primitive;
}

/** The rule for rows of an operand, where there is one. */
export const rowRuleOf = <A extends Attrs>(primitive: Primitive<A>, operand: string): RowRule<A> | undefined =>
	rules.get(primitive)?.[operand] as RowRule<A> | undefined;
