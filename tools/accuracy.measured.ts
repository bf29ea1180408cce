/** How far the element-wise functions are from their value, over the whole range of f32. */
import * as t from "@hushgrad/tensor";
import { type Device, data, type Tensor } from "@hushgrad/tensor";
import type { Primitive } from "@hushgrad/tensor/author";

/** A function, what it is held to, and where it is looked at closely. */
export interface Measured {
	readonly name: string;
	readonly run: (...operands: Tensor[]) => Tensor;
	readonly ref: (...operands: number[]) => number;
	/** Points near which a third of the operands lie. */
	readonly near?: readonly number[];
	/** Another third lies between these; −4 and 4 when left out. */
	readonly range?: readonly [number, number];
	/** Units in the last place that it may be off by; 4 when left out. */
	readonly ulp?: number;
	/** Results below this size count by their absolute error; 2⁻¹²⁶, below which all may be 0, when left out. */
	readonly floor?: number;
	/** What those may be off by; 2⁻¹²⁶ when left out. */
	readonly abs?: number;
	/** Operands drawn in another way, for functions of two. */
	readonly draw?: (next: () => number) => readonly number[];
}

/** Worst errors: in units of the last place of results of `floor` or more, and absolute below; and where. */
export interface Worst {
	readonly ulp: number;
	readonly at: readonly number[];
	readonly abs: number;
	readonly absAt: readonly number[];
	/** NaN or infinity in place of a number, or the other way round: the operands of the first. */
	readonly wrong: readonly number[] | undefined;
}

/** The float64 reference of a row. */
function rowOf({ primitive }: { readonly primitive: Primitive<Readonly<Record<string, number | boolean>>> }): (x: number) => number {
	const { reference, attrs } = primitive.spec;
	return (x) => reference({ x: { data: Float64Array.of(x), shape: [1] } }, attrs)[0].data[0];
}

/** Numbers from 0 to 1, the same at every run: Tommy Ettinger's mulberry32. */
function numbers(seed: number): () => number {
	let state = seed;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let v = Math.imul(state ^ (state >>> 15), state | 1);
		v ^= v + Math.imul(v ^ (v >>> 7), v | 61);
		return ((v ^ (v >>> 14)) >>> 0) / 2 ** 32;
	};
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

/** WGSL divides within 2.5 ULP, and takes roots by a division. */
const DIVIDED = 6;

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
	{ name: "tan", ulp: DIVIDED, run: t.tan, ref: Math.tan, near: [0, 0.785, ...HALF_TURNS] },
	{ name: "asin", ulp: DIVIDED, run: t.asin, ref: Math.asin, range: [-1, 1], near: [1, -1, 0, 0.5, -0.5] },
	{ name: "acos", ulp: DIVIDED, run: t.acos, ref: Math.acos, range: [-1, 1], near: [1, -1, 0, 0.5, -0.5] },
	{ name: "atan", ulp: DIVIDED, run: t.atan, ref: Math.atan, near: [0, 1, -1] },
	{ name: "sinh", ulp: DIVIDED, run: t.sinh, ref: Math.sinh, range: [-90, 90], near: [0, 1, -1, 89.4] },
	{ name: "cosh", ulp: DIVIDED, run: t.cosh, ref: Math.cosh, range: [-90, 90], near: [0, 1, -1, 89.4] },
	{ name: "tanh", ulp: DIVIDED, run: t.tanh, ref: Math.tanh, near: [0, 0.625, -0.625, 9] },
	{ name: "erf", run: t.erf, ref: rowOf(t.erf), near: [0, 0.92, -0.92, 3.9] },
	{ name: "gelu", run: (x) => t.gelu(x), ref: rowOf(t.gelu), range: [-14, 8], near: [0, 0.7, -0.7, -13] },
	{
		name: "gelu, tanh",
		ulp: DIVIDED,
		run: (x) => t.gelu(x, { approximate: "tanh" }),
		ref: (x) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
		range: [-11, 8],
		near: [0, -3, -9],
	},
	{ name: "sigmoid", ulp: DIVIDED, run: t.sigmoid, ref: rowOf(t.sigmoid), range: [-90, 20], near: [0, -87] },
	{ name: "silu", ulp: DIVIDED, run: t.silu, ref: rowOf(t.silu), range: [-92, 20], near: [0, -64] },
	{ name: "elu", run: (x) => t.elu(x, 1), ref: (x) => (x > 0 ? x : Math.expm1(x)), near: [0, -0.34657, -17] },
	{ name: "softcap, 30", ulp: DIVIDED, run: (x) => t.softcap(x, 30), ref: (x) => 30 * Math.tanh(x / 30), near: [0, 18.75] },
	{ name: "softplus", run: t.softplus, ref: rowOf(t.softplus), range: [-88, 20], near: [0, -1, 1] },
	{ name: "logsigmoid", run: t.logsigmoid, ref: rowOf(t.logsigmoid), range: [-20, 88], near: [0, -1, 1] },
	{ name: "sqrt", ulp: DIVIDED, run: t.sqrt, ref: Math.sqrt, range: [0, 4], near: [1, 4] },
	{ name: "rsqrt", run: t.rsqrt, ref: (x) => 1 / Math.sqrt(x), range: [0, 4], near: [1, 4] },
	{ name: "reciprocal", run: t.reciprocal, ref: (x) => 1 / x, near: [1, 2] },
	{ name: "div", run: (a, b) => t.div(a, b), ref: (a, b) => a / b, draw: (next) => [anyFloat(next), anyFloat(next)] },
	{
		name: "atan2",
		ulp: DIVIDED,
		run: t.atan2,
		ref: Math.atan2,
		draw: (next) => (next() < 0.5 ? [anyFloat(next), anyFloat(next)] : [between(next, -4, 4), between(next, -4, 4)]),
	},
	{
		name: "logaddexp",
		floor: 0.25,
		abs: 1e-7,
		run: t.logaddexp,
		ref: (a, b) => (a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))),
		draw: (next) => (next() < 0.5 ? [anyFloat(next), anyFloat(next)] : [between(next, -4, 4), between(next, -4, 4)]),
	},
	{
		name: "geglu",
		ulp: DIVIDED,
		run: t.geglu,
		ref: (a, b) => (a * b) / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (a + 0.044715 * a ** 3))),
		draw: (next) => [between(next, -9, 4), between(next, -4, 4)],
	},
	{
		name: "pow",
		ulp: DIVIDED,
		run: t.pow,
		// C's pow, where JavaScript has NaN.
		ref: (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b),
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

/** The worst errors of a function at `count` points. */
export async function worstOf(device: Device, f: Measured, count: number, seed = 1): Promise<Worst> {
	const operands = drawn(f, numbers(seed), count);
	const y = device.scope<Tensor>(() => f.run(...operands.map((v) => device.fromHost(v, [v.length]))));
	const values = await data(y);
	y.dispose();
	const floor = f.floor ?? 2 ** -126;
	const of = (i: number): number[] => operands.map((v) => v[i]);
	let [ulp, abs, at, absAt] = [0, 0, 0, 0];
	let wrong: number[] | undefined;
	for (let i = 0; i < count; i++) {
		const [wanted, got] = [f.ref(...of(i)), values[i]];
		if (got === Math.fround(wanted) || (Number.isNaN(wanted) && Number.isNaN(got))) continue;
		// Denormal operands may count as 0.
		if (operands.some((v) => Math.abs(v[i]) < 2 ** -126)) continue;
		const error = Math.abs(got - wanted);
		if (!Number.isFinite(error)) {
			// At the end of the range a rounding decides.
			if (Math.abs(wanted) < 2 ** 128 - 2 ** 106) wrong ??= of(i);
		} else if (Math.abs(wanted) < floor) {
			if (error > abs) [abs, absAt] = [error, i];
		} else {
			const units = error / 2 ** (Math.floor(Math.log2(Math.abs(wanted))) - 23);
			if (units > ulp) [ulp, at] = [units, i];
		}
	}
	return { ulp, at: of(at), abs, absAt: of(absAt), wrong };
}

/** A function of rows: how far its elements are from their value, as a part of it. */
export interface MeasuredRow {
	readonly name: string;
	readonly run: (x: Tensor) => Tensor;
	readonly ref: (x: Float32Array) => Float64Array;
	/** Elements below this size count as if they had it; 0 when left out. */
	readonly floor?: number;
	/** What an error may be, as a part; 2e-7 when left out. */
	readonly bound?: number;
}

const meanOf = (x: Float64Array): number => x.reduce((s, v) => s + v, 0) / x.length;
const shifted = (x: Float32Array, by: number): Float64Array => Float64Array.from(x, (v) => v - by);
const logTotal = (x: Float32Array): number => Math.log(x.reduce((s, v) => s + Math.exp(v), 0));
const scaled = (x: Float64Array, eps: number): Float64Array => {
	const scale = Math.sqrt(meanOf(x.map((v) => v * v)) + eps);
	return x.map((v) => v / scale);
};

/** Every function of rows whose accuracy is stated. */
export const ROWS: readonly MeasuredRow[] = [
	{ name: "rmsNorm", run: (x) => t.rmsNorm(x, t.ones(x.device, [x.size])), ref: (x) => scaled(Float64Array.from(x), 1e-6) },
	// The mean is rounded, and taken from what may be near it.
	{ name: "layerNorm", run: (x) => t.layerNorm(x), ref: (x) => scaled(shifted(x, meanOf(Float64Array.from(x))), 1e-5), floor: 0.25 },
	// The difference to the largest, of up to 8, is rounded.
	{ name: "softmax", run: (x) => t.softmax(x), ref: (x) => shifted(x, logTotal(x)).map(Math.exp), bound: 6e-7 },
	{ name: "logSoftmax", run: (x) => t.logSoftmax(x), ref: (x) => shifted(x, logTotal(x)) },
];

/** The worst relative error of the elements of a row of normal numbers around `centre`. */
export async function rowError(device: Device, { run, ref, floor = 0 }: MeasuredRow, size: number, centre: number): Promise<number> {
	const x = device.scope<Tensor>(() => t.add(t.normal(device, [size], t.key(1)), centre));
	const y = device.scope<Tensor>(() => run(x));
	const [got, wanted] = [await data(y), ref((await data(x)) as Float32Array)];
	for (const one of [x, y]) one.dispose();
	return wanted.reduce((worst, v, i) => Math.max(worst, Math.abs(got[i] - v) / Math.max(floor, Math.abs(v))), 0);
}

/** A sum of many terms: how far it is from its value, as a part of it. */
export interface MeasuredSum {
	readonly name: string;
	/** One number, of a vector. */
	readonly run: (x: Tensor) => Tensor;
	readonly ref: (x: Float32Array) => number;
}

const total = (x: Float32Array): number => x.reduce((s, v) => s + v, 0);

/** Every sum whose accuracy is stated. */
export const SUMS: readonly MeasuredSum[] = [
	{ name: "sum", run: (x) => t.sum(x), ref: total },
	{
		name: "sum over the first axis",
		run: (x) => t.slice(t.sum(t.reshape(x, [x.size / 4, 4]), [0]), 0, 0, 1),
		ref: (x) => total(x.filter((_, i) => i % 4 === 0)),
	},
	{ name: "mean", run: (x) => t.mean(x), ref: (x) => total(x) / x.length },
	{ name: "cumsum", run: (x) => t.slice(t.cumsum(x, 0), 0, x.size - 1, x.size), ref: total },
	{
		name: "variance",
		run: (x) => t.variance(x),
		ref: (x) => {
			const mean = total(x) / x.length;
			return x.reduce((s, v) => s + (v - mean) ** 2, 0) / (x.length - 1);
		},
	},
	{ name: "logsumexp", run: (x) => t.logsumexp(x), ref: (x) => Math.log(x.reduce((s, v) => s + Math.exp(v), 0)) },
];

/** The relative error of a sum: of equal terms of 0.1, or of terms from 0 to 1. */
export async function sumError(device: Device, { run, ref }: MeasuredSum, count: number, terms: "equal" | "random"): Promise<number> {
	const x = device.scope<Tensor>(() => (terms === "equal" ? t.full(device, [count], 0.1) : t.uniform(device, [count], t.key(1))));
	const y = device.scope<Tensor>(() => run(x));
	const [[got], wanted] = [await data(y), ref((await data(x)) as Float32Array)];
	for (const one of [x, y]) one.dispose();
	return Math.abs(got - wanted) / Math.abs(wanted);
}
