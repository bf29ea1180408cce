import { FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { definePrimitive } from "../primitive.ts";
import { reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import type { Axes } from "./arguments.ts";
import { refuseStorage } from "./arguments.ts";
import { div, eq, mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { overAxes, type ReduceOptions, sum } from "./expand.ts";
import { reduceInner } from "./reduceInner.ts";
import { unsqueeze } from "./view.ts";

export const amaxPrimitive = definePrimitive<{ least: boolean }>({
	name: "amax",
	signature: "x[..., N] -> y[...]",
	dtypes: { x: [...FLOATS, ...INTEGERS, "bool"] },
	attrs: { least: false },
	forward: ({ inputs: { x }, attrs }) => [reduceInner(attrs.least ? "min" : "max", x, 1)],
	grad: {
		x: {
			saves: ["x", "y"],
			rule: ({ x, y, dy }) => {
				const hits = cast(eq(x, unsqueeze(y, -1)), "f32");
				return mul(div(hits, sum(hits, [-1], { keepDim: true })), unsqueeze(dy, -1));
			},
		},
	},
	reference: ({ x }, { least }) => [reduceRows(x, (row) => row.reduce((a, b) => (least ? Math.min(a, b) : Math.max(a, b))))],
	test: { bound: { why: "gives one of the values" }, nonEmpty: ["N"], variants: [{ least: true }] },
});

function extreme(op: string, x: Tensor, axes: Axes | undefined, options: ReduceOptions, least: boolean): Tensor {
	refuseStorage(op, x);
	return overAxes(op, x, axes, options, (rows) => {
		if (rows.shape[rows.rank - 1] === 0) throw new ValueError("reduce/empty", `${op}: there is no value to choose from`, { op });
		return amaxPrimitive.apply([rows], { least })[0];
	});
}

/**
 * Largest value over `axes` (all when left out), NaN if one is. f32 and f16 give f32; i32, u32 and bool stay what they are.
 * Where several are largest they share the gradient equally, as torch's amax; `max` gives it to one.
 * @throws ValueError when there is no value to choose from, or an axis is out of range or named twice.
 * @throws DTypeError for bf16 and u8.
 */
export const amax = (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor => extreme("amax", x, axes, options, false);

/**
 * Smallest value over `axes` (all when left out), NaN if one is. f32 and f16 give f32; i32, u32 and bool stay what they are.
 * Where several are smallest they share the gradient equally, as torch's amin; `min` gives it to one.
 * @throws ValueError when there is no value to choose from, or an axis is out of range or named twice.
 * @throws DTypeError for bf16 and u8.
 */
export const amin = (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor => extreme("amin", x, axes, options, true);
