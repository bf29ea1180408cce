import { runtimeOf } from "./device.ts";
import type { DType } from "./dtype.ts";
import { DTypeError, ValueError } from "./errors.ts";
import type { Kernel, KernelFamily } from "./gpu/defineKernel.ts";
import { type Some, withDefaults } from "./options.ts";
import type { Physical } from "./physical.ts";
import { type Given, type OperandGradient, record, tapeOf } from "./record.ts";
import type { OperandShape } from "./records.ts";
import type { NdArray } from "./reference.ts";
import type { Runtime } from "./runtime.ts";
import { isContiguous, showShape } from "./shape.ts";
import { type Axes, bindAxes, parseSignature, type Signature } from "./signature.ts";
import { insideOf, Tensor } from "./tensor.ts";

export type Attrs = Readonly<Record<string, number | boolean>>;
export type Named = Readonly<Record<string, Tensor>>;

export interface ForwardContext<A> {
	/** Allocates: `runtime.empty([B, ...])`. */
	readonly runtime: Runtime;
	/** The operands as kernels see them: axis 0 is the record axis, then come the axes of the signature. */
	readonly inputs: Readonly<Record<string, Physical>>;
	/** Extent of axis 0 of every operand: the number of records, or 1. */
	readonly B: number;
	readonly axes: Axes;
	readonly attrs: A;
}

/**
 * Gradient of one operand: which inputs and results it reads (kept alive until then), and the rule, made of operations
 * on the tensors of one record. The result has the operand's shape; where `operand.records` is undefined but dy has
 * records, the rule may already sum over them (`reveal`), else the sum follows.
 */
export interface GradRule<A> {
	readonly saves: readonly string[] | OfAttrs<A, readonly string[]>;
	rule(given: Given, attrs: A, operand: OperandShape): Tensor;
}

/** A function of the attributes, compared as methods are: primitives of all attributes fit in one list. */
type OfAttrs<A, R> = { of(attrs: A): R }["of"];

/** How the property tests draw the values of an operand. */
export type Domain =
	| { readonly range: readonly [number, number] }
	| { readonly belowAxis: string; readonly orIgnore?: number }
	| { readonly whole: readonly [number, number] }
	| { readonly bits: true };

/**
 * How far a result in f32 may be from the reference: `abs` + (`ulp` + 2) 2^-23 |y|. `why` is where the figures come
 * from: the accuracy of WGSL's functions (https://www.w3.org/TR/WGSL/#floating-point-accuracy) or the length of a sum.
 */
export interface Bound {
	readonly ulp?: number | undefined;
	readonly abs?: number | undefined;
	readonly why: string;
}

/**
 * Everything that defines an operation, in one place.
 * - `signature`: operands and results with their axes; shape rule, documentation and test generator at once. A result
 *   with the name of an operand is that operand, overwritten in place.
 * - `check`: what shapes and types must fulfil beyond the signature; sees the tensors of one record.
 * - `forward`: allocates the results and records the kernels, with the record axis in front. Operands may have any
 *   strides, 0 included; entries of the record axis and of leading axes never mix.
 * - `grad`: for every operand a rule, "none" where the gradient is zero (whole numbers, keys), or "missing" where it
 *   exists but is not built: asking for it throws.
 * - `composite`: the same function of differentiable operations, run in place of `forward` while a gradient is traced.
 *   With it `grad` may say "missing": no gradient of the fused form is ever asked for.
 * - `reference`: float64 on the host; the oracle of the tests.
 */
export interface PrimitiveSpec<A extends Attrs> {
	readonly name: string;
	readonly signature: string;
	readonly dtypes?: Readonly<Record<string, readonly DType[]>> | undefined;
	readonly attrs: A;
	/** Attributes may be infinite. */
	readonly infinite?: boolean | undefined;
	check?(inputs: Named, attrs: A, axes: Axes): void;
	forward(context: ForwardContext<A>): readonly Physical[];
	readonly grad: Readonly<Record<string, GradRule<A> | "none" | "missing">>;
	composite?(inputs: Named, attrs: A): Tensor;
	reference(inputs: Readonly<Record<string, NdArray>>, attrs: A): readonly NdArray[];
	/** Kernels of its own that no module exports: those of a table's row. */
	readonly kernels?: readonly (Kernel | KernelFamily)[] | undefined;
	/** The primitives that its gradient rules derive on demand. */
	readonly derived?: (() => readonly Primitive[]) | undefined;
	/** For the tests: how values are drawn, further attribute sets, and the error bound with its reason. */
	readonly test?: {
		readonly domains?: Readonly<Record<string, Domain>> | undefined;
		readonly variants?: readonly Partial<A>[] | undefined;
		readonly bound?: Bound | undefined;
		readonly sizes?: Readonly<Record<string, readonly number[]>> | undefined;
		/** Axes that cannot have extent 0. */
		readonly nonEmpty?: readonly string[] | undefined;
	};
}

export class Primitive<A extends Attrs = Attrs> {
	readonly spec: PrimitiveSpec<A>;
	readonly signature: Signature;
	/** It overwrites operands instead of making results. */
	readonly inPlace: boolean;
	readonly #names: { readonly inputs: readonly string[]; readonly outputs: readonly string[] };

	constructor(spec: PrimitiveSpec<A>) {
		this.spec = spec;
		this.signature = parseSignature(spec.signature);
		const [inputs, outputs] = [this.signature.inputs, this.signature.outputs].map((list) => list.map((o) => o.name));
		this.#names = { inputs, outputs };
		for (const name of inputs) {
			if (!(name in spec.grad)) throw new ValueError("primitive/grad", `${spec.name}: no gradient rule for ${name}`);
		}
		this.inPlace = outputs.every((name) => inputs.includes(name));
		if (this.inPlace && Object.values(spec.grad).some((g) => g !== "none")) {
			throw new ValueError("primitive/in-place", `${spec.name}: an operation in place has no gradients`);
		}
	}

	/**
	 * Checks, runs and, while a gradient is traced, records the operation. Results in the order of the signature; of an
	 * operation in place, the operands that it overwrote.
	 */
	apply(inputs: readonly Tensor[], attrs: Some<A> = {}): Tensor[] {
		const all = withDefaults(this.spec.attrs, attrs);
		const { name, check, forward, composite, infinite } = this.spec;
		this.#checkOperands(inputs);
		this.#checkAttrs(all);
		const axes = bindAxes(name, this.signature, inputs);
		const names = this.#names;
		const named = byName(names.inputs, inputs);
		check?.(named, all, axes);
		const runtime = runtimeOf(inputs[0].device);
		if (composite !== undefined && inputs.some((t) => tapeOf(t) !== undefined)) return [runtime.scope(() => composite(named, all))];
		if (this.inPlace) this.#checkWritable(named);
		const results = record({
			name,
			inputs,
			forward: (views) => forward({ runtime, inputs: byName(names.inputs, views), B: views[0].shape[0], axes, attrs: all }),
			gradients: () => this.#gradients(all),
			names,
			infinite,
			overwrites: this.inPlace ? names.outputs.map((n) => named[n]) : undefined,
		});
		return this.inPlace ? names.outputs.map((n) => named[n]) : results;
	}

	#gradients(attrs: A): OperandGradient[] {
		return this.signature.inputs.map(({ name }): OperandGradient => {
			const g = this.spec.grad[name];
			if (typeof g === "string") return g;
			const saves = typeof g.saves === "function" ? g.saves(attrs) : g.saves;
			return { saves, rule: (given, operand) => g.rule(given, attrs, operand) };
		});
	}

	#checkAttrs(attrs: A): void {
		const { name, infinite } = this.spec;
		for (const [key, value] of Object.entries(attrs)) {
			if (Number.isFinite(Number(value)) || (infinite && !Number.isNaN(value))) continue;
			throw new ValueError("op/attribute", `${name}: ${key} is ${value}, expected a finite number`, { op: name });
		}
	}

	#checkOperands(inputs: readonly Tensor[]): void {
		const { name, dtypes = {} } = this.spec;
		if (inputs.length !== this.signature.inputs.length) {
			throw new ValueError("op/operands", `${name}: got ${inputs.length} operands; the signature is ${this.signature.text}`, { op: name });
		}
		this.signature.inputs.forEach((operand, i) => {
			const t = inputs[i];
			if (!(t instanceof Tensor)) {
				throw new ValueError("op/operand", `${name}: operand ${operand.name} is not a tensor`, { op: name });
			}
			const allowed = dtypes[operand.name] ?? ["f32"];
			if (!allowed.includes(t.dtype)) {
				throw new DTypeError("op/dtype", `${name}: ${operand.name} is ${t.dtype} ${showShape(t.shape)}, expected ${allowed.join(" or ")}`, {
					op: name,
					hint: "convert it with cast()",
				});
			}
		});
	}

	/** What is overwritten must lie in one piece and be nobody's input to a gradient, and no operand one of single records. */
	#checkWritable(inputs: Named): void {
		const { name } = this.spec;
		for (const [operand, t] of Object.entries(inputs)) {
			const isOutput = this.signature.outputs.some((o) => o.name === operand);
			const { records, node, strides } = insideOf(t);
			const isFit = records === undefined && !(isOutput && (node !== undefined || !isContiguous(t.shape, strides)));
			if (isFit) continue;
			throw new ValueError(
				"op/in-place",
				`${name}: it overwrites its operands, and ${operand}${showShape(t.shape)} is traced, of one record, or a view with gaps`,
				{ op: name },
			);
		}
	}
}

function byName<T>(names: readonly string[], values: readonly T[]): Record<string, T> {
	const named: Record<string, T> = {};
	for (let i = 0; i < names.length; i++) named[names[i]] = values[i];
	return named;
}

/** Defines an operation. The returned object runs it with `apply` and carries its definition for the tests. */
export function definePrimitive<A extends Attrs>(spec: PrimitiveSpec<A>): Primitive<A> {
	return new Primitive(spec);
}
