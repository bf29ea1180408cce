import { runtimeOf } from "./device.ts";
import type { DType } from "./dtype.ts";
import { DTypeError, ValueError } from "./errors.ts";
import { expectsOne } from "./expects.ts";
import type { Kernel, KernelFamily } from "./gpu/defineKernel.ts";
import { type Some, withDefaults } from "./options.ts";
import type { Physical } from "./physical.ts";
import { type Arrived, type Given, type OperandGradient, record, tapeOf } from "./record.ts";
import type { OperandShape } from "./records.ts";
import type { NdArray } from "./reference.ts";
import { rowRuleOf } from "./rowRules.ts";
import type { Runtime } from "./runtime.ts";
import { isContiguous, showShape } from "./shape.ts";
import { shown } from "./shown.ts";
import { type AxisName, bindAxes, type NameIn, type OperandName, parseSignature, type Signature } from "./signature.ts";
import { insideOf, type Tensor } from "./tensor.ts";

/** Attributes of an operation by name: what a call fixes beside its operands. Strings and lists are the caller's to encode. */
export type Attrs = Readonly<Record<string, number | boolean>>;

/** Operands of a call by the names of the signature. */
export type Named<Name extends string = string> = Readonly<Record<Name, Tensor>>;

/** What `forward` gets to run one call of an operation with attributes of type A and signature S. */
export interface ForwardContext<A, S extends string = string> {
	/** Allocates: `runtime.empty([B, ...])`. What is not returned is released when `forward` ends. */
	readonly runtime: Runtime;
	/** The operands as kernels see them: axis 0 is the record axis, then come the axes of the signature. */
	readonly inputs: Readonly<Record<OperandName<S>, Physical>>;
	/** Extent of axis 0 of every operand: the number of records, or 1. */
	readonly B: number;
	/** Extents of the axes that the signature names, such as `axes.D`. */
	readonly axes: Readonly<Record<AxisName<S>, number>>;
	/** Attributes, defaults filled in; kernels take them as numbers. */
	readonly attrs: A;
}

/**
 * Gradient of one operand. For `y = a * b`, that of a is `{ saves: ["b"], rule: ({ dy, b }) => mul(dy, b) }`, with
 * `sumToOperand(mul(dy, b), operand)` where the signature lets a be broadcast.
 */
export interface GradRule<A, S extends string = string> {
	/**
	 * Names of the operands and results that the rule reads besides `dy`; they are kept alive until the gradient has passed. A
	 * function of the attributes where that depends on them.
	 */
	readonly saves: readonly NameIn<S>[] | OfAttrs<A, readonly NameIn<S>[]>;
	/**
	 * The gradient of the operand, of the shape `operand.shape`, from `given.dy`, the gradient of the first result, and what was
	 * saved, by name. Made of operations on the tensors of one record: where those are differentiable, so is the gradient.
	 * Where `operand.records` is undefined but dy has records, the sum over them follows by itself. So does the sum with what other uses
	 * of the operand give; a kernel that can add it on its way takes what there is so far from `arrived`, once, and returns the sum.
	 */
	rule(given: Given<NameIn<S>>, attrs: A, operand: OperandShape, arrived: Arrived): Tensor;
}

/** A function of the attributes, compared as methods are: primitives of all attributes fit in one list. */
type OfAttrs<A, R> = { of(attrs: A): R }["of"];

/** How the property tests draw the values of an operand: one of four forms. */
export type Domain =
	| {
			/** Uniform f32 from the first number to the second. Keep it away from poles and from kinks without a derivative. */
			readonly range: readonly [number, number];
	  }
	| {
			/** Indices: whole numbers from 0 to below the extent of the axis of this name, which is then never 0. */
			readonly belowAxis: string;
			/** A value that stands in for an index a quarter of the time, such as a label to leave out. */
			readonly orIgnore?: number;
	  }
	| {
			/** Whole numbers from the first to the second, both included. */
			readonly whole: readonly [number, number];
	  }
	| {
			/** Random 32-bit words, for keys and packed codes in u32. */
			readonly bits: true;
	  };

/** How far a result in f32 may be from the reference y: `abs` + (`ulp` + 2) 2^-23 |y| + 2^-126. */
export interface Bound {
	/** Units of 2^-23 |y| beyond the 2 that are always granted; 0 when left out. */
	readonly ulp?: number | undefined;
	/** Absolute part; 0 when left out. */
	readonly abs?: number | undefined;
	/**
	 * Where the figures come from: the accuracy of WGSL's functions (https://www.w3.org/TR/WGSL/#floating-point-accuracy) or the
	 * length of a sum. Stands in the text of a failed test.
	 */
	readonly why: string;
}

/**
 * Everything that defines an operation, in one place; examples/custom-op.ts is a complete one. Of its results the first `traced` have a
 * gradient; others (indices, sums that the rules save) are constants to whoever reads them.
 */
export interface PrimitiveSpec<A extends Attrs, S extends string = string> {
	/** Names it in errors, profiles and debug output. */
	readonly name: string;
	/**
	 * Operands and results of one record with their axes, such as `x[..., D], w[D] -> y[..., D]`: shape rule, documentation and
	 * test generator at once. One name is one extent; a number is that extent; `...` stands for any leading axes, the same for
	 * all operands that have it. `~x[...]`: its leading axes broadcast, and `forward` aligns them. `x![C]`: the same for all
	 * records, because the kernel has no stride from one to the next. A result with the name of an operand is that operand,
	 * overwritten in place.
	 */
	readonly signature: S;
	/** Element types that an operand may have, the first being what the tests draw; f32 alone for those left out. */
	readonly dtypes?: { readonly [Name in OperandName<S>]?: readonly DType[] } | undefined;
	/** The attributes with their defaults; `{}` for none. Numbers must be finite. */
	readonly attrs: A;
	/** How many of the results have a gradient; 1 when left out. The rules find that of a further result, such as `k`, as `dk`. */
	readonly traced?: number | undefined;
	/** Attributes and results may be infinite; the debug setting `nan` then looks for NaN alone. */
	readonly infinite?: boolean | undefined;
	/** Throws where shapes, types or attributes break a rule beyond the signature; sees the tensors of one record. */
	check?(inputs: Named<OperandName<S>>, attrs: A, axes: Readonly<Record<AxisName<S>, number>>): void;
	/**
	 * Allocates the results, records the kernels and returns the results in the order of the signature; of an operation in
	 * place, `[]`. Operands may have any strides, 0 included (`contiguous` and `packed` copy where a kernel needs order);
	 * entries of the record axis and of leading axes never mix. What one record gives must not depend on B: it is tested to be
	 * the same, bit for bit, alone and among any others.
	 */
	forward(context: ForwardContext<A, S>): readonly Physical[];
	/**
	 * For every operand a rule, "none" where the gradient is zero (whole numbers, keys), or "missing" where it exists but is not
	 * built: asking for it throws `grad/order`. An operation in place says "none" for all.
	 */
	readonly grad: Readonly<Record<OperandName<S>, GradRule<A, S> | "none" | "missing">>;
	/**
	 * The gradients of all operands that have a rule, by name, where one kernel gives several: what their rules give, from all that these
	 * save. Run in place of the rules where all gradients are wanted and none of them is differentiated in turn. undefined where the
	 * operands do not allow it; `arrived` as in a rule, by operand.
	 */
	together?(
		given: Given<NameIn<S>>,
		attrs: A,
		operands: Readonly<Record<OperandName<S>, OperandShape>>,
		arrived: Readonly<Record<OperandName<S>, Arrived>>,
	): { readonly [Name in OperandName<S>]?: Tensor } | undefined;
	/**
	 * The same function of differentiable operations, with one result, run in place of `forward` while a gradient is traced.
	 * With it `grad` may say "missing": no gradient of the fused form is ever asked for.
	 */
	composite?(inputs: Named<OperandName<S>>, attrs: A): Tensor;
	/** The results for one record, in float64 on the host: the oracle of the tests. In place: the operands as they are after. */
	reference(inputs: Readonly<Record<OperandName<S>, NdArray>>, attrs: A): readonly NdArray[];
	/** Kernels of its own that no module exports: those of a table's row. */
	readonly kernels?: readonly (Kernel | KernelFamily)[] | undefined;
	/** The primitives that its gradient rules derive on demand. */
	readonly derived?: (() => readonly Primitive[]) | undefined;
	/** For the tests: how values are drawn, further attribute sets, and the error bound with its reason. */
	readonly test?: {
		/** How the values of each operand are drawn; from -2 to 2 for those left out. */
		readonly domains?: { readonly [Name in OperandName<S>]?: Domain } | undefined;
		/** Attributes to try besides the defaults; those left out of a set keep theirs. */
		readonly variants?: readonly Partial<A>[] | undefined;
		/** How far results may be from the reference; correctly rounded when left out. */
		readonly bound?: Bound | undefined;
		/** Extents to choose from for an axis of the signature; 0 to 9 for those left out. */
		readonly sizes?: { readonly [Name in AxisName<S>]?: readonly number[] } | undefined;
		/** Axes that cannot have extent 0. */
		readonly nonEmpty?: readonly AxisName<S>[] | undefined;
	};
}

/** An operation, made by `definePrimitive`. Exported by a module, it is found and tested by the registry. */
export class Primitive<A extends Attrs = Attrs> {
	/** Its definition. */
	readonly spec: PrimitiveSpec<A>;
	/** The signature, parsed. */
	readonly signature: Signature;
	/** It overwrites operands instead of making results. */
	readonly inPlace: boolean;
	readonly #names: { readonly inputs: readonly string[]; readonly outputs: readonly string[] };

	static {
		Object.freeze(Primitive.prototype);
	}

	/** @throws ValueError for a signature that cannot be read, an operand without gradient rule, and rules of one in place. */
	constructor(spec: PrimitiveSpec<A>) {
		this.spec = Object.freeze(spec);
		Object.freeze(spec.grad);
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
		Object.freeze(this);
	}

	/**
	 * Checks, runs and, while a gradient is traced, records the operation. `inputs` in the order of the signature; attributes
	 * left out or undefined have their defaults. Results in the order of the signature, owned by the innermost scope; of an
	 * operation in place, the operands that it overwrote.
	 * @throws ValueError for another number of operands, one that is no tensor, differs between records though the signature has
	 * `!`, or comes from another device or from a program that has ended, for an attribute that is not finite, and in place for
	 * an operand that is traced, of one record, or has gaps; DTypeError for an element type that `dtypes` does not name;
	 * ShapeError for shapes that contradict the signature; DisposedError for an operand that was released; what `check` throws.
	 */
	apply(inputs: readonly Tensor[], attrs: Some<A> = {}): [Tensor, ...Tensor[]] {
		const all = withDefaults(this.spec.attrs, attrs);
		const { name, check, forward, together, composite, traced, infinite } = this.spec;
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
			forward(views) {
				return forward({ runtime, inputs: byName(names.inputs, views), B: views[0].shape[0], axes, attrs: all });
			},
			gradients: this.#gradients.bind(this, all),
			together:
				together &&
				((given, operands, arrived) => {
					const grads = together(given, all, byName(names.inputs, operands), byName(names.inputs, arrived));
					return grads && names.inputs.map((n) => grads[n]);
				}),
			names,
			traced,
			infinite,
			overwrites: this.inPlace ? names.outputs.map((n) => named[n]) : undefined,
		});
		return (this.inPlace ? names.outputs.map((n) => named[n]) : results) as [Tensor, ...Tensor[]];
	}

	#gradients(attrs: A): OperandGradient[] {
		return this.signature.inputs.map(({ name }): OperandGradient => {
			const g = this.spec.grad[name];
			if (typeof g === "string") return g;
			const saves = typeof g.saves === "function" ? g.saves(attrs) : g.saves;
			const rows = rowRuleOf(this, name);
			return {
				saves,
				rule: (given, operand, arrived) => g.rule(given, attrs, operand, arrived),
				rows: rows && ((given, operand, run) => rows(given, attrs, operand, run)),
			};
		});
	}

	#checkAttrs(attrs: A): void {
		const { name, infinite } = this.spec;
		for (const [key, value] of Object.entries(attrs)) {
			const isNumber = typeof value === "number" && (Number.isFinite(value) || (infinite && !Number.isNaN(value)));
			if (isNumber || typeof value === "boolean") continue;
			throw new ValueError("op/attribute", `${name}: ${key} is ${shown(value)}, expected a finite number`, { op: name });
		}
	}

	#checkOperands(inputs: readonly Tensor[]): void {
		const { name, dtypes = {} } = this.spec;
		if (inputs.length !== this.signature.inputs.length) {
			throw new ValueError("op/operands", `${name}: got ${inputs.length} operands; the signature is ${this.signature.text}`, { op: name });
		}
		this.signature.inputs.forEach((operand, i) => {
			const t = inputs[i];
			expectsOne(name, operand.name, t, "tensor");
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

/**
 * Defines an operation. The returned object runs it with `apply` and carries its definition for the tests:
 * `export const snake = (x: Tensor) => snakePrimitive.apply([x])[0]` is what users call.
 * @throws ValueError where the definition contradicts itself: see `Primitive`.
 */
export function definePrimitive<A extends Attrs, const S extends string = string>(spec: PrimitiveSpec<A, S>): Primitive<A> {
	return new Primitive(spec as PrimitiveSpec<A>);
}
