import { INTEGERS } from "../dtype.ts";
import { definePrimitive } from "../primitive.ts";
import { reduceRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import type { Axes } from "./arguments.ts";
import { mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { productBefore } from "./cumprod.ts";
import { overAxes, type ReduceOptions } from "./expand.ts";
import { reduceInner } from "./reduceInner.ts";
import { unsqueeze } from "./view.ts";

export const prodPrimitive = definePrimitive({
	name: "prod",
	signature: "x[..., N] -> y[...]",
	dtypes: { x: ["f32", "f16", ...INTEGERS] },
	attrs: {},
	forward: ({ inputs: { x } }) => [reduceInner("prod", x, 1)],
	grad: {
		x: {
			saves: ["x"],
			rule: ({ x, dy }) => {
				const v = cast(x, "f32");
				return mul(mul(productBefore(v, false), productBefore(v, true)), unsqueeze(dy, -1));
			},
		},
	},
	reference: ({ x }) => [reduceRows(x, (row) => row.reduce((a, b) => a * b, 1))],
	test: { bound: { ulp: 9, why: "up to 9 products" } },
});

/**
 * Product over `axes` (one or several; all when left out); of nothing it is 1. f32 and f16 give f32; i32 and u32 stay what they
 * are and wrap around. The gradient is the product of the other values, right with zeros.
 * @throws DTypeError for other types.
 * @throws ValueError when an axis is out of range or named twice.
 */
export const prod = (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor =>
	overAxes("prod", x, axes, options, (v) => prodPrimitive.apply([v])[0]);
