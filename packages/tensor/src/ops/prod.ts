import { definePrimitive } from "../primitive.ts";
import { reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { overAxes, type ReduceOptions } from "./expand.ts";
import { reduceInner } from "./reduceInner.ts";

/** dx_i = dy times the product of the other values: the product before i, then times that behind it. Right with zeros. */
function othersTimes(input: Tensor, dy: Tensor): Tensor {
	const x = contiguous(input);
	const out = x.device.empty(x.shape);
	const N = x.shape[x.rank - 1];
	x.device.run(
		"prod/dx",
		() => ({
			params: { rows: "u32", N: "u32" },
			buffers: { x: { dtype: "f32", access: "read" }, dy: { dtype: "f32", access: "read" }, dx: { dtype: "f32", access: "write" } },
			workgroup: [16, 1, 1],
			body: `
if (index >= p.rows) { return; }
let at = index * p.N;
var before = dy_at(index);
for (var i = 0u; i < p.N; i++) { dx_set(at + i, before); before *= x_at(at + i); }
var behind = 1.0;
for (var i = p.N; i > 0u; i--) { dx_set(at + i - 1u, dx_at(at + i - 1u) * behind); behind *= x_at(at + i - 1u); }`,
		}),
		[x, contiguous(dy), out],
		[dy.size, N],
		dy.size,
	);
	return out;
}

export const prodPrimitive = definePrimitive({
	name: "prod",
	signature: "x[..., N] -> y[...]",
	attrs: {},
	forward: ({ inputs: { x } }) => [reduceInner("prod", x, 1)],
	grad: {
		x: {
			saves: ["x"],
			again: "none",
			rule: ({ x, dy }) => dy.device.scope(() => othersTimes(x, dy)).alias({ perSample: dy.perSample }),
		},
	},
	reference: ({ x }) => [reduceRows(x, (row) => row.reduce((a, b) => a * b, 1))],
	test: { bound: { ulp: 9, why: "up to 9 products" } },
});

/** Product over `axes` (all when left out). */
export const prod = (x: Tensor, axes?: readonly number[], { keepDim = false }: ReduceOptions = {}): Tensor =>
	overAxes("prod", x, axes, keepDim, (v) => prodPrimitive.apply([v])[0]);
