import { FLOATS } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { QUIET_NAN } from "../gpu/prelude.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { maskedFill } from "./binary.ts";
import { cast } from "./cast.ts";
import { packed } from "./contiguous.ts";
import { NO_PADDING, scatterRows } from "./embedding.ts";
import { outside } from "./indexing.ts";
import { unsqueeze } from "./view.ts";

export const takeRowsKernel = defineKernel("takeRows", {
	params: { n: "u32", T: "i32", D: "u32", P: "u32", share: "u32", sx: "u32", si: "u32", nan: "u32" },
	buffers: { x: reads("f32"), ids: reads("i32"), y: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let record = index / p.D / p.share;
let row = index / p.D % p.share;
let id = ids_at(record * p.si + row);
if (id < 0 || id >= p.T) {
  y_set(index, bitcast<f32>(p.nan));
} else {
  y_set(index, x_at(record * p.sx + (row / p.P * u32(p.T) + u32(id)) * p.D + index % p.D));
}`,
});

type GradAttrs = { T: number };

/** dx[..., t, :] = sum of dy[..., p, :] over the p with ids[..., p] = t, in order. */
export const takeRowsGradPrimitive: Primitive<GradAttrs> = definePrimitive<GradAttrs>({
	name: "takeRows.dx",
	signature: "dy[..., P, D], ids[..., P] -> dx[..., T, D]",
	dtypes: { ids: ["i32"] },
	attrs: { T: 6 },
	forward: ({ inputs: { dy, ids }, axes: { P, D }, attrs: { T } }) => [
		scatterRows(dy, ids, [...dy.shape.slice(0, -2), T, D], P, NO_PADDING),
	],
	grad: {
		dy: {
			saves: ["ids"],
			rule: ({ dy: g, ids }, { T }) => maskedFill(takeRowsPrimitive.apply([g, ids])[0], unsqueeze(outside(ids, T), -1), 0),
		},
		ids: "none",
	},
	reference: ({ dy, ids }, { T }) => {
		const [P, D] = dy.shape.slice(-2);
		const shape = [...dy.shape.slice(0, -2), T, D];
		const data = new Float64Array(sizeOf(shape));
		ids.data.forEach((t, i) => {
			if (t < 0 || t >= T) return;
			const to = (Math.floor(i / P) * T + t) * D;
			for (let k = 0; k < D; k++) data[to + k] += dy.data[i * D + k];
		});
		return [{ data, shape }];
	},
	test: { domains: { ids: { whole: [-1, 7] } }, bound: { abs: 1e-5, why: "sums of up to 9 values of size 2: 9 * 18 * 2^-24" } },
});

export const takeRowsPrimitive: Primitive<Record<string, never>> = definePrimitive({
	name: "takeRows",
	signature: "x[..., T, D], ids[..., P] -> y[..., P, D]",
	dtypes: { ids: ["i32"] },
	attrs: {},
	forward: ({ runtime, inputs, axes: { T, D, P } }) => {
		const [x, ids] = [packed(inputs.x), packed(inputs.ids)];
		const y = runtime.empty([...ids.shape, D]);
		const share = Math.max(1, sizeOf(ids.shape.slice(1)));
		const strides = { sx: x.strides[0], si: ids.strides[0] };
		takeRowsKernel.run({ x, ids, y }, { n: y.size, T, D, P: Math.max(1, P), share, ...strides, nan: QUIET_NAN }, y.size);
		return [y];
	},
	grad: {
		x: {
			saves: ["ids"],
			rule: ({ dy, ids }, _, { shape }) => takeRowsGradPrimitive.apply([dy, ids], { T: shape[shape.length - 2] })[0],
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
		return [{ data, shape: [...ids.shape, D] }];
	},
	test: { bound: { why: "copies values" }, domains: { ids: { belowAxis: "T" } } },
});

/**
 * Rows of each matrix of a batch: `y[..., p, :] = x[..., ids[..., p], :]`. x f32 or f16 `[..., T, D]`, ids i32 `[..., P]` →
 * `[..., P, D]`; leading axes are equal, they do not broadcast. An id outside 0..T−1 gives NaN and no gradient. The gradient
 * adds rows up in a fixed order.
 * @throws ShapeError when the leading axes differ.
 * @throws DTypeError unless x is f32 or f16 and ids are i32.
 */
export function takeRows(x: Tensor, ids: Tensor): Tensor {
	checkType("takeRows", x, FLOATS);
	return cast(takeRowsPrimitive.apply([cast(x, "f32"), ids])[0], x.dtype);
}
