import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows, reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { add, mul, sub } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { mean, variance } from "./reduce.ts";
import { rsqrt } from "./unary.ts";

export const standardizeKernel = defineKernel("standardize", {
	params: { rows: "u32", D: "u32", eps: "f32" },
	buffers: { x: reads("f32"), y: writes("f32"), r: writes("f32") },
	workgroup: 16,
	body: wgsl`
if (index >= p.rows) { return; }
let at = index * p.D;
var sum = 0.0;
for (var d = 0u; d < p.D; d++) { sum += x_at(at + d); }
let m = sum / f32(p.D);
var squares = 0.0;
for (var d = 0u; d < p.D; d++) { let v = x_at(at + d) - m; squares += v * v; }
let r = inverseSqrt(squares / f32(p.D) + p.eps);
r_set(index, r);
for (var d = 0u; d < p.D; d++) { y_set(at + d, (x_at(at + d) - m) * r); }`,
});

export const standardizeGradKernel = defineKernel("standardize/dx", {
	params: { rows: "u32", D: "u32" },
	buffers: { y: reads("f32"), r: reads("f32"), dy: reads("f32"), dx: writes("f32") },
	workgroup: 16,
	body: wgsl`
if (index >= p.rows) { return; }
let at = index * p.D;
var sum = 0.0;
var dot = 0.0;
for (var d = 0u; d < p.D; d++) { let g = dy_at(at + d); sum += g; dot += g * y_at(at + d); }
let r = r_at(index);
let m = sum / f32(p.D);
let c = dot / f32(p.D);
for (var d = 0u; d < p.D; d++) { dx_set(at + d, r * (dy_at(at + d) - m - y_at(at + d) * c)); }`,
});

const meanOf = (row: Float64Array): number => row.reduce((a, b) => a + b, 0) / row.length;

const momentsOf = (row: Float64Array): { m: number; v: number } => {
	const m = meanOf(row);
	return { m, v: meanOf(row.map((u) => (u - m) ** 2)) };
};

/** dx = r (dy - mean(dy) - y mean(dy y)). x is read while a gradient is traced only, because r depends on it. */
export const standardizeGradPrimitive = definePrimitive({
	name: "standardize.dx",
	signature: "x[..., D], y[..., D], r[..., 1], dy[..., D] -> dx[..., D]",
	attrs: { eps: 1e-5 },
	forward: ({ runtime, inputs, axes: { D } }) => {
		const [y, r, dy] = [contiguous(inputs.y), contiguous(inputs.r), contiguous(inputs.dy)];
		const dx = runtime.empty(y.shape);
		standardizeGradKernel.run({ y, r, dy, dx }, { rows: r.size, D }, r.size);
		return [dx];
	},
	grad: { x: "missing", y: "missing", r: "missing", dy: "missing" },
	composite: ({ x, y, dy }, { eps }) => {
		const along = (t: Tensor): Tensor => mean(t, [-1], { keepDim: true });
		const r = rsqrt(add(variance(x, [-1], { correction: 0, keepDim: true }), eps));
		return mul(r, sub(sub(dy, along(dy)), mul(y, along(mul(dy, y)))));
	},
	reference: ({ y, r, dy }) => {
		const d = y.shape[y.shape.length - 1];
		const dx = mapRows(y, (row, i) => {
			const g = dy.data.subarray(i * d, (i + 1) * d);
			const m = meanOf(g);
			const c = meanOf(row.map((v, k) => v * g[k]));
			return row.map((v, k) => r.data[i] * (g[k] - m - v * c));
		});
		return [dx];
	},
	test: {
		bound: { ulp: 8, abs: 2e-5, why: "sums of 9 products of size 4, over 9, times 2" },
		domains: { r: { range: [0.3, 1] } },
		nonEmpty: ["D"],
		sizes: { D: [3, 5, 9] },
	},
});

export const standardizePrimitive = definePrimitive({
	name: "standardize",
	signature: "x[..., D] -> y[..., D], r[..., 1]",
	attrs: { eps: 1e-5 },
	forward: ({ runtime, inputs, attrs: { eps }, axes: { D } }) => {
		const x = contiguous(inputs.x);
		const y = runtime.empty(x.shape);
		const r = runtime.empty([...x.shape.slice(0, -1), 1]);
		standardizeKernel.run({ x, y, r }, { rows: r.size, D, eps }, r.size);
		return [y, r];
	},
	grad: {
		x: {
			saves: ["x", "y", "r"],
			rule: ({ x, y, r, dy }, attrs) => standardizeGradPrimitive.apply([x, y, r, dy], attrs)[0],
		},
	},
	reference: ({ x }, { eps }) => [
		mapRows(x, (row) => {
			const { m, v } = momentsOf(row);
			return row.map((u) => (u - m) / Math.sqrt(v + eps));
		}),
		{ data: reduceRows(x, (row) => 1 / Math.sqrt(momentsOf(row).v + eps)).data, shape: [...x.shape.slice(0, -1), 1] },
	],
	test: {
		bound: { ulp: 20, abs: 1e-5, why: "inverseSqrt within 2 ULP of sums of 9; the mean cancels at 2" },
		nonEmpty: ["D"],
		variants: [{ eps: 0.1 }],
		sizes: { D: [3, 5, 9] },
	},
});

/** What `layerNorm` does after and while it standardises. */
export interface LayerNormOptions {
	/** Scale, `[D]`; 1 when left out. */
	readonly weight?: Tensor | undefined;
	/** Shift, `[D]`; 0 when left out. */
	readonly bias?: Tensor | undefined;
	/** Added to the variance; 1e-5 when left out. */
	readonly eps?: number | undefined;
}

/**
 * Layer normalisation over the last axis: y = (x − mean) / √(variance + eps) · weight + bias, the variance without correction.
 * x f32 `[..., D]` → `[..., D]`. Accumulates in f32. Source: Ba, Kiros and Hinton 2016; torch's layer_norm.
 * @throws ShapeError when x has no axis, or weight or bias do not broadcast with it.
 * @throws DTypeError unless x is f32, and weight and bias are f32 or f16.
 * @throws ValueError when `eps` is not finite.
 */
export function layerNorm(x: Tensor, { weight, bias, eps = 1e-5 }: LayerNormOptions = {}): Tensor {
	const y = standardizePrimitive.apply([x], { eps })[0];
	const scaled = weight === undefined ? y : mul(y, weight);
	return bias === undefined ? scaled : add(scaled, bias);
}
