import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf, checkType } from "./arguments.ts";
import { contiguous } from "./contiguous.ts";
import { alongAxis } from "./expand.ts";
import { gather } from "./indexing.ts";
import { orderKey, type Sorted } from "./sort.ts";

export const cummaxKernel = defineKernel("cummax", ({ dtype, least }: { dtype: DType; least: boolean }) => {
	const { code, nanKey } = orderKey(dtype, "x_at(index * p.N + i)");
	return {
		params: { rows: "u32", N: "u32" },
		buffers: { x: reads(dtype), places: writes("i32") },
		workgroup: 16,
		body: wgsl`
if (index >= p.rows) { return; }
var best = 0u;
var at = 0u;
for (var i = 0u; i < p.N; i++) {
  var key = ${code};
  ${least ? `key = select(~key, key, ${nanKey});` : ""}
  if (i == 0u || key >= best) { best = key; at = i; }
  places_set(index * p.N + i, i32(at));
}`,
	};
});

/** Where the largest value so far stands, for each place of a row; the last of several. */
export const cummaxPrimitive = definePrimitive<{ least: boolean }>({
	name: "cummax",
	signature: "x[..., N] -> places[..., N]",
	dtypes: { x: [...FLOATS, ...INTEGERS] },
	attrs: { least: false },
	forward: ({ runtime, inputs, axes: { N }, attrs: { least } }) => {
		const x = contiguous(inputs.x);
		const places = runtime.empty(x.shape, "i32");
		const rows = sizeOf(x.shape.slice(0, -1));
		cummaxKernel.of({ dtype: x.dtype, least }).run({ x, places }, { rows, N }, rows);
		return [places];
	},
	grad: { x: "none" },
	reference: ({ x }, { least }) => [
		mapRows(x, (row) => {
			let at = 0;
			const wins = (v: number, best: number): boolean => Number.isNaN(v) || (!Number.isNaN(best) && (least ? v <= best : v >= best));
			return row.map((v, i) => {
				if (wins(v, row[at])) at = i;
				return at;
			});
		}),
	],
	test: { bound: { why: "a position" }, variants: [{ least: true }], domains: { x: { whole: [-3, 3] } } },
});

function running(op: string, x: Tensor, axis: number, least: boolean): Sorted {
	checkType(op, x, [...FLOATS, ...INTEGERS]);
	const at = axisOf(op, axis, x);
	const indices = alongAxis(op, x, at, (rows) => cummaxPrimitive.apply([rows], { least })[0]);
	return { values: gather(x, at, indices), indices };
}

/**
 * The largest value so far along an axis, and where it stands, the last of several: torch's cummax. From a NaN on it is NaN. f32,
 * f16, i32 or u32. The gradient goes to where the values stand.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export const cummax = (x: Tensor, axis: number): Sorted => running("cummax", x, axis, false);

/**
 * The smallest value so far along an axis, and where it stands, the last of several: torch's cummin. From a NaN on it is NaN. f32,
 * f16, i32 or u32. The gradient goes to where the values stand.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export const cummin = (x: Tensor, axis: number): Sorted => running("cummin", x, axis, true);
