import type { Device } from "./device.ts";
import type { DType } from "./dtype.ts";
import { DTypeError, PrivacyError, ShapeError, ValueError } from "./errors.ts";
import { checkFinite } from "./finite.ts";
import { noFurtherGradient } from "./ops/traced.ts";
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

type Rule<A> = (saved: Named & { readonly dy: Tensor }, attrs: A, operand: OperandShape) => Tensor;

/** Gradient of one operand: which inputs and outputs it reads (kept alive until then), and the rule. */
export interface GradRule<A> {
	readonly saves: readonly string[] | ((attrs: A) => readonly string[]);
	readonly rule: Rule<A>;
	/**
	 * For gradients of the gradient. Left out: `rule` is made of differentiable operations on inputs, dy and the first
	 * result. A function: a form that is, used instead of `rule` then. "none": there is none, and asking for it throws.
	 */
	readonly again?: Rule<A> | "none";
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
	| { readonly whole: readonly [number, number] }
	| { readonly bits: true };

/**
 * How far a result in f32 may be from the reference: `abs` + (`ulp` + 2) 2^-23 |y|. `why` is where the figures come
 * from: the accuracy of WGSL's functions (https://www.w3.org/TR/WGSL/#floating-point-accuracy) or the length of a sum.
 */
export interface Bound {
	readonly ulp?: number;
	readonly abs?: number;
	readonly why: string;
}

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
	/** Attributes may be infinite. */
	readonly infinite?: boolean;
	readonly forward: (context: ForwardContext<A>) => readonly Tensor[];
	readonly grad: Readonly<Record<string, GradRule<A> | "none">>;
	readonly reference: (inputs: Readonly<Record<string, NdArray>>, attrs: A) => readonly NdArray[];
	/** For the tests: how values are drawn, further attribute sets, and the error bound with its reason. */
	readonly test?: {
		readonly domains?: Readonly<Record<string, Domain>>;
		readonly variants?: readonly Partial<A>[];
		readonly bound?: Bound;
		readonly sizes?: Readonly<Record<string, readonly number[]>>;
		/** Axes that cannot have extent 0. */
		readonly nonEmpty?: readonly string[];
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
		this.#checkOperands(inputs);
		this.#checkAttrs(all);
		const { device } = inputs[0];
		const axes = bindAxes(name, this.signature, inputs);
		const perSample = this.#sampleAxis(inputs);
		const named = Object.fromEntries(this.signature.inputs.map((o, i) => [o.name, inputs[i]]));
		const raw = device.scope(() => {
			const detached = Object.fromEntries(Object.entries(named).map(([k, t]) => [k, t.alias()]));
			return [...this.spec.forward({ device, inputs: detached, axes, attrs: all })];
		});
		const node = this.#record(named, raw, all, perSample);
		this.#report(device, inputs, raw);
		return raw.map((out, i) => {
			if (!perSample && (i > 0 || node === undefined)) return out;
			const marked = out.alias({ perSample }, i === 0 ? node : undefined);
			out.dispose();
			return marked;
		});
	}

	#report(device: Device, inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
		const { debug, path } = device;
		if (!debug.nan && debug.level < 3) return;
		const { name, infinite } = this.spec;
		const where = path === "" ? "" : ` in ${path}`;
		if (debug.nan) for (const out of outputs) checkFinite(out, `the result of ${name}${where}`, { allowInfinity: infinite });
		if (debug.level < 3) return;
		const show = (list: readonly Tensor[]): string => list.map((t) => `${t.dtype}${showShape(t.shape)}`).join(", ");
		debug.log(`${name}${where}: ${show(inputs)} -> ${show(outputs)}; live ${device.memory().liveBytes} bytes`);
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
			if (t.device !== inputs[0].device) {
				throw new ValueError(
					"op/device",
					`${name}: operands live on different devices, ${operand.name}${showShape(t.shape)} on another than the first`,
					{
						op: name,
						hint: "read the tensor with data() and make it again on the device it is used on",
					},
				);
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
		const tape = operands.map((o) => inputs[o.name].node?.tape).find((t) => t?.recording);
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
		const kept: Tensor[] = [];
		const shapes = operands.map((o) => ({ shape: inputs[o.name].shape, perSample: inputs[o.name].perSample }));
		const node: TapeNode = tape.record({
			op: this.spec.name,
			path: outputs[0].device.path,
			shape: outputs[0].shape,
			perSample,
			inputs: operands.map((o, i) => (rules[i] === undefined ? undefined : inputs[o.name].node)),
			saved: kept,
			backward: (dy) =>
				rules.map((r, i) => {
					if (r === undefined) return undefined;
					const own = Object.fromEntries(wants[i].map((key) => [key, saved[key]]));
					return this.#gradient(r, { ...own, dy }, attrs, shapes[i], operands[i].name);
				}),
		});
		for (const key of new Set(wants.flat())) {
			const index = this.signature.outputs.findIndex((o) => o.name === key);
			const source = index >= 0 ? outputs[index] : inputs[key];
			saved[key] = source.device.keep(
				source.alias({ perSample: index >= 0 ? perSample : source.perSample }, index === 0 ? node : source.node),
			);
			kept.push(saved[key]);
		}
		return node;
	}

	#gradient(r: GradRule<A>, given: Named & { readonly dy: Tensor }, attrs: A, operand: OperandShape, name: string): Tensor {
		const isTraced = Object.values(given).some((t) => t.node?.tape.recording);
		const rule = isTraced && typeof r.again === "function" ? r.again : r.rule;
		const g = rule(given, attrs, operand);
		if (g.device.debug.nan)
			checkFinite(g, `the gradient of ${this.spec.name} by ${name}${g.device.path === "" ? "" : ` in ${g.device.path}`}`);
		if (!sameShape(g.shape, operand.shape)) {
			throw new ShapeError(
				"grad/shape",
				`${this.spec.name}: gradient of ${name} is ${showShape(g.shape)}, expected ${showShape(operand.shape)}`,
			);
		}
		return r.again === "none" ? noFurtherGradient(this.spec.name, Object.values(given), g) : g;
	}
}

/** Defines an operation. The returned object runs it with `apply` and carries its definition for the tests. */
export function definePrimitive<A extends Attrs>(spec: PrimitiveSpec<A>): Primitive<A> {
	return new Primitive(spec);
}
