import { align, repeatedAxes } from "../align.ts";
import { type Attrs, type Domain, definePrimitive, type GradRule, type NdArray, type OperandShape, type Primitive } from "../primitive.ts";
import { broadcastShapes, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { sum } from "./expand.ts";
import { asParams, planWalk, walkCode, walkNames } from "./strided.ts";
import { reshape } from "./view.ts";

/**
 * One element-wise operation. `f` is WGSL of the operands (x, or a and b) and attributes (p.NAME); `d` gives, per
 * operand, WGSL of the derivative of the result with respect to it, where y is the result. `ref` is the same in
 * float64. `domain` is where the property tests draw operands.
 */
interface Row {
	readonly f: string;
	readonly d: Readonly<Record<string, string>> | "none";
	readonly ref: (v: Readonly<Record<string, number>>) => number;
	readonly domain?: Domain;
	readonly attrs?: Readonly<Record<string, number>>;
	readonly tolerance?: number;
	readonly result?: "f32" | "bool";
}

/** Records one kernel that evaluates `code` for every element of the common shape. */
function map(key: string, code: string, operands: Readonly<Record<string, Tensor>>, attrs: Attrs, result: "f32" | "bool" = "f32"): Tensor {
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
		`map/${key}/${walk.rank}`,
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

function rule(name: string, operand: string, code: string): GradRule<Attrs> | "none" {
	if (code === "0.0") return "none";
	const saves = ["x", "a", "b", "y"].filter((v) => new RegExp(`\\b${v}\\b`).test(code));
	return {
		saves,
		rule: ({ dy, ...saved }, attrs, shape) => {
			const g = code === "1.0" ? dy : map(`${name}.d${operand}`, `dy * (${code})`, { dy, ...saved }, attrs);
			return sumToOperand(g, shape);
		},
	};
}

function nary(name: string, operands: readonly string[], row: Row): Primitive<Attrs> {
	const { attrs = {}, d, f, ref, result, domain = { range: [-3, 3] as const } } = row;
	return definePrimitive<Attrs>({
		name,
		signature: `${operands.map((o) => `~${o}[...]`).join(", ")} -> y[...]`,
		attrs,
		forward: ({ inputs, attrs: values }) => [map(name, f, inputs, values, result)],
		grad: Object.fromEntries(operands.map((o) => [o, d === "none" ? "none" : rule(name, o, d[o])])),
		reference: (inputs, values) => {
			const shape = broadcastShapes(name, ...operands.map((o) => inputs[o].shape));
			const data = new Float64Array(sizeOf(shape));
			const scalars: Record<string, number> = {};
			for (const [k, v] of Object.entries(values)) scalars[k] = Number(v);
			for (let i = 0; i < data.length; i++) {
				for (const o of operands) scalars[o] = at(inputs[o], shape, i);
				data[i] = Number(ref(scalars));
			}
			return [{ data, shape }];
		},
		test: { domains: Object.fromEntries(operands.map((o) => [o, domain])), tolerance: row.tolerance },
	});
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

const GELU_INNER = "0.7978845608028654 * (X + 0.044715 * X * X * X)";
const bounded = (arg: string) => `tanh(clamp(${arg}, -15.0, 15.0))`;
const geluT = bounded(GELU_INNER.replaceAll("X", "x"));
const gegluT = bounded(GELU_INNER.replaceAll("X", "a"));
const dGelu = (v: string, t: string) =>
	`0.5 * (1.0 + ${t}) + 0.5 * ${v} * (1.0 - ${t} * ${t}) * 0.7978845608028654 * (1.0 + 0.134145 * ${v} * ${v})`;
const geluRef = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const sigmoidCode = "1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)))";
const positive: Domain = { range: [0.1, 4] };

/** Element-wise operations of one tensor. Adding one is adding a row. */
const UNARY: Readonly<Record<string, Row>> = {
	neg: { f: "-x", d: { x: "-1.0" }, ref: ({ x }) => -x },
	abs: { f: "abs(x)", d: { x: "sign(x)" }, ref: ({ x }) => Math.abs(x) },
	square: { f: "x * x", d: { x: "2.0 * x" }, ref: ({ x }) => x * x },
	sqrt: { f: "sqrt(x)", d: { x: "0.5 / y" }, ref: ({ x }) => Math.sqrt(x), domain: positive },
	rsqrt: { f: "inverseSqrt(x)", d: { x: "-0.5 * y * y * y" }, ref: ({ x }) => 1 / Math.sqrt(x), domain: positive },
	reciprocal: { f: "1.0 / x", d: { x: "-y * y" }, ref: ({ x }) => 1 / x, domain: positive },
	exp: { f: "exp(x)", d: { x: "y" }, ref: ({ x }) => Math.exp(x) },
	log: { f: "log(x)", d: { x: "1.0 / x" }, ref: ({ x }) => Math.log(x), domain: positive },
	tanh: { f: bounded("x"), d: { x: "1.0 - y * y" }, ref: ({ x }) => Math.tanh(x) },
	sigmoid: { f: sigmoidCode, d: { x: "y * (1.0 - y)" }, ref: ({ x }) => 1 / (1 + Math.exp(-x)) },
	relu: { f: "max(x, 0.0)", d: { x: "select(0.0, 1.0, x > 0.0)" }, ref: ({ x }) => Math.max(x, 0) },
	gelu: { f: `0.5 * x * (1.0 + ${geluT})`, d: { x: dGelu("x", geluT) }, ref: ({ x }) => geluRef(x) },
	silu: {
		f: `x * (${sigmoidCode})`,
		d: { x: `(${sigmoidCode}) * (1.0 + x * (1.0 - (${sigmoidCode})))` },
		ref: ({ x }) => x / (1 + Math.exp(-x)),
	},
	addScalar: { f: "x + p.s", d: { x: "1.0" }, ref: ({ x, s }) => x + s, attrs: { s: 0.5 } },
	mulScalar: { f: "x * p.s", d: { x: "p.s" }, ref: ({ x, s }) => x * s, attrs: { s: 1.5 } },
	softcap: {
		f: `p.cap * ${bounded("x / p.cap")}`,
		d: { x: "1.0 - (y / p.cap) * (y / p.cap)" },
		ref: ({ x, cap }) => cap * Math.tanh(x / cap),
		attrs: { cap: 2 },
	},
};

/** Element-wise operations of two tensors, with broadcasting. */
const BINARY: Readonly<Record<string, Row>> = {
	add: { f: "a + b", d: { a: "1.0", b: "1.0" }, ref: ({ a, b }) => a + b },
	sub: { f: "a - b", d: { a: "1.0", b: "-1.0" }, ref: ({ a, b }) => a - b },
	mul: { f: "a * b", d: { a: "b", b: "a" }, ref: ({ a, b }) => a * b },
	div: { f: "a / b", d: { a: "1.0 / b", b: "-y / b" }, ref: ({ a, b }) => a / b, domain: positive },
	maximum: {
		f: "max(a, b)",
		d: { a: "select(select(0.0, 0.5, a == b), 1.0, a > b)", b: "select(select(0.0, 0.5, a == b), 1.0, a < b)" },
		ref: ({ a, b }) => Math.max(a, b),
	},
	minimum: {
		f: "min(a, b)",
		d: { a: "select(select(0.0, 0.5, a == b), 1.0, a < b)", b: "select(select(0.0, 0.5, a == b), 1.0, a > b)" },
		ref: ({ a, b }) => Math.min(a, b),
	},
	addScaled: { f: "a + p.s * b", d: { a: "1.0", b: "p.s" }, ref: ({ a, b, s }) => a + s * b, attrs: { s: 0.5 } },
	geglu: {
		f: `0.5 * a * (1.0 + ${gegluT}) * b`,
		d: { a: `b * (${dGelu("a", gegluT)})`, b: `0.5 * a * (1.0 + ${gegluT})` },
		ref: ({ a, b }) => geluRef(a) * b,
	},
	less: { f: "a < b", d: "none", ref: ({ a, b }) => Number(a < b), result: "bool" },
	equal: { f: "a == b", d: "none", ref: ({ a, b }) => Number(a === b), result: "bool" },
};

const build = (rows: Readonly<Record<string, Row>>, operands: readonly string[]) =>
	Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, nary(name, operands, row)]));

/** Every element-wise primitive by name. */
export const elementwise: Readonly<Record<string, Primitive<Attrs>>> = {
	...build(UNARY, ["x"]),
	...build(BINARY, ["a", "b"]),
};

const unary = (name: string) => (x: Tensor) => elementwise[name].apply([x])[0];
const binary = (name: string) => (a: Tensor, b: Tensor) => elementwise[name].apply([a, b])[0];

export const neg = unary("neg");
export const abs = unary("abs");
export const square = unary("square");
export const sqrt = unary("sqrt");
export const rsqrt = unary("rsqrt");
export const reciprocal = unary("reciprocal");
export const exp = unary("exp");
export const log = unary("log");
export const tanh = unary("tanh");
export const sigmoid = unary("sigmoid");
export const relu = unary("relu");
/** GELU, tanh form: x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))). */
export const gelu = unary("gelu");
export const silu = unary("silu");
export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");
/** Larger of two; where they are equal the gradient is shared. */
export const maximum = binary("maximum");
export const minimum = binary("minimum");
/** gelu(gate) * up, the gated activation of Gemma's MLP. */
export const geglu = binary("geglu");
export const less = binary("less");
export const equal = binary("equal");

/** x + s. */
export const addScalar = (x: Tensor, s: number) => elementwise.addScalar.apply([x], { s })[0];
/** x * s. */
export const mulScalar = (x: Tensor, s: number) => elementwise.mulScalar.apply([x], { s })[0];
/** a + s * b. */
export const addScaled = (a: Tensor, b: Tensor, s: number) => elementwise.addScaled.apply([a, b], { s })[0];
/** cap * tanh(x / cap): bounds |x| smoothly by cap. */
export const softcap = (x: Tensor, cap: number) => elementwise.softcap.apply([x], { cap })[0];
