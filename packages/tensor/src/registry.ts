import { Kernel, KernelFamily } from "./gpu/defineKernel.ts";
import { LinearOp } from "./linearOp.ts";
import * as ops from "./ops/all.ts";
import { Primitive } from "./primitive.ts";

/** Everything that a package defines: what the tests, `npm run kernels` and the mutants read. */
export interface Registry {
	readonly primitives: readonly Primitive[];
	/** What the gradients of element-wise rows are made of: a primitive for every operand with a derivative. */
	readonly derived: readonly Primitive[];
	readonly linear: readonly LinearOp[];
	readonly kernels: readonly (Kernel | KernelFamily)[];
}

/** The definitions among the exports of a module, by themselves or on the functions that call them. */
export function collect(module: object): Registry {
	const values = new Set(Object.values(module).flatMap((v) => [v, (v as { primitive?: unknown } | undefined)?.primitive]));
	const all = <T>(type: abstract new (...args: never[]) => T): T[] => [...values].filter((v): v is T => v instanceof type);
	const primitives = all(Primitive);
	const kernels = [...all(Kernel), ...all(KernelFamily), ...primitives.flatMap((p) => p.spec.kernels ?? [])];
	const derived = primitives.flatMap((p) => p.spec.derived?.() ?? []);
	return { primitives, derived, linear: all(LinearOp), kernels };
}

/** What this package defines. */
export const registry: Registry = collect(ops);
