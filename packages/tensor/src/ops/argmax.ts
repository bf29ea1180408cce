import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { definePrimitive } from "../primitive.ts";
import { reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf, checkType } from "./arguments.ts";
import { contiguous } from "./contiguous.ts";
import { overAxes, REDUCING, type ReduceOptions } from "./expand.ts";
import { gather } from "./indexing.ts";
import { type Join, laneCount, type RowVariant, rowKernel, rowsOf } from "./rowKernel.ts";
import { orderKey, type Sorted } from "./sort.ts";
import { squeeze } from "./view.ts";

/** The larger key, of equal ones the first place. */
const BETTER: Join = { type: "vec2u", of: (a, b) => `better(${a}, ${b})` };

export const argmaxKernel = defineKernel("argmax", ({ dtype, least, ...variant }: { dtype: DType; least: boolean } & RowVariant) => {
	const { code, nanKey } = orderKey(dtype, "x_at(row * p.N + i)");
	return rowKernel(
		{
			params: { N: "u32" },
			buffers: { x: reads(dtype), y: writes("i32") },
			joins: { rowBest: BETTER },
			helpers: "fn better(a: vec2u, b: vec2u) -> vec2u { return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y)); }",
			body: wgsl`
var best = vec2u(0u, p.N);
for (var i = own; i < p.N; i += LANES) {
  var key = ${code};
  ${least ? `key = select(~key, key, ${nanKey});` : ""}
  best = better(best, vec2u(key, i));
}
best = rowBest(own, best);
if (own == 0u) { y_set(row, i32(best.y)); }`,
		},
		variant,
	);
});

export const argmaxPrimitive = definePrimitive<{ least: boolean }>({
	name: "argmax",
	signature: "x[..., N] -> y[...]",
	dtypes: { x: [...FLOATS, ...INTEGERS] },
	attrs: { least: false },
	forward: ({ runtime, inputs, axes: { N }, attrs: { least } }) => {
		const x = contiguous(inputs.x);
		const y = runtime.empty(x.shape.slice(0, -1), "i32");
		const variant = rowsOf(runtime, N);
		argmaxKernel.of({ dtype: x.dtype, least, ...variant }).run({ x, y }, { rows: y.size, N }, laneCount(y.size, variant));
		return [y];
	},
	grad: { x: "none" },
	reference: ({ x }, { least }) => [
		reduceRows(x, (row) => {
			const nan = row.findIndex(Number.isNaN);
			if (nan >= 0) return nan;
			return row.indexOf(row.reduce((a, b) => (least ? Math.min(a, b) : Math.max(a, b))));
		}),
	],
	test: { bound: { why: "a position" }, nonEmpty: ["N"], variants: [{ least: true }], domains: { x: { whole: [-3, 3] } } },
});

const NUMBERS = [...FLOATS, ...INTEGERS];

function position(op: string, x: Tensor, axis: number | undefined, options: ReduceOptions, least: boolean): Tensor {
	checkType(op, x, NUMBERS);
	expects(op, { axis }, { axis: "whole?" });
	return overAxes(op, x, axis, options, (rows) => {
		if (rows.shape[rows.rank - 1] === 0) throw new ValueError("reduce/empty", `${op}: there is no value to choose from`, { op });
		return argmaxPrimitive.apply([rows], { least })[0];
	});
}

/**
 * Position (i32) of the largest value along `axis`, or, when left out, in row-major order among all values; the first of
 * several. NaN counts as the largest. f32, f16, i32 or u32. No gradient.
 * @throws ValueError when there is no value to choose from, or `axis` is out of range.
 * @throws DTypeError for other types.
 */
export const argmax = (x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor => position("argmax", x, axis, options, false);

/**
 * Position (i32) of the smallest value along `axis`, or, when left out, in row-major order among all values; the first of
 * several. NaN counts as the smallest. f32, f16, i32 or u32. No gradient.
 * @throws ValueError when there is no value to choose from, or `axis` is out of range.
 * @throws DTypeError for other types.
 */
export const argmin = (x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor => position("argmin", x, axis, options, true);

/**
 * The largest value along an axis, and its position, the first of several: torch's max with an axis. NaN counts as the largest.
 * f32, f16, i32 or u32. The gradient goes to that position; `amax` shares it among equals.
 * @throws ValueError when there is no value to choose from, or `axis` is out of range.
 * @throws DTypeError for other types.
 */
export const max = (x: Tensor, axis: number, options: ReduceOptions = {}): Sorted => located("max", x, axis, options, false);

/**
 * The smallest value along an axis, and its position, the first of several: torch's min with an axis. NaN counts as the smallest.
 * f32, f16, i32 or u32. The gradient goes to that position; `amin` shares it among equals.
 * @throws ValueError when there is no value to choose from, or `axis` is out of range.
 * @throws DTypeError for other types.
 */
export const min = (x: Tensor, axis: number, options: ReduceOptions = {}): Sorted => located("min", x, axis, options, true);

function located(op: string, x: Tensor, axis: number, options: ReduceOptions, least: boolean): Sorted {
	checkType(op, x, NUMBERS);
	const { keepDim = false } = optionsOf(op, options, REDUCING);
	const at = axisOf(op, axis, x);
	const kept = position(op, x, at, { keepDim: true }, least);
	const drop = (t: Tensor): Tensor => (keepDim || x.rank === 0 ? t : squeeze(t, at));
	return { values: drop(gather(x, at, kept)), indices: drop(kept) };
}
