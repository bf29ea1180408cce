import type { DType } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import { shown } from "../shown.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, axesOf } from "./arguments.ts";
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
	dtypes: { x: ["f32", "f16", "i32", "u32", "bool"] },
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
 * The elements along an axis, moved on by `shift` places (back when negative); what leaves at one end comes in at the other. Of
 * lists, each shift goes with its axis; as numpy's and torch's roll with axes. f32, f16, i32, u32 or bool.
 * @throws DTypeError for other types.
 * @throws ValueError when an axis is out of range or named twice, a shift is no whole number, or there are not as many of both.
 */
export function roll(x: Tensor, shift: number | readonly number[], axis: Axes): Tensor {
	expects("roll", { x, shift, axis }, { x: "tensor", shift: "axes", axis: "axes" });
	const axes = axesOf("roll", x, axis);
	const shifts = typeof shift === "number" ? axes.map(() => shift) : shift;
	if (shifts.length !== axes.length && x.rank > 0) {
		throw new ValueError("roll/shifts", `roll: shifts ${shown(shift)} do not go with axes ${shown(axis)}`, { op: "roll" });
	}
	return axes.reduce((y, at, i) => alongAxis("roll", y, at, (v) => rollPrimitive.apply([v], { shift: shifts[i] })[0]), x);
}
