import type { DType } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./contiguous.ts";
import { alongAxis } from "./expand.ts";

export const rollKernel = defineKernel("roll", ({ dtype }: { dtype: DType }) => ({
	params: { n: "u32", N: "u32", back: "u32" },
	buffers: { x: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let k = index % p.N;
y_set(index, x_at(index - k + (k + p.back) % p.N));`,
}));

export const rollPrimitive: Primitive<{ shift: number }> = definePrimitive<{ shift: number }>({
	name: "roll",
	signature: "x[..., N] -> y[..., N]",
	dtypes: { x: ["f32", "i32", "u32", "bool"] },
	attrs: { shift: 1 },
	forward: ({ runtime, inputs, axes: { N }, attrs: { shift } }) => {
		const x = contiguous(inputs.x);
		const y = runtime.empty(x.shape, x.dtype);
		const back = N === 0 ? 0 : (((N - shift) % N) + N) % N;
		rollKernel.of({ dtype: x.dtype }).run({ x, y }, { n: x.size, N, back }, x.size);
		return [y];
	},
	grad: { x: { saves: [], rule: ({ dy }, { shift }) => rollPrimitive.apply([dy], { shift: -shift })[0] } },
	reference: ({ x }, { shift }) => [mapRows(x, (row) => row.map((_, k) => row[(((k - shift) % row.length) + row.length) % row.length]))],
	test: { bound: { why: "moves values" }, variants: [{ shift: -2 }, { shift: 20 }] },
});

/**
 * The elements along an axis, moved on by `shift` places (back when negative); what leaves at one end comes in at the other. As
 * numpy's roll of one axis. f32, i32, u32 or bool.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range or `shift` no whole number.
 */
export const roll = (x: Tensor, shift: number, axis: number): Tensor =>
	alongAxis("roll", x, axis, (v) => rollPrimitive.apply([v], { shift })[0]);
