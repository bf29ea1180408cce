import { bytesPerElement, FLOATS } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { blaming } from "../named.ts";
import type { Physical } from "../physical.ts";
import { type Attrs, definePrimitive, type Primitive } from "../primitive.ts";
import type { NdArray } from "../reference.ts";
import { byRows } from "../rowRules.ts";
import { sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { add } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { type GemmUpdate, gemm } from "./gemm.ts";
import { referenceProduct, rowProduct } from "./matmul.ts";
import { slice } from "./slice.ts";
import { defineSumming, type Summing, summed } from "./summing.ts";

/** Rows of a matrix [N, K], one for all records, that fit one storage binding; all of them for most. */
function rowsPerBinding(w: Physical): number {
	const [count, n, k] = w.shape;
	const limit = w.runtime.gpu.limits.maxStorageBufferBindingSize;
	const width = k * bytesPerElement[w.dtype];
	return (count > 1 && w.strides[0] !== 0) || n * width <= limit ? n : Math.max(8, Math.floor((limit / width - 1) / 8) * 8);
}

/** Calls `step` with each run of rows of w that fits one binding, at least one, repeated over the batch axes of x [..., M, K]. */
function overRuns(w: Physical, x: Physical, step: (run: Physical, first: number) => void): void {
	const [count, n, k] = w.shape;
	const [record, row, column] = w.strides;
	const most = rowsPerBinding(w);
	let first = 0;
	do {
		const rows = Math.min(most, n - first);
		const run = w.view({ shape: [count, rows, k], strides: [record, row, column], offset: w.offset + first * row });
		step(run.lift(x.rank).broadcast([...x.shape.slice(0, -2), rows, k]), first);
		first += most;
	} while (first < n);
}

/** Columns first..first+count-1 of a view [..., M, N]. */
const columns = (t: Physical, first: number, count: number): Physical =>
	t.view({ shape: [...t.shape.slice(0, -1), count], strides: t.strides, offset: t.offset + first * t.strides[t.rank - 1] });

/** Rows of one record of x [B, ..., M, K]. */
const rowsOf = (x: Physical): number => sizeOf(x.shape.slice(1, -1));

/** x [B, ..., K] with an axis for its rows, which a vector lacks. */
const withRows = (x: Physical): Physical => x.lift(Math.max(3, x.rank));

const swapped = (t: NdArray): NdArray => {
	const [n, k] = t.shape;
	const data = new Float64Array(t.data.length);
	for (let i = 0; i < n; i++) for (let j = 0; j < k; j++) data[j * n + i] = t.data[i * k + j];
	return { data, shape: [k, n] };
};

/** x[..., K] times a matrix [K, N], in float64. */
function referenceRows(x: NdArray, matrix: NdArray): NdArray {
	const lead = x.shape.slice(0, -1);
	const { data } = referenceProduct({ data: x.data, shape: [sizeOf(lead), ...x.shape.slice(-1)] }, matrix);
	return { data, shape: [...lead, matrix.shape[1]] };
}

const WEIGHTS = ["f32", "f16", "bf16"] as const;
const TEST = { bound: { abs: 2e-5, why: "sums of up to 9 products of size 4: 9 * 36 * 2^-24" } };

/** dx = g w: the gradient of x, summed over the runs of w in order. */
export const linearGrad: Summing<Attrs> = defineSumming({
	name: "linear.dx",
	signature: "g[..., N], w[N, K] -> dx[..., K]",
	dtypes: { g: FLOATS, w: WEIGHTS },
	attrs: {},
	forward: ({ runtime, inputs, axes: { K } }, plus) => {
		const g = withRows(inputs.g);
		const dx = runtime.empty([...g.shape.slice(0, -1), K]);
		const batchStride = dx.shape[dx.rank - 2] * K;
		const before = plus && contiguous(plus);
		overRuns(inputs.w, g, (w, first) => {
			const onto = first > 0 ? { accumulate: true } : { accumulate: false, plus: before };
			gemm(columns(g, first, w.shape[w.rank - 2]), w, { view: dx, batchStride, ...onto }, rowsOf(g));
		});
		return [dx.view({ shape: [...inputs.g.shape.slice(0, -1), K] })];
	},
	grad: {
		g: { saves: ["w"], rule: ({ dy, w }) => linear(dy, w) },
		w: { saves: ["g"], rule: ({ dy, g }, _, operand) => rowProduct(g, dy, operand) },
	},
	reference: ({ g, w }) => [referenceRows(g, w)],
	test: TEST,
});
export const { alone: linearGradPrimitive, plus: linearGradPlusPrimitive } = linearGrad;

/** x [B, ..., K] times the transpose of w [B, N, K], and an update, where there is one, of records of rows: x [B, T, K]. */
export function linearProduct(given: Physical, weight: Physical, update?: GemmUpdate): Physical {
	const x = withRows(given);
	const N = weight.shape[1];
	const y = x.runtime.empty([...x.shape.slice(0, -1), N]);
	const batchStride = y.shape[y.rank - 2] * N;
	overRuns(weight, x, (w, first) => {
		const count = w.shape[w.rank - 2];
		const own = update && { low: update.low, up: columns(update.up, first, count) };
		const target = { view: columns(y, first, count), batchStride, rowStride: N, accumulate: false, update: own };
		gemm(x, w.transpose(), target, rowsOf(x));
	});
	return y.view({ shape: [...given.shape.slice(0, -1), N] });
}

/** y = x w^T, for operations that do more than that. */
export const linearPrimitive: Primitive<Attrs> = definePrimitive<Attrs>({
	name: "linear",
	signature: "x[..., K], w[N, K] -> y[..., N]",
	dtypes: { x: FLOATS, w: WEIGHTS },
	attrs: {},
	forward: ({ inputs: { x, w } }) => [linearProduct(x, w)],
	grad: {
		x: { saves: ["w"], rule: ({ dy, w }, attrs, _, arrived) => summed(linearGrad, [dy, w], arrived, attrs)[0] },
		w: { saves: ["x"], rule: ({ dy, x }, _, operand) => rowProduct(dy, x, operand) },
	},
	reference: ({ x, w }) => [referenceRows(x, swapped(w))],
	test: TEST,
});

byRows(linearPrimitive, {
	// From a multiple of 8 on they meet the kernel that the whole meets.
	w: ({ dy, x }, _, operand, { from, to }) => rowProduct(dy, x, operand, (columns) => slice(columns, -1, from, to)),
});

/**
 * Linear map, torch's linear: y = x wᵀ + b. x `[..., K]` (f32 or f16), w `[N, K]`, b `[N]` (none when left out) → f32 `[..., N]`. w may be
 * stored in bf16 or f16, and be larger than one storage binding. Accumulates in f32. The gradient of w is the sum over rows of dyᵀ x.
 * @throws ShapeError when K differs, w does not have two axes, x has none, or b is not `[N]`.
 * @throws DTypeError for other types.
 */
export function linear(x: Tensor, w: Tensor, b?: Tensor): Tensor {
	const y = linearPrimitive.apply([x, w])[0];
	if (b === undefined) return y;
	checkType("linear", b, FLOATS, "b");
	if (!sameShape(b.shape, [w.shape[0]])) {
		throw new ShapeError("linear/bias", `linear: bias${showShape(b.shape)} for w${showShape(w.shape)}, expected [${w.shape[0]}]`, {
			op: "linear",
		});
	}
	return blaming("linear", () => add(y, b));
}
