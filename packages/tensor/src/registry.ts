import { Kernel, KernelFamily } from "./gpu/defineKernel.ts";
import { LinearOp } from "./linearOp.ts";
import * as ops from "./ops/all.ts";
import { Primitive } from "./primitive.ts";

/** Everything that a package defines: what the tests, `npm run kernels` and the mutants read. */
export interface Registry {
	/** What `definePrimitive`, `unary`, `binary` and their like made. */
	readonly primitives: readonly Primitive[];
	/** Rows of several operands with numbers in place of some: the same names, with attributes for operands. */
	readonly numbered: readonly Primitive[];
	/** What the gradients of element-wise rows are made of: a primitive for every operand with a derivative. */
	readonly derived: readonly Primitive[];
	/** What `defineLinear` made. */
	readonly linear: readonly LinearOp[];
	/** What `defineKernel` made: single kernels, and families with the variants used so far in `made`. */
	readonly kernels: readonly (Kernel | KernelFamily)[];
}

/**
 * The definitions among the exports of a module, by themselves or as `primitive` on the functions that call them:
 * `collect(await import("./ops/all.ts"))`. What a module does not export is not found, but for the kernels that a spec names.
 */
export function collect(module: object): Registry {
	const values = new Set(Object.values(module).flatMap((v) => [v, (v as { primitive?: unknown } | undefined)?.primitive]));
	const all = <T>(type: abstract new (...args: never[]) => T): T[] => [...values].filter((v): v is T => v instanceof type);
	const primitives = all(Primitive);
	const kernels = [...all(Kernel), ...all(KernelFamily), ...primitives.flatMap((p) => p.spec.kernels ?? [])];
	const derived = primitives.flatMap((p) => p.spec.derived?.() ?? []);
	const forms = Object.values(module).map((v) => (v as { numbered?: unknown } | undefined)?.numbered);
	const numbered = forms.flatMap((f) => (typeof f === "function" ? (f() as readonly Primitive[]) : []));
	return { primitives, numbered, derived, linear: all(LinearOp), kernels };
}

/** What this package defines: every operation of @hushgrad/tensor. */
export const registry: Registry = collect(ops);
