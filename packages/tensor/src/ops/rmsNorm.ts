import { definePrimitive } from "../primitive.ts";
import { mapRows, sampleOffset } from "../reference.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { mul, sub } from "./binary.ts";
import { contiguous } from "./copy.ts";
import { sumToOperand } from "./elementwise.ts";
import { mean } from "./reduce.ts";
import { addScalar, rsqrt, square } from "./unary.ts";

/** How many consecutive rows of x share one entry of w[B?, D]. */
function rowsPerScale(x: Tensor, w: Tensor): number {
	const rows = x.size / Math.max(1, x.shape[x.rank - 1]);
	return w.rank === 1 ? rows : rows / w.shape[0];
}

/** r = (mean(x^2) + eps)^(-1/2), of differentiable operations. */
const scaleOf = (x: Tensor, eps: number): Tensor => rsqrt(addScalar(mean(square(x), [-1], { keepDim: true }), eps));

/** dx = r * (g - x r^2 mean(g x)) with g = dy * (offset + w). */
function backwardX(x: Tensor, w: Tensor, r: Tensor, dy: Tensor, offset: number): Tensor {
	const width = x.shape[x.rank - 1];
	const out = x.device.empty(x.shape);
	const [cx, cw, cdy] = [contiguous(x), contiguous(w), contiguous(dy)];
	const rows = x.size / Math.max(1, width);
	x.device.run(
		"rmsNorm/dx",
		() => ({
			params: { rows: "u32", D: "u32", share: "u32", ws: "u32", offset: "f32" },
			buffers: {
				x: { dtype: "f32", access: "read" },
				w: { dtype: "f32", access: "read" },
				r: { dtype: "f32", access: "read" },
				dy: { dtype: "f32", access: "read" },
				dx: { dtype: "f32", access: "write" },
			},
			workgroup: [16, 1, 1],
			body: `
if (index >= p.rows) { return; }
let at = index * p.D;
let wa = (index / p.share) * p.ws;
let r = r_at(index);
var dot = 0.0;
for (var d = 0u; d < p.D; d++) { dot += dy_at(at + d) * (p.offset + w_at(wa + d)) * x_at(at + d); }
let c = r * r * dot / f32(p.D);
for (var d = 0u; d < p.D; d++) { dx_set(at + d, r * (dy_at(at + d) * (p.offset + w_at(wa + d)) - x_at(at + d) * c)); }`,
		}),
		[cx, cw, r, cdy, out],
		[rows, width, rowsPerScale(x, w), w.rank === 1 ? 0 : width, offset],
		rows,
	);
	return out;
}

export const rmsNormPrimitive = definePrimitive({
	name: "rmsNorm",
	signature: "x[..., D], w[B?, D] -> y[..., D], r[..., 1]",
	attrs: { eps: 1e-6, offset: 0 },
	forward: ({ device, inputs, attrs, axes: { D } }) => {
		const x = contiguous(inputs.x);
		const w = contiguous(inputs.w);
		const y = device.empty(x.shape);
		const r = device.empty([...x.shape.slice(0, -1), 1]);
		device.run(
			"rmsNorm",
			() => ({
				params: { rows: "u32", D: "u32", share: "u32", ws: "u32", eps: "f32", offset: "f32" },
				buffers: {
					x: { dtype: "f32", access: "read" },
					w: { dtype: "f32", access: "read" },
					y: { dtype: "f32", access: "write" },
					r: { dtype: "f32", access: "write" },
				},
				workgroup: [16, 1, 1],
				body: `
if (index >= p.rows) { return; }
let at = index * p.D;
let wa = (index / p.share) * p.ws;
var sum = 0.0;
for (var d = 0u; d < p.D; d++) { let v = x_at(at + d); sum += v * v; }
let r = inverseSqrt(sum / f32(p.D) + p.eps);
r_set(index, r);
for (var d = 0u; d < p.D; d++) { y_set(at + d, x_at(at + d) * r * (p.offset + w_at(wa + d))); }`,
			}),
			[x, w, y, r],
			[r.size, D, rowsPerScale(x, w), w.rank === 1 ? 0 : D, attrs.eps, attrs.offset],
			r.size,
		);
		return [y, r];
	},
	grad: {
		x: {
			saves: ["x", "w", "r"],
			rule: ({ x, w, r, dy }, { offset }) => dy.device.scope(() => backwardX(x, w, r, dy, offset)).alias({ perSample: dy.perSample }),
			again: ({ x, w, dy }, { eps, offset }) => {
				const r = scaleOf(x, eps);
				const g = mul(dy, addScalar(w, offset));
				return mul(r, sub(g, mul(mul(x, square(r)), mean(mul(g, x), [-1], { keepDim: true }))));
			},
		},
		w: {
			saves: ["x", "r"],
			rule: ({ x, r, dy }, _, operand) => sumToOperand(mul(dy, mul(x, r)), operand),
			again: ({ x, dy }, { eps }, operand) => sumToOperand(mul(dy, mul(x, scaleOf(x, eps))), operand),
		},
	},
	reference: ({ x, w }, { eps, offset }) => {
		const d = x.shape[x.shape.length - 1];
		const rows = sizeOf(x.shape) / d;
		const scale = new Float64Array(rows);
		const y = mapRows(x, (row, i) => {
			scale[i] = 1 / Math.sqrt(row.reduce((s, v) => s + v * v, 0) / d + eps);
			const wa = sampleOffset(w, 1, i, rows);
			return row.map((v, k) => v * scale[i] * (offset + w.data[wa + k]));
		});
		return [y, { data: scale, shape: [...x.shape.slice(0, -1), 1] }];
	},
	test: {
		bound: { ulp: 20, abs: 1e-6, why: "inverseSqrt within 2 ULP of a sum of up to 16 squares" },
		variants: [{ offset: 1 }, { eps: 0.1 }],
		sizes: { D: [1, 2, 5, 16] },
	},
});

/**
 * Root-mean-square normalisation over the last axis: y = x r (offset + w), r = (mean(x^2) + eps)^(-1/2).
 * x[..., D], w[D] (or [B, D], one scale a sample). Gemma stores w - 1, hence offset 1. Accumulates in f32.
 * Source: Zhang and Sennrich 2019, eq. 4.
 */
export function rmsNorm(x: Tensor, w: Tensor, { eps = 1e-6, offset = 0 } = {}): Tensor {
	return rmsNormPrimitive.apply([x, w], { eps, offset })[0];
}
