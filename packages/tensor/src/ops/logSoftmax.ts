import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { mul, sub } from "./binary.ts";
import { alongAxis, sum } from "./expand.ts";
import { EXP_SUM, logTotal, softmaxRows } from "./softmaxRows.ts";
import { exp } from "./unary.ts";

export const logSoftmaxPrimitive = definePrimitive({
	name: "logSoftmax",
	signature: "x[..., N] -> y[..., N]",
	attrs: {},
	forward: ({ inputs: { x } }) => [softmaxRows("logSoftmax", x, x.shape)],
	grad: {
		x: { saves: ["y"], rule: ({ y, dy }) => sub(dy, mul(exp(y), sum(dy, [-1], { keepDim: true }))) },
	},
	reference: ({ x }) => [
		mapRows(x, (row) => {
			const total = logTotal(row);
			return row.map((v) => v - total);
		}),
	],
	test: { bound: EXP_SUM },
});

/** Logarithm of the softmax along an axis. */
export const logSoftmax = (x: Tensor, axis = -1): Tensor => alongAxis("logSoftmax", x, axis, (v) => logSoftmaxPrimitive.apply([v])[0]);
