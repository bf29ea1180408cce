import { type DType, FLOATS, INTEGERS, wgslScalar } from "../dtype.ts";
import { optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Some } from "../options.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./contiguous.ts";
import { alongAxis } from "./expand.ts";

type CumsumAttrs = { reverse: boolean; exclusive: boolean };
/** Sums of floats are f32. */
const runningType = (dtype: DType): DType => (wgslScalar[dtype] === "f32" ? "f32" : dtype);

export const cumsumKernel = defineKernel("cumsum", ({ dtype }: { dtype: DType }) => {
	const scalar = wgslScalar[dtype];
	const [init, step, sum] =
		scalar === "f32" ? ["vec2f(0.0)", "added(acc, x_at(at), p.rows >> 31u)", ".x"] : [`${scalar}(0)`, "acc + x_at(at)", ""];
	return {
		params: { rows: "u32", N: "u32", reverse: "u32", exclusive: "u32" },
		buffers: { x: reads(dtype), y: writes(runningType(dtype)) },
		workgroup: 16,
		body: wgsl`
if (index >= p.rows) { return; }
var acc = ${init};
for (var i = 0u; i < p.N; i++) {
  let at = index * p.N + select(i, p.N - 1u - i, p.reverse == 1u);
  let before = acc;
  acc = ${step};
  y_set(at, select(acc${sum}, before${sum}, p.exclusive == 1u));
}`,
	};
});

export const cumsumPrimitive: Primitive<CumsumAttrs> = definePrimitive<CumsumAttrs>({
	name: "cumsum",
	signature: "x[..., N] -> y[..., N]",
	dtypes: { x: [...FLOATS, ...INTEGERS] },
	attrs: { reverse: false, exclusive: false },
	forward: ({ runtime, inputs, axes: { N }, attrs: { reverse, exclusive } }) => {
		const x = contiguous(inputs.x);
		const y = runtime.empty(x.shape, runningType(x.dtype));
		const rows = sizeOf(x.shape.slice(0, -1));
		const params = { rows, N, reverse: Number(reverse), exclusive: Number(exclusive) };
		cumsumKernel.of({ dtype: x.dtype }).run({ x, y }, params, rows);
		return [y];
	},
	grad: {
		x: {
			saves: [],
			rule: ({ dy }, { reverse, exclusive }) => cumsumPrimitive.apply([dy], { reverse: !reverse, exclusive })[0],
		},
	},
	reference: ({ x }, { reverse, exclusive }) => [
		mapRows(x, (row) => {
			let acc = 0;
			const walk = (values: Float64Array) =>
				values.map((v) => {
					const before = acc;
					acc += v;
					return exclusive ? before : acc;
				});
			return reverse ? walk(row.toReversed()).toReversed() : walk(row);
		}),
	],
	test: {
		bound: { abs: 4e-6, why: "sums of up to 9 values of size 2" },
		variants: [{ reverse: true }, { exclusive: true }, { reverse: true, exclusive: true }],
	},
});

/**
 * Running sum along an axis, in order, with what rounding left over carried along (Kahan): y_i = ∑ x_k over k ≤ i. `reverse` runs
 * from the end, k ≥ i; `exclusive` leaves out the element itself, k < i or k > i; both are false when left out. f32 and f16 give
 * f32; i32 and u32 stay what they are and wrap around.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export function cumsum(x: Tensor, axis: number, options: Some<CumsumAttrs> = {}): Tensor {
	optionsOf("cumsum", options, { reverse: "flag?", exclusive: "flag?" });
	return alongAxis("cumsum", x, axis, (v) => cumsumPrimitive.apply([v], options)[0]);
}
