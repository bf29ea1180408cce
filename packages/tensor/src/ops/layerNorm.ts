import { definePrimitive } from "../primitive.ts";
import { mapRows, reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { add, mul, sub } from "./binary.ts";
import { contiguous } from "./copy.ts";
import { mean, variance } from "./reduce.ts";
import { addScalar, rsqrt } from "./unary.ts";

const momentsOf = (row: Float64Array): { m: number; v: number } => {
	const m = row.reduce((a, b) => a + b, 0) / row.length;
	return { m, v: row.reduce((a, b) => a + (b - m) ** 2, 0) / row.length };
};

/** dx = r (dy - mean(dy) - y mean(dy y)). */
function backward(y: Tensor, r: Tensor, dy: Tensor): Tensor {
	const along = (t: Tensor): Tensor => mean(t, [-1], { keepDim: true });
	return mul(r, sub(sub(dy, along(dy)), mul(y, along(mul(dy, y)))));
}

export const standardizePrimitive = definePrimitive({
	name: "standardize",
	signature: "x[..., D] -> y[..., D], r[..., 1]",
	attrs: { eps: 1e-5 },
	forward: ({ device, inputs, attrs, axes: { D } }) => {
		const x = contiguous(inputs.x);
		const y = device.empty(x.shape);
		const r = device.empty([...x.shape.slice(0, -1), 1]);
		device.run(
			"standardize",
			() => ({
				params: { rows: "u32", D: "u32", eps: "f32" },
				buffers: { x: { dtype: "f32", access: "read" }, y: { dtype: "f32", access: "write" }, r: { dtype: "f32", access: "write" } },
				workgroup: [16, 1, 1],
				body: `
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
			}),
			[x, y, r],
			[r.size, D, attrs.eps],
			r.size,
		);
		return [y, r];
	},
	grad: {
		x: {
			saves: ["x", "y", "r"],
			rule: ({ y, r, dy }) => backward(y, r, dy),
			again: ({ x, y, dy }, { eps }) => backward(y, rsqrt(addScalar(variance(x, [-1], { correction: 0, keepDim: true }), eps)), dy),
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

export interface LayerNormOptions {
	/** Scale [D]; 1 when left out. */
	readonly weight?: Tensor;
	/** Shift [D]; 0 when left out. */
	readonly bias?: Tensor;
	readonly eps?: number;
}

/**
 * Layer normalisation over the last axis: y = (x - mean) / sqrt(variance + eps) * weight + bias, the variance without
 * correction. Accumulates in f32. Source: Ba, Kiros and Hinton 2016.
 */
export function layerNorm(x: Tensor, { weight, bias, eps = 1e-5 }: LayerNormOptions = {}): Tensor {
	const y = standardizePrimitive.apply([x], { eps })[0];
	const scaled = weight === undefined ? y : mul(y, weight);
	return bias === undefined ? scaled : add(scaled, bias);
}
