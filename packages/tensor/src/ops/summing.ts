import type { Physical } from "../physical.ts";
import { type Attrs, definePrimitive, type ForwardContext, type Named, type Primitive, type PrimitiveSpec } from "../primitive.ts";
import type { Arrived } from "../record.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./binary.ts";

/** An operation whose kernel can add to its first result a tensor of that shape. */
export type SummingSpec<A extends Attrs, S extends string> = Omit<PrimitiveSpec<A, S>, "forward" | "together"> & {
	/** As of any operation; with `plus` the result is that and what the signature says, in this order. */
	forward(context: ForwardContext<A, S>, plus?: Physical): readonly Physical[];
};

/** The operation, and the one with a further operand `plus`, which is added to its result. */
export interface Summing<A extends Attrs> {
	/** The operation as its definition says. */
	readonly alone: Primitive<A>;
	/** The sum, called NAME.plus; its further operand is the last. */
	readonly plus: Primitive<A>;
}

/** Defines an operation and the sum of it and a tensor: what a gradient is that adds to one which has arrived already. */
export function defineSumming<A extends Attrs, const S extends string>(spec: SummingSpec<A, S>): Summing<A> {
	const { forward, ...rest } = spec as SummingSpec<A, string>;
	const { name, signature, grad, composite, reference, test } = rest;
	const [operands, results] = signature.split("->");
	const axes = results.slice(results.indexOf("["), results.indexOf("]") + 1);
	const { abs = 0, ulp = 0, why = "correctly rounded" } = test?.bound ?? {};
	const composed = composite && {
		composite: ({ plus, ...inputs }: Named, attrs: A): Tensor => add(plus, composite(inputs, attrs)),
	};
	return {
		alone: definePrimitive<A, string>({ ...rest, forward: (context) => forward(context) }),
		plus: definePrimitive<A, string>({
			...rest,
			...composed,
			name: `${name}.plus`,
			signature: `${operands.trim()}, plus${axes} ->${results}`,
			forward: (context) => forward(context, context.inputs.plus),
			grad: { ...grad, plus: composed ? "missing" : { saves: [], rule: ({ dy }) => dy } },
			reference: ({ plus, ...inputs }, attrs) => {
				const [{ data, shape }, ...others] = reference(inputs, attrs);
				return [{ data: data.map((v, i) => plus.data[i] + v), shape }, ...others];
			},
			test: { ...test, bound: { abs: abs + (ulp + 2) * 2 ** -19, ulp, why: `${why}, then plus a number: what is rounded is at most 16` } },
		}),
	};
}

/** Runs the operation, or its sum with what has arrived: its results. */
export function summed<A extends Attrs>({ alone, plus }: Summing<A>, operands: readonly Tensor[], arrived: Arrived, attrs?: A): Tensor[] {
	const before = arrived();
	return before === undefined ? alone.apply(operands, attrs) : plus.apply([...operands, before], attrs);
}
