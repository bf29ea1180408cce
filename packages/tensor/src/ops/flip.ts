import type { DType } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import { moved } from "../reference.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, axesOf, refuseStorage } from "./arguments.ts";
import { contiguous } from "./contiguous.ts";

export const flipKernel = defineKernel("flip", ({ dtype }: { dtype: DType }) => ({
	params: { n: "u32", extent: "u32", inner: "u32" },
	buffers: { x: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let i = index % p.inner;
let k = (index / p.inner) % p.extent;
let z = index / (p.inner * p.extent);
y_set(index, x_at((z * p.extent + p.extent - 1u - k) * p.inner + i));`,
}));

export const flipPrimitive: LinearOp<number> = defineLinear({
	name: "flip",
	forward: ([view], axis) => {
		const x = contiguous(view);
		const y = x.runtime.empty(x.shape, x.dtype);
		const inner = Math.max(1, sizeOf(x.shape.slice(axis + 2)));
		flipKernel.of({ dtype: x.dtype }).run({ x, y }, { n: y.size, extent: x.shape[axis + 1], inner }, y.size);
		return y;
	},
	adjoint: (dy, axis) => flipPrimitive.apply([dy], axis),
	reference: ([x], axis) => moved(x, x.shape, (index) => index.with(axis, x.shape[axis] - 1 - index[axis])),
	test: { draw: (shape, next) => (shape.length === 0 ? undefined : Math.floor(next() * shape.length)) },
});

/**
 * The order along one axis or several reversed; torch's flip. All dtypes but bf16 and u8.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError when an axis is out of range or named twice.
 */
export function flip(x: Tensor, axes: Axes): Tensor {
	refuseStorage("flip", x);
	return axesOf("flip", x, axes).reduce((t, axis) => flipPrimitive.apply([t], axis), x);
}
