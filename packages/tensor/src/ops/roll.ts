import { definePrimitive, type Primitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { alongAxis } from "./expand.ts";

export const rollPrimitive: Primitive<{ shift: number }> = definePrimitive<{ shift: number }>({
	name: "roll",
	signature: "x[..., N] -> y[..., N]",
	dtypes: { x: ["f32", "i32", "u32", "bool"] },
	attrs: { shift: 1 },
	forward: ({ device, inputs, axes: { N }, attrs: { shift } }) => {
		const x = contiguous(inputs.x);
		const y = device.empty(x.shape, x.dtype);
		device.run(
			`roll/${x.dtype}`,
			() => ({
				params: { n: "u32", N: "u32", back: "u32" },
				buffers: { x: { dtype: x.dtype, access: "read" }, y: { dtype: x.dtype, access: "write" } },
				workgroup: [64, 1, 1],
				body: `
if (index >= p.n) { return; }
let k = index % p.N;
y_set(index, x_at(index - k + (k + p.back) % p.N));`,
			}),
			[x, y],
			[x.size, N, N === 0 ? 0 : (((N - shift) % N) + N) % N],
			x.size,
		);
		return [y];
	},
	grad: { x: { saves: [], rule: ({ dy }, { shift }) => rollPrimitive.apply([dy], { shift: -shift })[0] } },
	reference: ({ x }, { shift }) => [mapRows(x, (row) => row.map((_, k) => row[(((k - shift) % row.length) + row.length) % row.length]))],
	test: { bound: { why: "moves values" }, variants: [{ shift: -2 }, { shift: 20 }] },
});

/** The elements along an axis, moved on by `shift` places; what leaves at one end comes in at the other. */
export const roll = (x: Tensor, shift: number, axis: number): Tensor =>
	alongAxis("roll", x, axis, (v) => rollPrimitive.apply([v], { shift })[0]);
