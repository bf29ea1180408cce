import type { Device } from "./device.ts";
import type { DType } from "./dtype.ts";
import { DTypeError, PrivacyError, ShapeError, ValueError } from "./errors.ts";
import { sameShape, showShape } from "./shape.ts";
import { type Axes, bindAxes, parseSignature, type Signature } from "./signature.ts";
import type { TapeNode } from "./tape.ts";
import { Tensor } from "./tensor.ts";

export type Attrs = Readonly<Record<string, number | boolean>>;
export type Named = Readonly<Record<string, Tensor>>;

/** A float64 array of the reference implementations. */
export interface NdArray {
	readonly data: Float64Array;
	readonly shape: readonly number[];
}

export interface ForwardContext<A> {
	readonly device: Device;
	readonly inputs: Named;
	readonly axes: Axes;
	readonly attrs: A;
}

/** Gradient of one operand: which inputs and outputs it reads (kept alive until then), and the rule. */
export interface GradRule<A> {
	readonly saves: readonly string[] | ((attrs: A) => readonly string[]);
	readonly rule: (saved: Named & { readonly dy: Tensor }, attrs: A, operand: OperandShape) => Tensor;
}

/** The shape a gradient must have, and whether its axis 0 is the sample axis. */
export interface OperandShape {
	readonly shape: readonly number[];
	readonly perSample: boolean;
}

/** How the property tests draw the values of an operand. */
export type Domain =
	| { readonly range: readonly [number, number] }
	| { readonly belowAxis: string; readonly orIgnore?: number }
	| { readonly bits: true };

/**
 * Everything that defines an operation, in one place.
 * - `signature`: operands and results with their axes; shape rule, documentation and test generator at once.
 * - `forward`: allocates the results and records the kernels. Leading axes are batch axes; operands may have any
 *   strides, 0 included; entries of a leading axis never mix.
 * - `grad`: a rule for every operand, or "none" written out.
 * - `reference`: float64 on the host; the oracle of the tests.
 */
export interface PrimitiveSpec<A extends Attrs> {
	readonly name: string;
	readonly signature: string;
	readonly dtypes?: Readonly<Record<string, readonly DType[]>>;
	readonly attrs: A;
	readonly forward: (context: ForwardContext<A>) => readonly Tensor[];
	readonly grad: Readonly<Record<string, GradRule<A> | "none">>;
	readonly reference: (inputs: Readonly<Record<string, NdArray>>, attrs: A) => readonly NdArray[];
	/** For the tests: how values are drawn, further attribute sets, and the error bound with its reason. */
	readonly test?: {
		readonly domains?: Readonly<Record<string, Domain>>;
		readonly variants?: readonly Partial<A>[];
		readonly tolerance?: number;
		readonly sizes?: Readonly<Record<string, readonly number[]>>;
	};
}

export class Primitive<A extends Attrs = Attrs> {
	readonly spec: PrimitiveSpec<A>;
	readonly signature: Signature;

	constructor(spec: PrimitiveSpec<A>) {
		this.spec = spec;
		this.signature = parseSignature(spec.signature);
		for (const { name } of this.signature.inputs) {
			if (!(name in spec.grad)) throw new ValueError("primitive/grad", `${spec.name}: no gradient rule for ${name}`);
		}
	}

	/** Checks, runs and, while a gradient is traced, records the operation. Results in the order of the signature. */
	apply(inputs: readonly Tensor[], attrs: Partial<A> = {}): Tensor[] {
		const all = { ...this.spec.attrs, ...attrs };
		const { name } = this.spec;
		const device = inputs[0].device;
		this.#checkOperands(inputs);
		const axes = bindAxes(name, this.signature, inputs);
		const perSample = this.#sampleAxis(inputs);
		const named = Object.fromEntries(this.signature.inputs.map((o, i) => [o.name, inputs[i]]));
		const raw = device.scope(() => {
			const detached = Object.fromEntries(Object.entries(named).map(([k, t]) => [k, t.alias()]));
			return [...this.spec.forward({ device, inputs: detached, axes, attrs: all })];
		});
		const node = this.#record(named, raw, all, perSample);
		return raw.map((out, i) => {
			if (!perSample && (i > 0 || node === undefined)) return out;
			const marked = out.alias({ perSample }, i === 0 ? node : undefined);
			out.dispose();
			return marked;
		});
	}

	#checkOperands(inputs: readonly Tensor[]): void {
		const { name, dtypes = {} } = this.spec;
		this.signature.inputs.forEach((operand, i) => {
			const t = inputs[i];
			if (!(t instanceof Tensor)) {
				throw new ValueError("op/operand", `${name}: operand ${operand.name} is not a tensor`, { op: name });
			}
			if (t.device !== inputs[0].device) {
				throw new ValueError("op/device", `${name}: operands live on different devices`, { op: name });
			}
			const allowed = dtypes[operand.name] ?? ["f32"];
			if (!allowed.includes(t.dtype)) {
				throw new DTypeError("op/dtype", `${name}: ${operand.name} is ${t.dtype}, expected ${allowed.join(" or ")}`, {
					op: name,
					hint: "convert it with cast()",
				});
			}
		});
	}

	/** Applies the sample-axis contract; true when the results carry the sample axis. */
	#sampleAxis(inputs: readonly Tensor[]): boolean {
		const { name } = this.spec;
		if (!inputs.some((t) => t.perSample)) return false;
		this.signature.inputs.forEach((operand, i) => {
			const t = inputs[i];
			const leads = t.rank - operand.axes.length;
			if (t.perSample && leads === 0) {
				throw new PrivacyError(
					"privacy/mixes-samples",
					`${name}: axis 0 of ${operand.name}${showShape(t.shape)} is the sample axis, but ${name} works along it`,
					{ op: name, hint: "give every sample its own entry along axis 0 and reduce over other axes only" },
				);
			}
			if (!t.perSample && operand.leading && !operand.shared && leads > 0) {
				throw new PrivacyError(
					"privacy/unmarked",
					`${name}: ${operand.name}${showShape(t.shape)} is not marked per sample, but another operand is`,
					{ op: name, hint: "axis 0 was moved or merged, or batch data was not marked with markSamples(x)" },
				);
			}
		});
		return true;
	}

	#record(inputs: Named, outputs: readonly Tensor[], attrs: A, perSample: boolean): TapeNode | undefined {
		const operands = this.signature.inputs;
		const tape = operands.map((o) => inputs[o.name].node?.tape).find((t) => t !== undefined);
		if (tape === undefined) return undefined;
		const rules = operands.map((o) => {
			const rule = this.spec.grad[o.name];
			return inputs[o.name].node !== undefined && rule !== "none" ? rule : undefined;
		});
		if (rules.every((r) => r === undefined)) return undefined;
		const mixing = operands.find((o, i) => perSample && rules[i] !== undefined && !inputs[o.name].perSample);
		if (mixing !== undefined) {
			throw new PrivacyError(
				"privacy/shared-leaf",
				`${this.spec.name}: the gradient of ${mixing.name}${showShape(inputs[mixing.name].shape)} would mix samples`,
				{ op: this.spec.name, hint: "differentiate marked data with perSampleValueAndGrad, which gives each sample its own copy" },
			);
		}
		const wants = rules.map((r) => (r === undefined ? [] : typeof r.saves === "function" ? r.saves(attrs) : r.saves));
		const saved: Record<string, Tensor> = {};
		for (const key of new Set(wants.flat())) {
			const index = this.signature.outputs.findIndex((o) => o.name === key);
			const source = index >= 0 ? outputs[index] : inputs[key];
			saved[key] = source.device.keep(source.alias({ perSample: index >= 0 ? perSample : source.perSample }));
		}
		const shapes = operands.map((o) => ({ shape: inputs[o.name].shape, perSample: inputs[o.name].perSample }));
		return tape.record({
			shape: outputs[0].shape,
			perSample,
			inputs: operands.map((o, i) => (rules[i] === undefined ? undefined : inputs[o.name].node)),
			saved: Object.values(saved),
			backward: (dy) =>
				rules.map((r, i) => {
					if (r === undefined) return undefined;
					const own = Object.fromEntries(wants[i].map((key) => [key, saved[key]]));
					const g = r.rule({ ...own, dy }, attrs, shapes[i]);
					if (!sameShape(g.shape, shapes[i].shape)) {
						throw new ShapeError(
							"grad/shape",
							`${this.spec.name}: gradient of ${operands[i].name} is ${showShape(g.shape)}, expected ${showShape(shapes[i].shape)}`,
						);
					}
					return g;
				}),
		});
	}
}

/** Defines an operation. The returned object runs it with `apply` and carries its definition for the tests. */
export function definePrimitive<A extends Attrs>(spec: PrimitiveSpec<A>): Primitive<A> {
	return new Primitive(spec);
}
