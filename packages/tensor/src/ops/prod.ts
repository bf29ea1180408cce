import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows, reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./contiguous.ts";
import { overAxes, type ReduceOptions } from "./expand.ts";
import { reduceInner } from "./reduceInner.ts";

export const prodGradKernel = defineKernel("prod/dx", {
	params: { rows: "u32", N: "u32" },
	buffers: { x: reads("f32"), dy: reads("f32"), dx: writes("f32") },
	workgroup: 16,
	body: wgsl`
if (index >= p.rows) { return; }
let at = index * p.N;
var before = dy_at(index);
for (var i = 0u; i < p.N; i++) { dx_set(at + i, before); before *= x_at(at + i); }
var behind = 1.0;
for (var i = p.N; i > 0u; i--) { dx_set(at + i - 1u, dx_at(at + i - 1u) * behind); behind *= x_at(at + i - 1u); }`,
});

/** dx_i = dy times the product of the other values: the product before i, then times that behind it. Right with zeros. */
export const prodGradPrimitive = definePrimitive({
	name: "prod.dx",
	signature: "x[..., N], dy[...] -> dx[..., N]",
	attrs: {},
	forward: ({ runtime, inputs, axes: { N } }) => {
		const [x, dy] = [contiguous(inputs.x), contiguous(inputs.dy)];
		const dx = runtime.empty(x.shape);
		prodGradKernel.run({ x, dy, dx }, { rows: dy.size, N }, dy.size);
		return [dx];
	},
	grad: { x: "missing", dy: "missing" },
	reference: ({ x, dy }) => [mapRows(x, (row, i) => row.map((_, own) => row.reduce((a, v, k) => (k === own ? a : a * v), dy.data[i])))],
	test: { bound: { ulp: 10, why: "up to 10 products" } },
});

export const prodPrimitive = definePrimitive({
	name: "prod",
	signature: "x[..., N] -> y[...]",
	attrs: {},
	forward: ({ inputs: { x } }) => [reduceInner("prod", x, 1)],
	grad: {
		x: { saves: ["x"], rule: ({ x, dy }) => prodGradPrimitive.apply([x, dy])[0] },
	},
	reference: ({ x }) => [reduceRows(x, (row) => row.reduce((a, b) => a * b, 1))],
	test: { bound: { ulp: 9, why: "up to 9 products" } },
});

/**
 * Product over `axes` (all when left out); of nothing it is 1. The gradient is the product of the other values, right with
 * zeros; it has no gradient of its own.
 * @throws DTypeError unless x is f32.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const prod = (x: Tensor, axes?: readonly number[], { keepDim = false }: ReduceOptions = {}): Tensor =>
	overAxes("prod", x, axes, keepDim, (v) => prodPrimitive.apply([v])[0]);
