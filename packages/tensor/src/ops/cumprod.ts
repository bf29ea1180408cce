import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Some } from "../options.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { contiguous } from "./contiguous.ts";
import { ones } from "./create.ts";
import { alongAxis, expand } from "./expand.ts";
import { place, slice } from "./slice.ts";

export const recurrenceKernel = defineKernel("recurrence", ({ dtype }: { dtype: DType }) => ({
	params: { rows: "u32", N: "u32", reverse: "u32" },
	buffers: { a: reads(dtype), b: reads(dtype), y: writes(dtype) },
	workgroup: 16,
	body: wgsl`
if (index >= p.rows || p.N == 0u) { return; }
var at = index * p.N + select(0u, p.N - 1u, p.reverse == 1u);
var acc = b_at(at);
y_set(at, acc);
for (var i = 1u; i < p.N; i++) {
  at = select(at + 1u, at - 1u, p.reverse == 1u);
  acc = a_at(at) * acc + b_at(at);
  y_set(at, acc);
}`,
}));

/** The rows moved by one place, up or down, with a zero where nothing comes from. */
function moved(x: Tensor, up: boolean): Tensor {
	const extent = x.shape[x.rank - 1];
	if (extent === 0) return x;
	const kept = up ? slice(x, -1, 0, extent - 1) : slice(x, -1, 1);
	return place(kept, { axis: x.rank - 1, start: up ? 1 : 0, count: extent - 1, step: 1, extent });
}

/** y_i = a_i y_{i−1} + b_i along rows, from y_0 = b_0 on, or in reverse from the end: every running product is made of it. */
export const recurrencePrimitive: Primitive<{ reverse: boolean }> = definePrimitive<{ reverse: boolean }>({
	name: "recurrence",
	signature: "a[..., N], b[..., N] -> y[..., N]",
	dtypes: { a: ["f32", ...INTEGERS], b: ["f32", ...INTEGERS] },
	attrs: { reverse: false },
	forward: ({ runtime, inputs, axes: { N }, attrs: { reverse } }) => {
		const [a, b] = [contiguous(inputs.a), contiguous(inputs.b)];
		const y = runtime.empty(b.shape, b.dtype);
		const rows = sizeOf(b.shape.slice(0, -1));
		recurrenceKernel.of({ dtype: b.dtype }).run({ a, b, y }, { rows, N, reverse: Number(reverse) }, rows);
		return [y];
	},
	grad: {
		a: { saves: ["a", "y"], rule: ({ dy, a, y }, { reverse }) => mul(behind(dy, a, reverse), moved(y, !reverse)) },
		b: { saves: ["a"], rule: ({ dy, a }, { reverse }) => behind(dy, a, reverse) },
	},
	reference: ({ a, b }, { reverse }) => {
		const N = b.shape[b.shape.length - 1];
		return [
			mapRows(b, (row, r) => {
				const y = new Float64Array(N);
				for (let k = 0; k < N; k++) {
					const [i, last] = reverse ? [N - 1 - k, N - k] : [k, k - 1];
					y[i] = k === 0 ? row[i] : a.data[r * N + i] * y[last] + row[i];
				}
				return y;
			}),
		];
	},
	test: {
		domains: { a: { range: [-1, 1] } },
		bound: { abs: 1e-5, why: "sums of up to 9 products below 9, each rounded twice" },
		variants: [{ reverse: true }],
	},
});

/** The gradient by b: what each place passes on to those behind it. */
const behind = (dy: Tensor, a: Tensor, reverse: boolean): Tensor =>
	recurrencePrimitive.apply([moved(a, reverse), dy], { reverse: !reverse })[0];

/** The product of the elements before each one in its row, or, in reverse, behind it; 1 where there are none. Not for f16. */
export function productBefore(x: Tensor, reverse: boolean): Tensor {
	const extent = x.shape[x.rank - 1];
	if (extent === 0) return x;
	const one = place(ones(x.device, [1], x.dtype), { axis: 0, start: reverse ? extent - 1 : 0, count: 1, step: 1, extent });
	return recurrencePrimitive.apply([moved(x, !reverse), expand(one, x.shape)], { reverse })[0];
}

/** Options of `cumprod`. */
export interface CumprodOptions {
	/** From the end; false when left out. */
	readonly reverse: boolean;
	/** Without the element itself; false when left out. */
	readonly exclusive: boolean;
}

/**
 * Running product along an axis, in order: y_i = ∏ x_k over k ≤ i. `reverse` runs from the end, k ≥ i; `exclusive` leaves out the
 * element itself, k < i or k > i; both are false when left out. f32 and f16 give f32; i32 and u32 stay what they are and wrap
 * around. The gradient is right with zeros.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export function cumprod(x: Tensor, axis: number, options: Some<CumprodOptions> = {}): Tensor {
	checkType("cumprod", x, [...FLOATS, ...INTEGERS]);
	const { reverse = false, exclusive = false } = optionsOf("cumprod", options, { reverse: "flag?", exclusive: "flag?" });
	return alongAxis("cumprod", x, axis, (rows) => {
		const v = rows.dtype === "f16" ? cast(rows, "f32") : rows;
		return exclusive ? productBefore(v, reverse) : mul(v, productBefore(v, reverse));
	});
}
