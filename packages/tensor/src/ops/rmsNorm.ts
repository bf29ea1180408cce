import { FLOATS } from "../dtype.ts";
import { optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { type BufferSpec, reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { add, mul, sub } from "./binary.ts";
import { contiguous, packed } from "./contiguous.ts";
import { sumToOperand } from "./elementwise.ts";
import { mean } from "./reduce.ts";
import { laneCount, type RowVariant, rowKernel, rowsOf, SUM } from "./rowKernel.ts";
import { defineSumming, summed } from "./summing.ts";
import { rsqrt, square } from "./unary.ts";
import { inF32 } from "./widen.ts";

/** What is added to, where a kernel has it. */
const SUMMAND: Readonly<Record<string, BufferSpec>> = { c: reads("f32") };
const PARAMS = { D: "u32", share: "u32", ws: "u32", eps: "f32", offset: "f32" } as const;

export const rmsNormKernel = defineKernel("rmsNorm", (variant: RowVariant) =>
	rowKernel(
		{
			params: PARAMS,
			buffers: { x: reads("f32"), w: reads("f32"), y: writes("f32"), r: writes("f32") },
			joins: { rowSum: SUM },
			body: wgsl`
let at = row * p.D;
let wa = (row / p.share) * p.ws;
var sum = vec2f(0.0);
for (var d = own; d < p.D; d += LANES) { let v = x_at(at + d); sum = added(sum, v * v, p.rows >> 31u); }
let r = inverseSqrt(rowSum(own, sum).x / f32(p.D) + p.eps);
if (own == 0u) { r_set(row, r); }
for (var d = own; d < p.D; d += LANES) { y_set(at + d, x_at(at + d) * r * (p.offset + w_at(wa + d))); }`,
		},
		variant,
	),
);

/** With `plus` it is added to c. */
export const rmsNormGradKernel = defineKernel("rmsNorm/dx", ({ plus, ...variant }: RowVariant & { plus: boolean }) =>
	rowKernel(
		{
			params: PARAMS,
			buffers: {
				...{ x: reads("f32"), w: reads("f32"), r: reads("f32"), dy: reads("f32"), dx: writes("f32") },
				...(plus ? SUMMAND : undefined),
			},
			joins: { rowSum: SUM },
			body: wgsl`
let at = row * p.D;
let wa = (row / p.share) * p.ws;
let r = r_at(row);
var sum = vec2f(0.0);
for (var d = own; d < p.D; d += LANES) { sum = added(sum, dy_at(at + d) * (p.offset + w_at(wa + d)) * x_at(at + d), p.rows >> 31u); }
let dot = rowSum(own, sum).x;
let c = r * r * dot / f32(p.D);
for (var d = own; d < p.D; d += LANES) {
  let g = dy_at(at + d) * (p.offset + w_at(wa + d));
  let value = select(r * (g - x_at(at + d) * c), r * r * r * p.eps * g, p.D == 1u);
  dx_set(at + d, ${plus ? "c_at(at + d) + value" : "value"});
}`,
		},
		variant,
	),
);

export const rmsNormWeightGradKernel = defineKernel("rmsNorm/dw", {
	params: { n: "u32", D: "u32" },
	buffers: { x: reads("f32"), r: reads("f32"), dy: reads("f32"), dw: writes("f32") },
	workgroup: 64,
	body: wgsl`if (index < p.n) { dw_set(index, dy_at(index) * (x_at(index) * r_at(index / p.D))); }`,
});

/** How rows of x find their w: rows of one record, and elements from one record's w to the next. */
const scaleParams = (x: Physical, w: Physical) => ({ share: Math.max(1, sizeOf(x.shape.slice(1, -1))), ws: w.strides[0] });

/** r = (mean(x^2) + eps)^(-1/2), of differentiable operations. */
const scaleOf = (x: Tensor, eps: number): Tensor => rsqrt(add(mean(square(x), [-1], { keepDim: true }), eps));

/** dx = r (g - x r^2 mean(g x)) with g = dy (offset + w); of one number, where the difference cancels, r^3 eps g. */
const rmsNormGrad = defineSumming({
	name: "rmsNorm.dx",
	signature: "x[..., D], w[D], r[..., 1], dy[..., D] -> dx[..., D]",
	attrs: { eps: 1e-6, offset: 0 },
	forward: ({ runtime, inputs, attrs: { eps, offset }, axes: { D } }, plus) => {
		const [x, r, dy] = [contiguous(inputs.x), contiguous(inputs.r), contiguous(inputs.dy)];
		const w = packed(inputs.w);
		const dx = runtime.empty(x.shape);
		const c = plus && { c: contiguous(plus) };
		const variant = { ...rowsOf(runtime, D), plus: c !== undefined };
		const params = { rows: r.size, D, ...scaleParams(x, w), eps, offset };
		rmsNormGradKernel.of(variant).run({ x, w, r, dy, dx, ...c }, params, laneCount(r.size, variant));
		return [dx];
	},
	grad: { x: "missing", w: "missing", r: "missing", dy: "missing" },
	composite: ({ x, w, dy }, { eps, offset }) => {
		const r = scaleOf(x, eps);
		const g = mul(dy, add(w, offset));
		if (x.shape[x.rank - 1] === 1) return mul(mul(r, square(r)), mul(g, eps));
		return mul(r, sub(g, mul(mul(x, square(r)), mean(mul(g, x), [-1], { keepDim: true }))));
	},
	reference: ({ x, w, r, dy }, { eps, offset }) => {
		const d = x.shape[x.shape.length - 1];
		const dx = mapRows(x, (row, i) => {
			const g = row.map((_, k) => dy.data[i * d + k] * (offset + w.data[k]));
			if (d === 1) return [r.data[i] ** 3 * eps * g[0]];
			const c = (r.data[i] ** 2 * g.reduce((s, v, k) => s + v * row[k], 0)) / d;
			return row.map((v, k) => r.data[i] * (g[k] - v * c));
		});
		return [dx];
	},
	test: {
		bound: { ulp: 8, abs: 5e-6, why: "the mean of products of size 12, each rounded three times, times 2" },
		domains: { r: { range: [0.3, 1] } },
		variants: [{ offset: 1 }],
		sizes: { D: [1, 2, 5, 16] },
	},
});

export const { alone: rmsNormGradPrimitive, plus: rmsNormGradPlusPrimitive } = rmsNormGrad;

/** The terms dy x r whose sum over the rows is the gradient of w. */
export const rmsNormWeightGradPrimitive = definePrimitive({
	name: "rmsNorm.dw",
	signature: "x[..., D], r[..., 1], dy[..., D] -> dw[..., D]",
	attrs: { eps: 1e-6 },
	forward: ({ runtime, inputs, axes: { D } }) => {
		const [x, r, dy] = [contiguous(inputs.x), contiguous(inputs.r), contiguous(inputs.dy)];
		const dw = runtime.empty(x.shape);
		rmsNormWeightGradKernel.run({ x, r, dy, dw }, { n: dw.size, D }, dw.size);
		return [dw];
	},
	grad: { x: "missing", r: "missing", dy: "missing" },
	composite: ({ x, dy }, { eps }) => mul(dy, mul(x, scaleOf(x, eps))),
	reference: ({ x, r, dy }) => {
		const d = x.shape[x.shape.length - 1];
		return [mapRows(x, (row, i) => row.map((v, k) => dy.data[i * d + k] * v * r.data[i]))];
	},
	test: { bound: { why: "two products" }, domains: { r: { range: [0.3, 1] } } },
});

export const rmsNormPrimitive = definePrimitive({
	name: "rmsNorm",
	signature: "x[..., D], w[D] -> y[..., D], r[..., 1]",
	attrs: { eps: 1e-6, offset: 0 },
	forward: ({ runtime, inputs, attrs: { eps, offset }, axes: { D } }) => {
		const x = contiguous(inputs.x);
		const w = packed(inputs.w);
		const y = runtime.empty(x.shape);
		const r = runtime.empty([...x.shape.slice(0, -1), 1]);
		const variant = rowsOf(runtime, D);
		const params = { rows: r.size, D, ...scaleParams(x, w), eps, offset };
		rmsNormKernel.of(variant).run({ x, w, y, r }, params, laneCount(r.size, variant));
		return [y, r];
	},
	grad: {
		x: {
			saves: ["x", "w", "r"],
			rule: ({ x, w, r, dy }, attrs, _, arrived) => summed(rmsNormGrad, [x, w, r, dy], arrived, attrs)[0],
		},
		w: {
			saves: ["x", "r"],
			rule: ({ x, r, dy }, { eps }, operand) => sumToOperand(rmsNormWeightGradPrimitive.apply([x, r, dy], { eps })[0], operand),
		},
	},
	reference: ({ x, w }, { eps, offset }) => {
		const d = x.shape[x.shape.length - 1];
		const scale = new Float64Array(sizeOf(x.shape) / d);
		const y = mapRows(x, (row, i) => {
			scale[i] = 1 / Math.sqrt(row.reduce((s, v) => s + v * v, 0) / d + eps);
			return row.map((v, k) => v * scale[i] * (offset + w.data[k]));
		});
		return [y, { data: scale, shape: [...x.shape.slice(0, -1), 1] }];
	},
	test: {
		bound: { ulp: 4, why: "inverseSqrt within 2 ULP, of a mean within 2, and two products" },
		variants: [{ offset: 1 }, { eps: 0.1 }],
		sizes: { D: [1, 2, 5, 16] },
	},
});

/**
 * Root-mean-square normalisation over the last axis: y = x r (offset + w), r = (mean(x²) + eps)^(−½). x `[..., D]`, w `[D]`,
 * f32 or f16 → f32 `[..., D]`. `eps` is 1e-6 and `offset` 0 when left out; Gemma stores w − 1, hence offset 1. Accumulates in f32.
 * Source: Zhang and Sennrich 2019, eq. 4.
 * @throws ShapeError when w is not `[D]`, or x has no axis.
 * @throws DTypeError for other types.
 * @throws ValueError when `eps` or `offset` is not finite.
 */
export function rmsNorm(x: Tensor, w: Tensor, options: { eps?: number; offset?: number } = {}): Tensor {
	checkType("rmsNorm", x, FLOATS);
	checkType("rmsNorm", w, FLOATS, "w");
	const { eps, offset } = optionsOf("rmsNorm", options, { eps: "number?", offset: "number?" });
	return rmsNormPrimitive.apply([inF32(x), inF32(w)], { eps, offset })[0];
}
