import { definePrimitive, type NdArray } from "../primitive.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { NO_PADDING, QUIET_NAN, scatterRows } from "./embedding.ts";

export const takeRowsPrimitive = definePrimitive({
	name: "takeRows",
	signature: "x[..., T, D], ids[..., P] -> y[..., P, D]",
	dtypes: { ids: ["i32"] },
	attrs: {},
	forward: ({ device, inputs, axes: { T, D, P } }) => {
		const x = contiguous(inputs.x);
		const ids = contiguous(inputs.ids);
		const y = device.empty([...ids.shape, D]);
		device.run(
			"takeRows",
			() => ({
				params: { n: "u32", T: "i32", D: "u32", P: "u32", nan: "u32" },
				buffers: {
					x: { dtype: "f32", access: "read" },
					ids: { dtype: "i32", access: "read" },
					y: { dtype: "f32", access: "write" },
				},
				workgroup: [64, 1, 1],
				body: `
if (index >= p.n) { return; }
let row = index / p.D;
let id = ids_at(row);
if (id < 0 || id >= p.T) {
  y_set(index, bitcast<f32>(p.nan));
} else {
  y_set(index, x_at((row / p.P * u32(p.T) + u32(id)) * p.D + index % p.D));
}`,
			}),
			[x, ids, y],
			[y.size, T, D, Math.max(1, P), QUIET_NAN],
			y.size,
		);
		return [y];
	},
	grad: {
		x: {
			saves: ["ids"],
			again: "none",
			rule: ({ dy, ids }, _, { shape, perSample }) =>
				dy.device.scope(() => {
					const [T, D] = shape.slice(-2);
					const flat = scatterRows(dy, ids, [sizeOf(shape.slice(0, -2)), T, D], NO_PADDING);
					return flat.alias({ shape, perSample });
				}),
		},
		ids: "none",
	},
	reference: ({ x, ids }) => {
		const [T, D] = x.shape.slice(-2);
		const P = ids.shape[ids.shape.length - 1];
		const data = new Float64Array(ids.data.length * D);
		ids.data.forEach((id, i) => {
			const from = (Math.floor(i / P) * T + id) * D;
			data.set(x.data.subarray(from, from + D), i * D);
		});
		return [{ data, shape: [...ids.shape, D] } satisfies NdArray];
	},
	test: { bound: { why: "copies values" }, domains: { ids: { belowAxis: "T" } } },
});

/**
 * Rows of each matrix of a batch: y[..., p, :] = x[..., ids[..., p], :]. x [..., T, D], ids i32 [..., P] within 0..T-1;
 * an id outside gives NaN. The gradient adds rows up in a fixed order.
 */
export function takeRows(x: Tensor, ids: Tensor): Tensor {
	return takeRowsPrimitive.apply([x, ids])[0];
}
