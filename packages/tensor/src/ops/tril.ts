import { type DType, FLOATS, wgslScalar } from "../dtype.ts";
import { expects } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { blaming } from "../named.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { contiguous } from "./contiguous.ts";

type TriangleAttrs = { diagonal: number; upper: boolean };
const TYPES: readonly DType[] = [...FLOATS, "i32", "u32", "bool"];

export const trilKernel = defineKernel("tril", ({ dtype }: { dtype: DType }) => ({
	params: { n: "u32", M: "u32", N: "u32", diagonal: "i32", upper: "u32" },
	buffers: { x: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let above = i32(index % p.N) - i32(index / p.N % p.M) - p.diagonal;
y_set(index, select(${wgslScalar[dtype]}(0), x_at(index), select(above <= 0, above >= 0, p.upper == 1u)));`,
}));

export const trilPrimitive: Primitive<TriangleAttrs> = definePrimitive<TriangleAttrs>({
	name: "tril",
	signature: "x[..., M, N] -> y[..., M, N]",
	dtypes: { x: TYPES },
	attrs: { diagonal: 0, upper: false },
	forward: ({ runtime, inputs, axes: { M, N }, attrs: { diagonal, upper } }) => {
		const x = contiguous(inputs.x);
		const y = runtime.empty(x.shape, x.dtype);
		trilKernel.of({ dtype: x.dtype }).run({ x, y }, { n: y.size, M, N, diagonal, upper: Number(upper) }, y.size);
		return [y];
	},
	grad: { x: { saves: [], rule: ({ dy }, attrs) => trilPrimitive.apply([dy], attrs)[0] } },
	reference: ({ x }, { diagonal, upper }) => {
		const [M, N] = x.shape.slice(-2);
		const keeps = (i: number): boolean => {
			const above = (i % N) - (Math.floor(i / N) % M) - diagonal;
			return upper ? above >= 0 : above <= 0;
		};
		return [{ data: x.data.map((v, i) => (keeps(i) ? v : 0)), shape: x.shape }];
	},
	test: { bound: { why: "copies values" }, variants: [{ diagonal: 2 }, { upper: true, diagonal: -1 }] },
});

/**
 * The part of each matrix on and below a diagonal, 0 elsewhere: `[..., M, N]` → `[..., M, N]`. Of ones of bool it is a mask. `diagonal` counts up from the
 * main one: 0 (when left out) is it, 1 the one above it, −1 the one below. f32, f16, i32, u32 or bool.
 * @throws ShapeError when x has fewer than two axes.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError when `diagonal` is no whole number.
 */
export const tril = (x: Tensor, diagonal = 0): Tensor => triangle("tril", x, diagonal, false);

/**
 * The part of each matrix on and above a diagonal, 0 elsewhere: `[..., M, N]` → `[..., M, N]`. Of ones of bool it is a mask. `diagonal` counts up from the
 * main one: 0 (when left out) is it, 1 the one above it, −1 the one below. f32, f16, i32, u32 or bool.
 * @throws ShapeError when x has fewer than two axes.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError when `diagonal` is no whole number.
 */
export const triu = (x: Tensor, diagonal = 0): Tensor => triangle("triu", x, diagonal, true);

function triangle(op: string, x: Tensor, diagonal: number, upper: boolean): Tensor {
	checkType(op, x, TYPES);
	expects(op, { diagonal }, { diagonal: "whole" });
	return blaming(op, () => trilPrimitive.apply([x], { diagonal, upper })[0]);
}
