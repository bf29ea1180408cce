import { FLOATS } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { named } from "../named.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows, reduceRows } from "../reference.ts";
import { normalizeAxis, sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { add, mul, sub } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { reduceAxes } from "./expand.ts";
import { mean, variance } from "./reduce.ts";
import { laneCount, type RowVariant, rowKernel, rowsOf, SUM } from "./rowKernel.ts";
import { rsqrt } from "./unary.ts";
import { permute, reshape } from "./view.ts";
import { inF32 } from "./widen.ts";

export const standardizeKernel = defineKernel("standardize", (variant: RowVariant) =>
	rowKernel(
		{
			params: { D: "u32", eps: "f32" },
			buffers: { x: reads("f32"), y: writes("f32"), r: writes("f32") },
			joins: { rowSum: SUM },
			body: wgsl`
let at = row * p.D;
let zero = p.rows >> 31u;
var sum = vec2f(0.0);
for (var d = own; d < p.D; d += LANES) { sum = added(sum, x_at(at + d), zero); }
let m = rowSum(own, sum).x / f32(p.D);
var squares = vec2f(0.0);
for (var d = own; d < p.D; d += LANES) { let v = x_at(at + d) - m; squares = added(squares, v * v, zero); }
let r = inverseSqrt(rowSum(own, squares).x / f32(p.D) + p.eps);
if (own == 0u) { r_set(row, r); }
for (var d = own; d < p.D; d += LANES) { y_set(at + d, (x_at(at + d) - m) * r); }`,
		},
		variant,
	),
);

export const standardizeGradKernel = defineKernel("standardize/dx", (variant: RowVariant) =>
	rowKernel(
		{
			params: { D: "u32" },
			buffers: { y: reads("f32"), r: reads("f32"), dy: reads("f32"), dx: writes("f32") },
			joins: { rowSum: SUM },
			body: wgsl`
let at = row * p.D;
let zero = p.rows >> 31u;
var sum = vec2f(0.0);
var dot = vec2f(0.0);
for (var d = own; d < p.D; d += LANES) {
  let g = dy_at(at + d);
  sum = added(sum, g, zero);
  dot = added(dot, g * y_at(at + d), zero);
}
let r = r_at(row);
let m = rowSum(own, sum).x / f32(p.D);
let c = rowSum(own, dot).x / f32(p.D);
for (var d = own; d < p.D; d += LANES) { dx_set(at + d, r * (dy_at(at + d) - m - y_at(at + d) * c)); }`,
		},
		variant,
	),
);

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
		const variant = rowsOf(runtime, D);
		standardizeGradKernel.of(variant).run({ y, r, dy, dx }, { rows: r.size, D }, laneCount(r.size, variant));
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
		const variant = rowsOf(runtime, D);
		standardizeKernel.of(variant).run({ x, y, r }, { rows: r.size, D, eps }, laneCount(r.size, variant));
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

/** What normalisations do after and while they standardise. */
export interface AffineOptions {
	/** Scale; 1 when left out. */
	readonly weight?: Tensor | undefined;
	/** Shift; 0 when left out. */
	readonly bias?: Tensor | undefined;
	/** Added to the variance; 1e-5 when left out. */
	readonly eps?: number | undefined;
}

/** Options of `layerNorm`. */
export interface LayerNormOptions extends AffineOptions {
	/** The axes over which mean and variance are taken; the last when left out. Those behind the channels make it instance norm. */
	readonly axes?: number | readonly number[] | undefined;
}

const AFFINE = { weight: "tensor?", bias: "tensor?", eps: "number?" } as const;

function checkAffine(op: string, x: Tensor, { weight, bias }: AffineOptions): void {
	checkType(op, x, FLOATS);
	if (weight !== undefined) checkType(op, weight, FLOATS, "weight");
	if (bias !== undefined) checkType(op, bias, FLOATS, "bias");
}

/** y weight + bias, in the shape of y. @throws ShapeError where weight or bias would enlarge it. */
function affine(op: string, y: Tensor, { weight, bias }: AffineOptions): Tensor {
	for (const [name, t] of [["weight", weight] as const, ["bias", bias] as const]) {
		const lead = y.rank - (t?.rank ?? 0);
		if (t === undefined || (lead >= 0 && t.shape.every((d, i) => d === 1 || d === y.shape[lead + i]))) continue;
		throw new ShapeError("norm/affine", `${op}: ${name}${showShape(t.shape)} does not broadcast to x${showShape(y.shape)}`, { op });
	}
	const scaled = weight === undefined ? y : mul(y, weight);
	return bias === undefined ? scaled : add(scaled, bias);
}

/**
 * Layer normalisation over the last axis, or `axes`: y = (x − mean) / √(variance + eps) · weight + bias, the variance without
 * correction. x f32 or f16 `[..., D]` → f32 `[..., D]`; weight and bias broadcast to x. Accumulates in f32. Over one number y is the bias,
 * and the gradient of x is 0. Source: Ba, Kiros and Hinton 2016; torch's layer_norm. Over the axes behind the channels, with weight
 * `[C, 1, 1]`, it is torch's instance_norm.
 * @throws ShapeError when x has no axis, or weight or bias do not broadcast to it.
 * @throws DTypeError unless x, weight and bias are f32 or f16.
 * @throws ValueError when `eps` is not finite, or an axis is out of range or named twice.
 */
export const layerNorm = named("layerNorm", (x: Tensor, options: LayerNormOptions = {}): Tensor => {
	checkAffine("layerNorm", x, optionsOf("layerNorm", options, { ...AFFINE, axes: "axes?" }));
	const { axes = -1, eps = 1e-5 } = options;
	const { axes: chosen, order } = reduceAxes("layerNorm", x, axes);
	const moved = permute(inF32(x), order);
	const outer = moved.shape.slice(0, x.rank - chosen.length);
	const rows = chosen.length === 1 ? moved : reshape(moved, [...outer, sizeOf(moved.shape.slice(outer.length))]);
	const y = reshape(standardizePrimitive.apply([rows], { eps })[0], moved.shape);
	const back = permute(
		y,
		order.map((_, i) => order.indexOf(i)),
	);
	return affine("layerNorm", back, options);
});

/** Options of `groupNorm`. */
export interface GroupNormOptions extends AffineOptions {
	/** Axis of the channels; 0 when left out, as of one record `[C, …]`. torch's batches have it at 1. */
	readonly axis?: number | undefined;
}

/**
 * Group normalisation: each of `groups` runs of channels, with all positions behind them, less its mean and over its standard deviation
 * √(variance + eps), times weight, plus bias. x f32 or f16 `[..., C, ...]`, weight and bias `[C]` → f32 of the shape of x. Accumulates in
 * f32. One group is layer norm over all but the leading axes, C groups are instance norm. Source: Wu and He 2018; torch's group_norm.
 * @throws ShapeError when `groups` does not divide C, or weight or bias are not `[C]`.
 * @throws DTypeError unless x, weight and bias are f32 or f16.
 * @throws ValueError when `eps` is not finite, or the axis is out of range.
 */
export const groupNorm = named("groupNorm", (x: Tensor, groups: number, options: GroupNormOptions = {}): Tensor => {
	checkAffine("groupNorm", x, optionsOf("groupNorm", options, { ...AFFINE, axis: "whole?" }));
	expects("groupNorm", { groups }, { groups: "whole" });
	const { axis = 0, weight, bias, eps = 1e-5 } = options;
	const at = normalizeAxis("groupNorm", axis, x.rank);
	const [lead, channels, rest] = [x.shape.slice(0, at), x.shape[at], x.shape.slice(at + 1)];
	const fits = (t: Tensor | undefined): boolean => t === undefined || sameShape(t.shape, [channels]);
	if (!(groups >= 1) || channels % groups !== 0 || !fits(weight) || !fits(bias)) {
		const given = [weight, bias].map((t) => (t === undefined ? "none" : showShape(t.shape)));
		const text = `groupNorm: ${groups} groups of ${channels} channels, weight ${given[0]}, bias ${given[1]}`;
		throw new ShapeError("norm/groups", text, {
			op: "groupNorm",
			hint: "groups divide the channels; weight and bias are one of each channel",
		});
	}
	const rows = reshape(inF32(x), [...lead, groups, (channels / groups) * sizeOf(rest)]);
	const y = reshape(standardizePrimitive.apply([rows], { eps })[0], x.shape);
	const each = (t: Tensor | undefined): Tensor | undefined => t && reshape(t, [channels, ...rest.map(() => 1)]);
	return affine("groupNorm", y, { weight: each(weight), bias: each(bias) });
});
