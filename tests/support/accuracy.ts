/** How far the element-wise functions are from their value, over the whole range of f32. */
import * as t from "@hushgrad/tensor";
import { type Device, data, type Tensor } from "@hushgrad/tensor";
import { numbers } from "./cases.ts";

/** A function, what it is held to, and where it is looked at closely. */
export interface Measured {
	readonly name: string;
	readonly run: (...operands: Tensor[]) => Tensor;
	readonly ref: (...operands: number[]) => number;
	/** Points near which a third of the operands lie. */
	readonly near?: readonly number[];
	/** Another third lies between these; −4 and 4 when left out. */
	readonly range?: readonly [number, number];
	/** Results below this size count by their absolute error; 2⁻¹²⁶, below which all is 0, when left out. */
	readonly floor?: number;
	/** Operands drawn in another way, for functions of two. */
	readonly draw?: (next: () => number) => readonly number[];
}

/** Worst errors: in units of the last place of results of `floor` or more, and absolute below; and where. */
export interface Worst {
	readonly ulp: number;
	readonly at: readonly number[];
	readonly abs: number;
	readonly absAt: readonly number[];
}

const definition = (op: { readonly primitive: { readonly spec: { readonly name: string } } }) =>
	(op.primitive as unknown as { spec: { reference: (i: object, a: object) => { data: Float64Array }[]; attrs: object; name: string } })
		.spec;

/** The float64 reference of a row. */
function rowOf(op: Parameters<typeof definition>[0]): (x: number) => number {
	const { reference, attrs } = definition(op);
	return (x) => reference({ x: { data: Float64Array.of(x), shape: [1] } }, attrs)[0].data[0];
}

const HALF_TURNS = Array.from({ length: 12 }, (_, i) => (Math.PI / 2) * [1, 2, 3, 4, 5, 7, 11, 64, 1001, 31415, 40000, 1e6][i]);
const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);
const ofBits = (bits: number): number => {
	word[0] = bits;
	return float[0];
};
/** Any finite f32, each exponent as often as the others. */
export function anyFloat(next: () => number): number {
	for (;;) {
		const x = ofBits(Math.floor(next() * 2 ** 32));
		if (Number.isFinite(x)) return x;
	}
}
const between = (next: () => number, low: number, high: number): number => Math.fround(low + next() * (high - low));

/** Every function whose accuracy is stated. */
export const MEASURED: readonly Measured[] = [
	{ name: "exp", run: t.exp, ref: Math.exp, range: [-104, 89], near: [0, -87.3365, 88.7228] },
	{ name: "exp2", run: t.exp2, ref: (x) => 2 ** x, range: [-150, 128], near: [0, -126, 128, 0.5] },
	{ name: "expm1", run: t.expm1, ref: Math.expm1, near: [0, 0.34657, -0.34657, 1.0397, -17, 88.7] },
	{ name: "log", run: t.log, ref: Math.log, range: [0, 10], near: [1, Math.SQRT1_2, Math.SQRT2, 2] },
	{ name: "log2", run: t.log2, ref: Math.log2, range: [0, 10], near: [1, Math.SQRT1_2, Math.SQRT2, 2] },
	{ name: "log1p", run: t.log1p, ref: Math.log1p, range: [-1, 10], near: [0, -1, Math.SQRT1_2 - 1, Math.SQRT2 - 1, 1e8] },
	{ name: "sin", run: t.sin, ref: Math.sin, near: HALF_TURNS, range: [-1e5, 1e5] },
	{ name: "cos", run: t.cos, ref: Math.cos, near: HALF_TURNS, range: [-1e5, 1e5] },
	{ name: "tan", run: t.tan, ref: Math.tan, near: [0, 0.785, ...HALF_TURNS] },
	{ name: "asin", run: t.asin, ref: Math.asin, range: [-1, 1], near: [1, -1, 0, 0.5, -0.5] },
	{ name: "acos", run: t.acos, ref: Math.acos, range: [-1, 1], near: [1, -1, 0, 0.5, -0.5] },
	{ name: "atan", run: t.atan, ref: Math.atan, near: [0, 1, -1] },
	{ name: "sinh", run: t.sinh, ref: Math.sinh, range: [-90, 90], near: [0, 1, -1, 89.4] },
	{ name: "cosh", run: t.cosh, ref: Math.cosh, range: [-90, 90], near: [0, 1, -1, 89.4] },
	{ name: "tanh", run: t.tanh, ref: Math.tanh, near: [0, 0.625, -0.625, 9] },
	{ name: "erf", run: t.erf, ref: rowOf(t.erf), near: [0, 0.92, -0.92, 3.9] },
	{ name: "gelu", run: (x) => t.gelu(x), ref: rowOf(t.gelu), range: [-14, 8], near: [0, -13], floor: 1e-36 },
	{
		name: "gelu, tanh",
		run: (x) => t.gelu(x, { approximate: "tanh" }),
		ref: (x) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
		range: [-11, 8],
		near: [0, -3],
		floor: 1e-36,
	},
	{ name: "sigmoid", run: t.sigmoid, ref: rowOf(t.sigmoid), range: [-90, 20], near: [0, -87] },
	{ name: "silu", run: t.silu, ref: rowOf(t.silu), range: [-87, 20], near: [0], floor: 1e-36 },
	{ name: "softplus", run: t.softplus, ref: rowOf(t.softplus), range: [-88, 20], near: [0, -1, 1] },
	{ name: "logsigmoid", run: t.logsigmoid, ref: rowOf(t.logsigmoid), range: [-20, 88], near: [0, -1, 1] },
	{ name: "sqrt", run: t.sqrt, ref: Math.sqrt, range: [0, 4], near: [1, 4] },
	{ name: "rsqrt", run: t.rsqrt, ref: (x) => 1 / Math.sqrt(x), range: [0, 4], near: [1, 4] },
	{ name: "reciprocal", run: t.reciprocal, ref: (x) => 1 / x, near: [1, 2] },
	{ name: "div", run: t.div, ref: (a, b) => a / b, draw: (next) => [anyFloat(next), anyFloat(next)] },
	{
		name: "atan2",
		run: t.atan2,
		ref: Math.atan2,
		draw: (next) => (next() < 0.5 ? [anyFloat(next), anyFloat(next)] : [between(next, -4, 4), between(next, -4, 4)]),
	},
	{
		name: "pow",
		run: t.pow,
		ref: (a, b) => a ** b,
		draw: (next) => {
			const a = next() < 0.5 ? Math.abs(anyFloat(next)) : between(next, 0.5, 2);
			const b = next() < 0.3 ? Math.fround(Math.floor(next() * 9) - 4) : Math.fround((next() * 300 - 150) / Math.log2(a));
			return [a, Number.isFinite(b) ? b : 1];
		},
	},
];

/** Operands: a third of any exponent and sign, a third between the ends of the range, a third at all distances from its points. */
function drawn({ near = [1], range: [low, high] = [-4, 4], draw }: Measured, next: () => number, count: number): Float32Array[] {
	if (draw !== undefined) {
		const pairs = Array.from({ length: count }, () => draw(next));
		return [0, 1].map((i) => Float32Array.from(pairs, (p) => p[i]));
	}
	const one = (i: number): number => {
		if (i % 3 === 0) return anyFloat(next);
		if (i % 3 === 1) return between(next, low, high);
		const c = near[Math.floor(next() * near.length)];
		return Math.fround(c + (next() - 0.5) * Math.max(1, Math.abs(c)) * 2 ** (-25 * next()));
	};
	return [Float32Array.from({ length: count }, (_, i) => one(i))];
}

/** The worst errors of a function at `count` points. NaN where the value is a number, or a number where it is NaN, is infinite. */
export async function worstOf(device: Device, f: Measured, count: number, seed = 1): Promise<Worst> {
	const operands = drawn(f, numbers(seed, 0), count);
	const y = device.scope(() => f.run(...operands.map((v) => device.fromHost(v, [v.length]))));
	const values = await data(y);
	y.dispose();
	const floor = f.floor ?? 2 ** -126;
	let [ulp, abs, at, absAt] = [0, 0, 0, 0];
	for (let i = 0; i < count; i++) {
		const wanted = f.ref(...operands.map((v) => v[i]));
		const got = values[i];
		// Denormal numbers may count as 0.
		const isTiny = operands.some((v) => v[i] !== 0 && Math.abs(v[i]) < 2 ** -126);
		if (got === wanted || Math.fround(wanted) === got || (Number.isNaN(wanted) && Number.isNaN(got)) || isTiny) continue;
		const error = Math.abs(got - wanted);
		if (Math.abs(wanted) < floor) {
			if (!(error <= abs)) [abs, absAt] = [Number.isNaN(error) ? Number.POSITIVE_INFINITY : error, i];
			continue;
		}
		const unit = 2 ** (Math.floor(Math.log2(Math.abs(wanted))) - 23);
		const units = Number.isFinite(wanted) && Number.isFinite(got) ? error / unit : Number.POSITIVE_INFINITY;
		if (units > ulp) [ulp, at] = [units, i];
	}
	return { ulp, at: operands.map((v) => v[at]), abs, absAt: operands.map((v) => v[absAt]) };
}
