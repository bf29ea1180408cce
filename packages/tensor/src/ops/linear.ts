import { bytesPerElement, FLOATS } from "../dtype.ts";
import { type Attrs, definePrimitive, type NdArray, type Primitive } from "../primitive.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { expand } from "./expand.ts";
import { gemm } from "./gemm.ts";
import { matmul, referenceProduct } from "./matmul.ts";
import { noFurtherGradient } from "./traced.ts";
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

/** Rows of a shared matrix that fit one storage binding; all of them for most. */
function rowsPerBinding(w: Tensor): number {
	const [n, k] = w.shape.slice(-2);
	const limit = w.device.gpu.limits.maxStorageBufferBindingSize;
	return w.rank > 2 || w.bytes <= limit ? n : Math.max(8, Math.floor((limit / (k * bytesPerElement[w.dtype]) - 1) / 8) * 8);
}

/** x [M, K] times w^T, w [N, K] larger than one binding: columns of the result, one run of rows of w after the other. */
function shardedForward(x: Tensor, w: Tensor, step: number): Tensor {
	const [n] = w.shape;
	const [m] = x.shape;
	const y = x.device.empty([m, n]);
	for (let first = 0; first < n; first += step) {
		const rows = Math.min(step, n - first);
		const columns = y.alias({ shape: [m, rows], strides: [n, 1], offset: first });
		gemm(x, transpose(rowRun(w, first, rows)), { tensor: columns, batchStride: 0, rowStride: n, accumulate: false });
	}
	return y.alias({ shape: [m, n], strides: [n, 1] });
}

/** dy [M, N] times w, summed over the same runs in order. */
function shardedBackward(dy: Tensor, w: Tensor, step: number): Tensor {
	const [n, k] = w.shape;
	const [m] = dy.shape;
	const dx = dy.device.empty([m, k]);
	for (let first = 0; first < n; first += step) {
		const rows = Math.min(step, n - first);
		const columns = dy.alias({ shape: [m, rows], strides: dy.strides, offset: dy.offset + first * dy.strides[1] });
		gemm(columns, rowRun(w, first, rows), { tensor: dx, batchStride: 0, accumulate: first > 0 });
	}
	return dx;
}

const rowRun = (w: Tensor, first: number, rows: number): Tensor =>
	w.alias({ shape: [rows, w.shape[1]], strides: w.strides, offset: w.offset + first * w.strides[0] });

/** x [..., D] as one matrix. */
const matrix = (x: Tensor): Tensor => reshape(x.alias({ perSample: false }), [-1, x.shape[x.rank - 1]]);

const swapped = (t: NdArray): NdArray => {
	const [n, k] = t.shape.slice(-2);
	const data = new Float64Array(t.data.length);
	for (let z = 0; z < data.length / (n * k || 1); z++) {
		for (let i = 0; i < n; i++) for (let j = 0; j < k; j++) data[z * n * k + j * n + i] = t.data[z * n * k + i * k + j];
	}
	return { data, shape: [...t.shape.slice(0, -2), k, n] };
};

export const linearPrimitive: Primitive<Attrs> = definePrimitive<Attrs>({
	name: "linear",
	signature: "x[..., K], w[B?, N, K] -> y[..., N]",
	dtypes: { x: FLOATS, w: ["f32", "f16", "bf16"] },
	attrs: {},
	forward: ({ inputs: { x, w }, axes }) => {
		const step = rowsPerBinding(w);
		if (step < axes.N) return [reshape(shardedForward(matrix(x), w, step), [...x.shape.slice(0, -1), axes.N])];
		const { rows, lead } = rowsOf(x, w);
		const y = gemm(rows, transpose(overBatch(w, lead)));
		return [reshape(y, [...x.shape.slice(0, -1), axes.N])];
	},
	grad: {
		x: {
			saves: ["w"],
			rule: ({ dy, w }, _, { shape }) => {
				const step = rowsPerBinding(w);
				if (step === w.shape[w.rank - 2]) return linear(dy, transpose(w));
				const dx = dy.device.scope(() => reshape(shardedBackward(matrix(dy), w, step), shape)).alias({ perSample: dy.perSample });
				return noFurtherGradient("linear", [dy, w], dx);
			},
		},
		w: {
			saves: ["x"],
			rule: ({ dy, x }, _, { shape, perSample }) => {
				const groups = perSample ? [shape[0]] : [];
				const flat = (t: Tensor) => reshape(t, [...groups, sizeOf(t.shape.slice(groups.length, -1)), t.shape[t.rank - 1]]);
				return matmul(transpose(flat(dy)), flat(x));
			},
		},
	},
	reference: ({ x, w }) => {
		const k = x.shape[x.shape.length - 1];
		const n = w.shape[w.shape.length - 2];
		const groups = w.shape.length === 3 ? w.shape[0] : 1;
		const rows = sizeOf(x.shape.slice(0, -1)) / groups;
		const a = { data: x.data, shape: [groups, rows, k] };
		const y = referenceProduct(a, swapped({ data: w.data, shape: [...(w.shape.length === 3 ? [groups] : []), n, k] }));
		return [{ data: y.data, shape: [...x.shape.slice(0, -1), n] }];
	},
	test: { bound: { abs: 2e-5, why: "sums of up to 9 products of size 4: 9 * 36 * 2^-24" } },
});

/**
 * Linear map without bias: y = x w^T. x[..., K], w[N, K] (or [B, N, K], one matrix a sample), y[..., N].
 * w may be stored in bf16 or f16, and be larger than one storage binding. Accumulates in f32. The gradient of a per-sample w is sum over tokens of dy x^T, per sample.
 */
export function linear(x: Tensor, w: Tensor): Tensor {
	return linearPrimitive.apply([x, w])[0];
}
