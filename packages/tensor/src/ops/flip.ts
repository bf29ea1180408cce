import type { DType } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import { moved } from "../reference.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, axesOf, refuseStorage } from "./arguments.ts";
import { contiguous } from "./contiguous.ts";
import { transpose } from "./view.ts";

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

/**
 * A quarter turn, `k` times, from the first of two axes (0 and 1 when left out) towards the second; negative k turn back: numpy's and
 * torch's rot90. All dtypes but bf16 and u8.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError when k is no whole number, an axis is out of range, or there are not two.
 */
export function rot90(x: Tensor, k = 1, axes: readonly number[] = [0, 1]): Tensor {
	expects("rot90", { x, k, axes }, { x: "tensor", k: "whole", axes: "list" });
	refuseStorage("rot90", x);
	const [a, b, ...more] = axesOf("rot90", x, axes);
	if (b === undefined || more.length > 0) throw new ValueError("axis/list", `rot90: axes [${axes}] are not two`, { op: "rot90" });
	const turns = ((k % 4) + 4) % 4;
	const flipped = (turns > 1 ? [a] : [])
		.concat(turns === 1 || turns === 2 ? [b] : [])
		.reduce((t, axis) => flipPrimitive.apply([t], axis), x);
	return turns % 2 === 1 ? transpose(flipped, a, b) : flipped;
}
