import { type DType, FLOATS } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import type { Physical } from "../physical.ts";
import { type Attrs, type Bound, type Domain, definePrimitive, type GradRule, type Primitive, type PrimitiveSpec } from "../primitive.ts";
import type { NdArray } from "../reference.ts";
import { broadcastShapes, type Shape, sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { RANGES } from "../upload.ts";
import { floatRun, isCondition, isList, kernelsOf } from "./elementwise.kernel.ts";
import { sum } from "./expand.ts";
import { jointly } from "./jointly.ts";
import { planWalk, walkNumbers } from "./strided.ts";
import { derivative, evaluator, scaled } from "./symbolic.ts";
import { reshape } from "./view.ts";

/** One element-wise operation: what `unary`, `binary`, `withScalar` and `elementwise` make a primitive of. */
export interface Row<O extends string = string, A extends string = string> {
	/**
	 * WGSL expression of the operands, under their names, and of the attributes, as p.NAME. For whole numbers its literals become
	 * integers, unless `integer` is given.
	 */
	readonly f: string;
	/**
	 * Per operand, WGSL of the derivative of the result y with respect to it; it may read y. Left out, it is derived from `f`;
	 * "none" for functions without one, of gradient 0.
	 */
	readonly d?: { readonly [Operand in O]?: string } | "none" | undefined;
	/** The same function in float64, of operands and attributes by name; a bool is 0 or 1. */
	readonly ref: (v: Readonly<Record<O | A, number>>) => number;
	/** How the tests draw the operands, one for all or one for each; between −3 and 3 when left out. */
	readonly domain?: Domain | Readonly<Record<string, Domain>> | undefined;
	/**
	 * Names and defaults of the numbers that a call may set. They reach the kernel in the type that it computes the operands
	 * with, which must hold them, and must be finite.
	 */
	readonly attrs?: Readonly<Record<A, number | boolean>> | undefined;
	/**
	 * How far f32 may be from `ref`, from the accuracy that WGSL promises; when left out, the 2 · 2⁻²³ |y| that every `Bound`
	 * allows.
	 */
	readonly bound?: Bound | undefined;
	/**
	 * Element types the operands may have, one list for all or one for each; f32 and f16 when left out. An operand that is bool
	 * only selects, and says nothing about the type of the result.
	 */
	readonly dtypes?: readonly DType[] | Readonly<Record<string, readonly DType[]>> | undefined;
	/** WGSL for whole numbers, where it is not `f` with other literals. */
	readonly integer?: string | undefined;
	/** WGSL functions that `integer` calls, with T for the type of the operands. */
	readonly helpers?: string | undefined;
	/** Type of the result; when left out that of the operands, f32 for f16 with f32. */
	readonly result?: "bool" | undefined;
	/** Numbers may be infinite, and so may results when `HUSHGRAD_DEBUG` looks for what is not finite. */
	readonly infinite?: boolean | undefined;
	/** The two operands may change places, bit for bit: a number on the left runs as one on the right. */
	readonly commutes?: boolean | undefined;
}

type Typed = Readonly<Record<string, { readonly dtype: DType; readonly shape: Shape }>>;

/** The element type of a result: that of the operands of these names, the wider of two floats. */
function resultType(name: string, values: readonly string[], inputs: Typed, attrs: Attrs): DType {
	if (values.length === 0) return Object.values(attrs).some((v) => typeof v === "boolean") ? "bool" : "f32";
	const { dtype } = inputs[values[0]];
	if (values.every((o) => inputs[o].dtype === dtype)) return dtype;
	const operands = values.map((o) => inputs[o]);
	if (operands.every((t) => FLOATS.includes(t.dtype))) return "f32";
	throw new DTypeError("op/dtype", `${name}: the operands are ${operands.map((t) => `${t.dtype} ${showShape(t.shape)}`).join(" and ")}`, {
		op: name,
		hint: "convert one of them with cast()",
	});
}

/** Views of one shape: visible axes align at the last, the record axes with each other. */
function aligned(op: string, operands: readonly Physical[]): readonly Physical[] {
	if (operands.every((t) => sameShape(t.shape, operands[0].shape))) return operands;
	const rank = Math.max(...operands.map((t) => t.rank));
	const lifted = operands.map((t) => t.lift(rank));
	const shape = broadcastShapes(op, ...lifted.map((t) => t.shape));
	return lifted.map((t) => t.broadcast(shape));
}

/** A gradient summed over the axes along which its operand was repeated by broadcasting: to the operand's shape. */
export function sumToOperand(g: Tensor, { shape }: { readonly shape: Shape }): Tensor {
	const lead = g.rank - shape.length;
	const axes = [...g.shape.keys()].filter((i) => (i < lead || shape[i - lead] === 1) && g.shape[i] !== 1);
	const reduced = axes.length === 0 ? g : sum(g, axes);
	return sameShape(reduced.shape, shape) ? reduced : reshape(reduced, shape);
}

/** Derivatives per operand as WGSL, derived where the row gives none. */
function derivatives(operands: readonly string[], { f, d }: Row): Readonly<Record<string, string>> {
	if (d === "none") return Object.fromEntries(operands.map((o) => [o, "0.0"]));
	return Object.fromEntries(operands.map((o) => [o, d?.[o] ?? derivative(f, o)]));
}

/** A rule, and the primitive that it is made of: of dy, under the name `g`, and what it saves. */
interface DerivedRule extends GradRule<Attrs> {
	readonly saves: readonly string[];
	readonly product: (() => Primitive<Attrs>) | undefined;
	readonly g: string;
	/** WGSL of the gradient, and what the tests know about it. */
	readonly f: string;
	readonly domain: Readonly<Record<string, Domain>>;
	readonly bound: Bound;
}

/** The rule dx = dy * code, an element-wise primitive of its own that is derived when first needed. */
function rule(name: string, operand: string, code: string, operands: readonly string[], row: Row, label: string): DerivedRule | "none" {
	if (code === "0.0") return "none";
	const saves = [...new Set([...operands, "y"])].filter((v) => new RegExp(`(?<![.\\w])${v}\\b`).test(code));
	const g = ["g", "h", "k", "l"].find((v) => !operands.includes(v)) as string;
	let derived: Primitive<Attrs> | undefined;
	const f = scaled(code, g);
	const domain = Object.fromEntries([g, ...saves].map((o) => [o, o === g ? BETWEEN : o === "y" ? RESULT : domainOf(row, o)]));
	const { abs = 0, ulp = 0 } = row.bound ?? {};
	const bound = { abs: 1e-5 + 8 * abs, ulp: 128 + 2 * ulp, why: "a few products of what is as near as the row allows" };
	const product = () => {
		const dtypes = Object.fromEntries([g, ...saves].map((o) => [o, o !== g && o !== "y" ? typesOf(row, o) : FLOATS]));
		const more = { dtypes, domain, bound, attrs: row.attrs, infinite: true };
		derived ??= elementwise(`${name}.d${operand}`, [g, ...saves], { f, ref: evaluator(f), ...more }, `${label}.d${operand}`);
		return derived;
	};
	return {
		...{ saves, g, f, domain, bound },
		product: code === "1.0" ? undefined : product,
		rule: ({ dy, ...saved }, attrs, shape) =>
			sumToOperand(code === "1.0" ? dy : product().apply([dy, ...saves.map((s) => saved[s])], attrs)[0], shape),
	};
}

/**
 * The gradients of all operands by one kernel, where two or more have one that is not dy itself; undefined for other rows. It is
 * derived when first needed, too.
 */
function jointOf(name: string, rules: Readonly<Record<string, DerivedRule | "none">>, row: Row, label: string) {
	const own = Object.entries(rules).flatMap(([o, r]): [string, DerivedRule][] => (r === "none" || r.product === undefined ? [] : [[o, r]]));
	const saves = [...new Set(own.flatMap(([, r]) => r.saves))];
	if (own.length < 2 || own.length < Object.keys(rules).length) return undefined;
	const [[, { g, bound }]] = own;
	let derived: Primitive<Attrs> | undefined;
	const primitive = () => {
		const terms = Object.fromEntries(own.map(([o, r]) => [o, r.f]));
		const domains = Object.assign({}, ...own.map(([, r]) => r.domain));
		derived ??= jointly(`${name}.d`, { operands: [g, ...saves], terms, attrs: row.attrs ?? {}, domains, bound }, label);
		return derived;
	};
	const together: PrimitiveSpec<Attrs, string>["together"] = ({ dy, ...saved }, attrs, operands) => {
		const given = [dy, ...saves.map((s) => saved[s])];
		const shapes = Object.values(operands);
		const isUniform = shapes.every((o) => sameShape(o.shape, dy.shape) && o.records === shapes[0].records);
		if (!isUniform || given.some((t) => t.dtype !== "f32")) return undefined;
		const grads = primitive().apply(given, attrs);
		return Object.fromEntries(own.map(([o], i) => [o, grads[i]]));
	};
	return { primitive, together };
}

const BETWEEN: Domain = { range: [-2, 2] };
/** Results that a derivative reads are drawn apart from the operands, and not at 0, by which some divide. */
const RESULT: Domain = { range: [0.1, 2] };
const domainOf = ({ domain = { range: [-3, 3] } }: Row, operand: string): Domain => (isDomain(domain) ? domain : domain[operand]);
const typesOf = ({ dtypes = FLOATS }: Row, operand: string): readonly DType[] => (isList(dtypes) ? dtypes : dtypes[operand]);

/**
 * The primitive of a row: operands, under the names given, broadcast as numpy. `unary` and `binary` make functions of it.
 * `label` names its kernels, where that is not `name`.
 * @throws ValueError when `d` is left out and `f` cannot be read or calls a function without a known derivative.
 */
export function elementwise(name: string, operands: readonly string[], row: Row, label = name): Primitive<Attrs> {
	const { attrs = {}, ref, result } = row;
	const values = operands.filter((o) => !isCondition(row, o));
	const kernels = kernelsOf(label, operands, row);
	const formula = { name: label, operands, f: row.f, attrs: Object.keys(attrs) };
	let d: Readonly<Record<string, string>> | undefined;
	const ruleOf = (o: string): DerivedRule | "none" => {
		if (!typesOf(row, o).includes("f32")) return "none";
		d ??= derivatives(values, row);
		return rule(name, o, d[o], operands, row, label);
	};
	const rules = Object.fromEntries(operands.map((o) => [o, ruleOf(o)]));
	const joint = jointOf(name, rules, row, label);
	return definePrimitive<Attrs>({
		name,
		signature: `${operands.map((o) => `~${o}[...]`).join(", ")} -> ${operands.includes("y") ? "result" : "y"}[...]`,
		dtypes: Object.fromEntries(operands.map((o) => [o, typesOf(row, o)])),
		attrs,
		infinite: row.infinite,
		kernels: [kernels.strided, kernels.inFours],
		check: (inputs, given) => {
			const type = resultType(name, values, inputs, given);
			for (const a in given) checkNumber(name, a, given[a], type);
			broadcastShapes(name, ...operands.map((o) => inputs[o].shape));
		},
		forward: ({ runtime, inputs, attrs: given }) => {
			const views = aligned(
				name,
				operands.map((o) => inputs[o]),
			);
			const type = result ?? resultType(name, values, inputs, given);
			const out = runtime.empty(views[0].shape, type);
			const walk = planWalk(out.shape, views);
			const numbers = formula.attrs.map((a) => Number(given[a]));
			const all = [...views, out];
			if (type === "f32" && views.every((v) => v.dtype === "f32")) {
				const bases = views.map((v) => v.offset);
				const { kernel, params, invocations } = floatRun(runtime.device.plan, kernels, walk, bases, numbers);
				runtime.run(kernel, all, params, invocations, { elementwise: { formula, numbers, extents: walk.extents, strides: walk.strides } });
			} else {
				const variant = { types: views.map((v) => v.dtype).join("-"), result: type, rank: walk.extents.length };
				const params = [out.size, ...numbers, ...walkNumbers(walk.extents, walk.strides)];
				runtime.run(kernels.strided.of(variant), all, params, out.size);
			}
			return [out];
		},
		grad: rules,
		...(joint && { together: joint.together }),
		derived: () => [
			...Object.values(rules).flatMap((r) => (r === "none" ? [] : (r.product?.() ?? []))),
			...(joint ? [joint.primitive()] : []),
		],
		reference: (inputs, given) => {
			const shape = broadcastShapes(name, ...operands.map((o) => inputs[o].shape));
			const data = new Float64Array(sizeOf(shape));
			const scalars: Record<string, number> = {};
			for (const [k, v] of Object.entries(given)) scalars[k] = Number(v);
			for (let i = 0; i < data.length; i++) {
				for (const o of operands) scalars[o] = at(inputs[o], shape, i);
				data[i] = Number(ref(scalars));
			}
			return [{ data, shape }];
		},
		test: {
			domains: Object.fromEntries(operands.map((o) => [o, domainOf(row, o)])),
			bound: row.bound,
		},
	});
}

const isDomain = (d: Domain | Readonly<Record<string, Domain>>): d is Domain => ["range", "belowAxis", "bits", "whole"].some((k) => k in d);

/** Refuses a number that the type of the operands does not hold. */
function checkNumber(op: string, name: string, value: number | boolean, dtype: DType): void {
	const [low, high] = RANGES[dtype] ?? [];
	const isBoolean = typeof value === "boolean";
	const isHeld =
		dtype === "bool" ? isBoolean : !isBoolean && (low === undefined || (Number.isInteger(value) && value >= low && value <= Number(high)));
	if (isHeld) return;
	const wanted = dtype === "bool" ? "true or false" : low === undefined ? "a number" : `a whole number from ${low} to ${high}`;
	const hint = low === undefined ? undefined : `convert the tensor first: cast(x, "f32")`;
	throw new DTypeError("op/number", `${op}: ${name} is ${value} beside ${dtype}, expected ${wanted}`, { op, hint });
}

/** Element i of the broadcast shape, read from an operand. */
function at(x: NdArray, shape: readonly number[], i: number): number {
	let rest = i;
	let index = 0;
	let step = 1;
	for (let k = shape.length - 1, j = x.shape.length - 1; j >= 0; k--, j--) {
		const c = rest % shape[k];
		rest = Math.floor(rest / shape[k]);
		if (x.shape[j] !== 1) index += c * step;
		step *= x.shape[j];
	}
	return x.data[index];
}

/** An operation that carries its definition, for the registry. */
type Op<F> = F & { readonly primitive: Primitive<Attrs> };

const withPrimitive = <F extends (...args: never[]) => Tensor>(primitive: Primitive<Attrs>, f: F): Op<F> => Object.assign(f, { primitive });

/**
 * An operation of one tensor x, in the shape of x; `name` stands in errors, reports and kernels.
 * @throws ValueError when `d` is left out and `f` cannot be derived.
 */
export function unary<A extends string = never>(name: string, row: Row<"x", A>): Op<(x: Tensor) => Tensor> {
	const primitive = elementwise(name, ["x"], row);
	return withPrimitive(primitive, (x: Tensor) => primitive.apply([x])[0]);
}

/**
 * An operation of one tensor x and one number, the row's only attribute.
 * @throws ValueError when `d` is left out and `f` cannot be derived.
 */
export function withScalar<A extends string>(name: string, row: Row<"x", A>): Op<(x: Tensor, value: number) => Tensor> {
	const primitive = elementwise(name, ["x"], row);
	const [attr] = Object.keys(row.attrs ?? {});
	return withPrimitive(primitive, (x: Tensor, value: number) => primitive.apply([x], { [attr]: value })[0]);
}
