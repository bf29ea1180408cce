import { definePrimitive, type NdArray } from "../primitive.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { expand } from "./expand.ts";
import { gemm } from "./gemm.ts";
import { referenceProduct } from "./matmul.ts";
import { reshape, transpose, unsqueeze } from "./view.ts";

/** w[B?, N, K] as [..., N, K] over the leading axes of x, without its last. */
function overBatch(w: Tensor, lead: readonly number[]): Tensor {
	const [n, k] = w.shape.slice(-2);
	if (w.rank === 2) return expand(w, [...lead, n, k]);
	let lifted = w;
	while (lifted.rank < lead.length + 2) lifted = unsqueeze(lifted, 1);
	return expand(lifted, [...lead, n, k]);
}

/** x as [..., rows, K], with the sample axis of w (if it has one) before the rows; and the axes before the rows. */
function rowsOf(x: Tensor, w: Tensor): { rows: Tensor; lead: readonly number[] } {
	const least = w.rank;
	let rows = x;
	while (rows.rank < least) rows = unsqueeze(rows, rows.rank - 1);
	return { rows, lead: rows.shape.slice(0, -2) };
}

const swapped = (t: NdArray): NdArray => {
	const [n, k] = t.shape.slice(-2);
	const data = new Float64Array(t.data.length);
	for (let z = 0; z < data.length / (n * k || 1); z++) {
		for (let i = 0; i < n; i++) for (let j = 0; j < k; j++) data[z * n * k + j * n + i] = t.data[z * n * k + i * k + j];
	}
	return { data, shape: [...t.shape.slice(0, -2), k, n] };
};

export const linearPrimitive = definePrimitive({
	name: "linear",
	signature: "x[..., K], w[B?, N, K] -> y[..., N]",
	dtypes: { w: ["f32", "bf16"] },
	attrs: {},
	forward: ({ inputs: { x, w }, axes }) => {
		const { rows, lead } = rowsOf(x, w);
		const y = gemm(rows, transpose(overBatch(w, lead)));
		return [reshape(y, [...x.shape.slice(0, -1), axes.N])];
	},
	grad: {
		x: {
			saves: ["w"],
			rule: ({ dy, w }, _, { shape }) => {
				const { rows, lead } = rowsOf(dy, w);
				return dy.device.scope(() => reshape(gemm(rows, overBatch(w, lead)), shape)).alias({ perSample: dy.perSample });
			},
		},
		w: {
			saves: ["x"],
			rule: ({ dy, x }, _, { shape, perSample }) => {
				const groups = perSample ? [shape[0]] : [];
				const flat = (t: Tensor) => reshape(t, [...groups, -1, t.shape[t.rank - 1]]);
				return dy.device.scope(() => gemm(transpose(flat(dy)), flat(x))).alias({ perSample });
			},
		},
	},
	reference: ({ x, w }) => {
		const k = x.shape[x.shape.length - 1];
		const n = w.shape[w.shape.length - 2];
		const groups = w.shape.length === 3 ? w.shape[0] : 1;
		const rows = sizeOf(x.shape) / k / groups;
		const a = { data: x.data, shape: [groups, rows, k] };
		const y = referenceProduct(a, swapped({ data: w.data, shape: [...(w.shape.length === 3 ? [groups] : []), n, k] }));
		return [{ data: y.data, shape: [...x.shape.slice(0, -1), n] }];
	},
});

/**
 * Linear map without bias: y = x w^T. x[..., K], w[N, K] (or [B, N, K], one matrix a sample), y[..., N].
 * w may be stored in bf16. Accumulates in f32. The gradient of a per-sample w is sum over tokens of dy x^T, per sample.
 */
export function linear(x: Tensor, w: Tensor): Tensor {
	return linearPrimitive.apply([x, w])[0];
}
