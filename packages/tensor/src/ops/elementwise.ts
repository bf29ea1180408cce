import { align, repeatedAxes } from "../align.ts";
import { type DType, FLOATS, wgslScalar } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import {
	type Attrs,
	type Bound,
	type Domain,
	definePrimitive,
	type GradRule,
	type NdArray,
	type OperandShape,
	type Primitive,
} from "../primitive.ts";
import { broadcastShapes, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { sum } from "./expand.ts";
import { asParams, planWalk, walkCode, walkNames } from "./strided.ts";
import { derivative } from "./symbolic.ts";
import { reshape } from "./view.ts";

/**
 * One element-wise operation. `f` is WGSL of the operands and attributes (p.NAME); `d` gives, per operand, WGSL of the
 * derivative of the result y with respect to it. Left out, it is derived from `f`; "none" for functions without one.
 * `ref` is the same in float64. `bound` is how far f32 may be from it, from the accuracy that WGSL promises.
 */
export interface Row {
	readonly f: string;
	readonly d?: Readonly<Record<string, string>> | "none";
	readonly ref: (v: Readonly<Record<string, number>>) => number;
	readonly domain?: Domain | Readonly<Record<string, Domain>>;
	readonly attrs?: Readonly<Record<string, number>>;
	readonly bound?: Bound;
	/** Element types the operands may have; f32 and f16 when left out. */
	readonly dtypes?: readonly DType[] | Readonly<Record<string, readonly DType[]>>;
	/** WGSL for whole numbers, where it is not `f` with other literals. */
	readonly integer?: string;
	/** Type of the result; that of the operands when left out. */
	readonly result?: "bool";
	/** Attributes may be infinite. */
	readonly infinite?: boolean;
}

/** The element type of a result: that of the operands, the wider of two floats. */
function resultType(name: string, operands: readonly Tensor[]): DType {
	const types = [...new Set(operands.map((t) => t.dtype))];
	if (types.length === 1) return types[0];
	if (types.every((d) => FLOATS.includes(d))) return "f32";
	throw new DTypeError("op/dtype", `${name}: the operands are ${operands.map((t) => `${t.dtype} ${showShape(t.shape)}`).join(" and ")}`, {
		op: name,
		hint: "convert one of them with cast()",
	});
}

/** Records one kernel that evaluates `code` for every element of the common shape. */
function map(key: string, code: string, operands: Readonly<Record<string, Tensor>>, attrs: Attrs, result: DType): Tensor {
	const names = Object.keys(operands);
	const { shape, views } = align(key, Object.values(operands));
	const { device } = views[0];
	const out = device.empty(shape, result);
	const walk = planWalk(shape, views);
	const attrNames = Object.keys(attrs);
	const values = attrNames.map((a) => Number(attrs[a]));
	const attrParams = Object.fromEntries(attrNames.map((a) => [a, "f32" as const]));
	const inFours = result === "f32" && out.size % 4 === 0 && walk.rank === 1 && walk.params.every((s) => s === 1) && views.every(isAligned);
	if (inFours) {
		const four = (i: number): string => `f(${names.map((n) => `${n}[${i}]`).join(", ")})`;
		device.run(
			`map4/${key}`,
			() => ({
				params: { n: "u32", ...attrParams },
				buffers: {
					...Object.fromEntries(names.map((n) => [`${n}_buf`, { dtype: "f32" as const, access: "read" as const, lanes: 4 as const }])),
					out_buf: { dtype: "f32", access: "write", lanes: 4 },
				},
				workgroup: [64, 1, 1],
				helpers: `fn f(${names.map((n) => `${n}: f32`).join(", ")}) -> f32 { return ${code}; }`,
				body: `if (index >= p.n) { return; }
${names.map((n) => `let ${n} = ${n}_buf_at4(index);`).join("\n")}
out_buf_set4(index, vec4f(${[0, 1, 2, 3].map(four).join(", ")}));`,
			}),
			[...views, out],
			[out.size / 4, ...values],
			out.size / 4,
		);
		return out;
	}
	device.run(
		`map/${key}/${views.map((v) => v.dtype).join("-")}/${result}/${walk.rank}`,
		() => ({
			params: { n: "u32", ...attrParams, ...asParams(walkNames(walk.rank, names.length)) },
			buffers: {
				...Object.fromEntries(names.map((n, i) => [`${n}_buf`, { dtype: views[i].dtype, access: "read" as const }])),
				out_buf: { dtype: result, access: "write" },
			},
			workgroup: [64, 1, 1],
			body: `if (index >= p.n) { return; }
${walkCode(walk.rank, names.length)}
${names.map((n, i) => `let ${n} = ${n}_buf_at(i${i});`).join("\n")}
out_buf_set(index, ${result === "bool" ? `select(0u, 1u, ${code})` : code});`,
		}),
		[...views, out],
		[out.size, ...values, ...walk.params],
		out.size,
	);
	return out;
}

/** Whether a contiguous tensor can be read four elements at a time. */
const isAligned = (t: Tensor): boolean => t.dtype === "f32" && t.offset % 4 === 0;

/** Sums a gradient over the axes along which its operand was repeated. */
export function sumToOperand(g: Tensor, { shape, perSample }: OperandShape): Tensor {
	const axes = repeatedAxes(shape, perSample, g.shape);
	const reduced = axes.length === 0 ? g : sum(g, axes);
	return reshape(reduced, shape);
}

/** Derivatives per operand as WGSL, derived where the row gives none. */
function derivatives(operands: readonly string[], { f, d }: Row): Readonly<Record<string, string>> {
	if (d === "none") return Object.fromEntries(operands.map((o) => [o, "0.0"]));
	return d ?? Object.fromEntries(operands.map((o) => [o, derivative(f, o)]));
}

/** The rule dx = dy * code; for gradients of the gradient that product is an element-wise primitive itself. */
function rule(name: string, operand: string, code: string, operands: readonly string[]): GradRule<Attrs> | "none" {
	if (code === "0.0") return "none";
	const saves = [...new Set([...operands, "y"])].filter((v) => new RegExp(`(?<![.\\w])${v}\\b`).test(code));
	const key = `${name}.d${operand}`;
	const g = ["g", "h", "k", "l"].find((v) => !operands.includes(v)) as string;
	let derived: Primitive<Attrs> | undefined;
	return {
		saves,
		rule: ({ dy, ...saved }, attrs, shape) => {
			return sumToOperand(code === "1.0" ? dy : map(key, `dy * (${code})`, { dy, ...saved }, attrs, "f32"), shape);
		},
		again: ({ dy, ...saved }, attrs, shape) => {
			derived ??= elementwise(key, [g, ...saves], { f: `${g} * (${code})`, ref: () => Number.NaN, attrs: numeric(attrs), infinite: true });
			return sumToOperand(derived.apply([dy, ...saves.map((s) => saved[s])], attrs)[0], shape);
		},
	};
}

const numeric = (attrs: Attrs): Record<string, number> => Object.fromEntries(Object.entries(attrs).map(([k, v]) => [k, Number(v)]));

/** The primitive of a row. */
export function elementwise(name: string, operands: readonly string[], row: Row): Primitive<Attrs> {
	const { attrs = {}, f, ref, result, domain = { range: [-3, 3] as const }, dtypes = FLOATS } = row;
	const typesOf = (o: string): readonly DType[] => (isList(dtypes) ? dtypes : dtypes[o]);
	const isCondition = (o: string): boolean => !isList(dtypes) && dtypes[o].every((d) => d === "bool");
	const values = operands.filter((o) => !isCondition(o));
	let d: Readonly<Record<string, string>> | undefined;
	const ruleOf = (o: string): GradRule<Attrs> | "none" => {
		if (!typesOf(o).includes("f32")) return "none";
		d ??= derivatives(values, row);
		return rule(name, o, d[o], operands);
	};
	return definePrimitive<Attrs>({
		name,
		signature: `${operands.map((o) => `~${o}[...]`).join(", ")} -> ${operands.includes("y") ? "result" : "y"}[...]`,
		dtypes: Object.fromEntries(operands.map((o) => [o, typesOf(o)])),
		attrs,
		infinite: row.infinite,
		forward: ({ inputs, attrs: given }) => {
			const type = resultType(
				name,
				values.map((o) => inputs[o]),
			);
			const code = wgslScalar[type] === "f32" ? f : integerCode(row.integer ?? f, wgslScalar[type]);
			return [map(name, code, inputs, given, result ?? type)];
		},
		grad: Object.fromEntries(operands.map((o) => [o, ruleOf(o)])),
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
			domains: Object.fromEntries(operands.map((o) => [o, isDomain(domain) ? domain : domain[o]])),
			bound: row.bound,
		},
	});
}

const isList = (v: readonly DType[] | Readonly<Record<string, readonly DType[]>>): v is readonly DType[] => Array.isArray(v);
const isDomain = (d: Domain | Readonly<Record<string, Domain>>): d is Domain => ["range", "belowAxis", "bits", "whole"].some((k) => k in d);

/** The same expression for whole numbers: literals and attributes become integers. */
function integerCode(f: string, scalar: "i32" | "u32"): string {
	return f.replace(/(\d+)\.0\b/g, `${scalar}($1)`).replace(/p\.\w+/g, (name) => `${scalar}(${name})`);
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

/** An operation of one tensor x. */
export function unary(name: string, row: Row): Op<(x: Tensor) => Tensor> {
	const primitive = elementwise(name, ["x"], row);
	return withPrimitive(primitive, (x: Tensor) => primitive.apply([x])[0]);
}

/** An operation of one tensor x and one number, the row's only attribute. */
export function withScalar(name: string, row: Row): Op<(x: Tensor, value: number) => Tensor> {
	const primitive = elementwise(name, ["x"], row);
	const [attr] = Object.keys(row.attrs ?? {});
	return withPrimitive(primitive, (x: Tensor, value: number) => primitive.apply([x], { [attr]: value })[0]);
}

/** An operation of two tensors a and b, with broadcasting. */
export function binary(name: string, row: Row): Op<(a: Tensor, b: Tensor) => Tensor> {
	const primitive = elementwise(name, ["a", "b"], row);
	return withPrimitive(primitive, (a: Tensor, b: Tensor) => primitive.apply([a, b])[0]);
}
