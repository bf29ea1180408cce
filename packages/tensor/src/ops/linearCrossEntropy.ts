import { bytesPerElement } from "../dtype.ts";
import { optionsOf } from "../expects.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive, type Named, type Primitive } from "../primitive.ts";
import type { NdArray } from "../reference.ts";
import { byRows } from "../rowRules.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { softcap } from "./activations.ts";
import { add, div, eq, maskedFill, mul, sub } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { full, zeroed } from "./create.ts";
import { gemm } from "./gemm.ts";
import { linear, linearGradPrimitive } from "./linear.ts";
import { finishKernel, logitGradKernel, onlineKernel } from "./linearCrossEntropy.kernel.ts";
import { matmul } from "./matmul.ts";
import { foldRecords } from "./records.ts";
import { laneCount, rowsOf } from "./rowKernel.ts";
import { oneHot } from "./scatter.ts";
import { slice } from "./slice.ts";
import { softmax } from "./softmax.ts";
import { rowsAtOnce } from "./turns.ts";
import { square } from "./unary.ts";
import { reshape, transpose, unsqueeze } from "./view.ts";

/** Label of rows that `crossEntropy`, `nllLoss` and `linearCrossEntropy` leave out, torch's default: no loss, no gradient. */
export const IGNORE_INDEX = -100;

/** Most bytes of logits held at once. */
const LOGIT_BYTES = 32 * 2 ** 20;

/**
 * Columns of the vocabulary whose logits are joined at once. It sets the order of the sums over the vocabulary, and so
 * does not depend on how many rows or records there are: no record's loss is rounded as its companions want it.
 */
const CHUNK = 16384;

/** Columns that a kernel may compute together. */
const TILE = 8;

type LossAttrs = { softcap: number; ignoreIndex: number };

const DEFAULTS: LossAttrs = { softcap: 0, ignoreIndex: IGNORE_INDEX };
type Inputs = Readonly<Record<string, Physical>>;

/** One piece of the logits: rows start..start+run-1 of each of G groups, columns first..first+n-1 of the vocabulary. */
interface Piece {
	/** The part of h [G, run, D], and of w [G, n, D]. */
	readonly h: Physical;
	readonly w: Physical;
	readonly params: Readonly<Record<"n" | "first" | "cap" | "ignore" | "all" | "start" | "run", number>>;
}

/** At most `most` columns of the vocabulary, in whole tiles, whose rows of w fit one binding. */
function columnsOf({ runtime, shape, dtype }: Physical, most: number): number {
	const fit = Math.floor(runtime.gpu.limits.maxStorageBufferBindingSize / (shape[2] * bytesPerElement[dtype])) - 1;
	return Math.max(TILE, Math.floor(Math.min(most, fit) / TILE) * TILE);
}

/** Logits that are held at once. */
const logitsAtOnce = ({ runtime }: Physical): number => Math.min(LOGIT_BYTES, runtime.gpu.limits.maxStorageBufferBindingSize) / 4;

/** `count` entries of the middle axis of t [G, R, D], from number `first` on. */
const part = (t: Physical, first: number, count: number): Physical =>
	t.view({ shape: [t.shape[0], count, t.shape[2]], strides: t.strides, offset: t.offset + first * t.strides[1] });

/** How much of h w^T is a piece: so many columns where so many are left, and rows of each group. */
interface PieceSize {
	readonly columns: (left: number) => number;
	readonly rows: number;
}

/** Calls `step` with each piece of h w^T, h [G, R, D], w [G, V, D]. */
function overPieces(h: Physical, w: Physical, attrs: LossAttrs, { columns, rows }: PieceSize, step: (piece: Piece) => void): void {
	const [, R] = h.shape;
	const [, V] = w.shape;
	for (let first = 0, n = 0; first < V; first += n) {
		n = columns(V - first);
		for (let start = 0; start < R; start += rows) {
			const run = Math.min(rows, R - start);
			const params = { n, first, cap: attrs.softcap, ignore: attrs.ignoreIndex, all: R, start, run };
			h.runtime.scope(() => step({ h: part(h, start, run), w: part(w, first, n), params }));
		}
	}
}

/** h [..., D] as [G, R, D] in order: one group of all rows where w is one for all records, else a group for each. */
function grouped({ h, w }: Inputs): { readonly h: Physical; readonly w: Physical } {
	const [B, V, D] = w.shape;
	const isShared = B === 1 || w.strides[0] === 0;
	const rows = sizeOf(h.shape.slice(1, -1));
	return {
		h: contiguous(h).view({ shape: isShared ? [1, B * rows, D] : [B, rows, D] }),
		w: isShared ? w.view({ shape: [1, V, D], strides: w.strides }) : w,
	};
}

/** Pieces in which every row meets the vocabulary in the same chunks, as many rows at once as memory allows. */
function inChunks(inputs: Inputs, attrs: LossAttrs, step: (piece: Piece) => void): void {
	const { h, w } = grouped(inputs);
	const columns = columnsOf(w, CHUNK);
	const width = h.shape[0] * Math.max(1, Math.min(columns, w.shape[1]));
	const rows = Math.max(4, Math.floor(logitsAtOnce(h) / width / 4) * 4);
	overPieces(h, w, attrs, { columns: (left) => Math.min(columns, left), rows }, step);
}

const logits = ({ h, w }: Piece): Physical => gemm(h, w.transpose());

/** dz [G, run, n] of a piece; labels, lse and dy are of all rows, in order. */
function logitGradient(piece: Piece, labels: Physical, lse: Physical, dy: Physical): Physical {
	const z = logits(piece);
	const dz = z.runtime.empty(z.shape);
	const [G, run, n] = z.shape;
	const { all, start, first, cap, ignore } = piece.params;
	const own = (x: Physical): Physical => contiguous(x.view({ shape: [G, run], strides: [all, 1], offset: x.offset + start }));
	const lanes = n % 4 === 0 ? 4 : 1;
	const [rows, D] = [G * run, n / lanes];
	const step = rowsAtOnce(rows, D);
	const buffers = { z, labels: own(labels), lse: own(lse), dy: own(dy), dz };
	logitGradKernel.of({ lanes }).run(buffers, { rows, D, step, first, cap, ignore }, D * step);
	return dz;
}

/** The logits of a row, in float64. */
function referenceLogits({ h, w }: Readonly<Record<string, NdArray>>, row: number, softcap: number): readonly number[] {
	const [v, d] = w.shape;
	return Array.from({ length: v }, (_, c) => {
		let dot = 0;
		for (let k = 0; k < d; k++) dot += h.data[row * d + k] * w.data[c * d + k];
		return softcap > 0 ? softcap * Math.tanh(dot / softcap) : dot;
	});
}

/** Calls `visit` with each row, column, and dz, in float64. */
function referenceLogitGradient(
	inputs: Readonly<Record<string, NdArray>>,
	{ softcap, ignoreIndex }: LossAttrs,
	visit: (row: number, column: number, dz: number) => void,
): void {
	const { labels, lse, dy } = inputs;
	labels.data.forEach((label, row) => {
		referenceLogits(inputs, row, softcap).forEach((z, c) => {
			const g = (Math.exp(z - lse.data[row]) - Number(c === label)) * dy.data[row];
			visit(row, c, label === ignoreIndex ? 0 : softcap > 0 ? g * (1 - (z / softcap) ** 2) : g);
		});
	});
}

const GRAD_SIGNATURE = "dy[...], h[..., D], w[V, D], labels[...], lse[...]";
const DTYPES = { w: ["f32", "bf16"], labels: ["i32"] } as const;
const LABELS = { belowAxis: "V", orIgnore: IGNORE_INDEX } as const;
const GRAD_TEST = {
	domains: { labels: LABELS, h: { range: [-0.5, 0.5] }, w: { range: [-1, 1] }, lse: { range: [3, 5] }, dy: { range: [-1, 1] } },
	variants: [{ softcap: 1.5 }, { ignoreIndex: 1 }],
} as const;
const NO_GRADIENT = { dy: "missing", h: "missing", w: "missing", labels: "none", lse: "missing" } as const;

/** dz of all logits at once, of differentiable operations. lse, NaN where a label is no class, is a constant. */
function tracedLogitGradient({ dy, h, w, labels, lse }: Named, { softcap: cap, ignoreIndex }: LossAttrs): Tensor {
	const z = linear(h, w);
	const c = cap > 0 ? softcap(z, cap) : z;
	const g = mul(sub(softmax(c), oneHot(labels, w.shape[0])), unsqueeze(add(dy, mul(lse, 0)), -1));
	const dz = cap > 0 ? mul(g, sub(1, square(div(c, cap)))) : g;
	return maskedFill(dz, unsqueeze(eq(labels, full(labels.device, [], ignoreIndex, "i32")), -1), 0);
}

/** dh = dz w, summed over the vocabulary chunk by chunk, with dz = (exp(z - lse) - onehot(label)) dy before the soft-cap. */
export const linearCrossEntropyHiddenGradPrimitive: Primitive<LossAttrs> = definePrimitive<LossAttrs>({
	name: "linearCrossEntropy.dh",
	signature: `${GRAD_SIGNATURE} -> dh[..., D]`,
	dtypes: DTYPES,
	attrs: DEFAULTS,
	forward: ({ runtime, inputs, attrs, axes: { V, D } }) => {
		const [labels, lse, dy] = [contiguous(inputs.labels), contiguous(inputs.lse), contiguous(inputs.dy)];
		const rows = sizeOf(inputs.h.shape.slice(1, -1));
		const dh = V === 0 ? zeroed(runtime, inputs.h.shape) : runtime.empty(inputs.h.shape);
		inChunks(inputs, attrs, (piece) => {
			const { all, start, run, first } = piece.params;
			const view = dh.view({ shape: [piece.h.shape[0], run, D], strides: [all * D, D, 1], offset: start * D });
			gemm(logitGradient(piece, labels, lse, dy), piece.w, { view, batchStride: all * D, accumulate: first > 0 }, rows);
		});
		return [dh];
	},
	grad: NO_GRADIENT,
	composite: (given, attrs) => linearGradPrimitive.apply([tracedLogitGradient(given, attrs), given.w])[0],
	reference: (inputs, attrs) => {
		const { h, w } = inputs;
		const d = w.shape[1];
		const data = new Float64Array(h.data.length);
		referenceLogitGradient(inputs, attrs, (row, c, dz) => {
			for (let k = 0; k < d; k++) data[row * d + k] += dz * w.data[c * d + k];
		});
		return [{ data, shape: h.shape }];
	},
	test: {
		...GRAD_TEST,
		bound: { abs: 5e-4, why: "exp below 4.5 within 23 ULP, the cap 1.5e-5 twice, times 9 columns of size 1" },
	},
});

/** dw = dz^T h, summed over the rows, with dz = (exp(z - lse) - onehot(label)) dy before the soft-cap. */
export const linearCrossEntropyWeightGradPrimitive: Primitive<LossAttrs> = definePrimitive<LossAttrs>({
	name: "linearCrossEntropy.dw",
	signature: `${GRAD_SIGNATURE} -> dw[V, D]`,
	dtypes: DTYPES,
	attrs: DEFAULTS,
	forward: ({ runtime, inputs, B, attrs, axes: { V, D } }) => {
		const { w } = inputs;
		const [labels, lse, dy] = [contiguous(inputs.labels), contiguous(inputs.lse), contiguous(inputs.dy)];
		const rows = sizeOf(inputs.h.shape.slice(1, -1));
		const h = contiguous(inputs.h).view({ shape: [B, rows, D] });
		const dw = rows === 0 ? zeroed(runtime, [B, V, D]) : runtime.empty([B, V, D]);
		// Whole tiles apart from the rest of V: the kernel that computes a column is the same for any number of columns at once.
		const most = columnsOf(w, logitsAtOnce(w) / Math.max(1, B * rows));
		const columns = (left: number): number => (left < TILE ? left : Math.min(most, left - (left % TILE)));
		overPieces(h, w, attrs, { columns, rows }, (piece) => {
			const dz = logitGradient(piece, labels, lse, dy);
			gemm(dz.transpose(), h, { view: part(dw, piece.params.first, dz.shape[2]), batchStride: V * D, accumulate: false });
		});
		return [dw];
	},
	grad: NO_GRADIENT,
	composite: (given, attrs) => {
		const { h, w, labels } = given;
		const [V, D] = w.shape;
		const dz = reshape(tracedLogitGradient(given, attrs), [labels.size, V]);
		return matmul(transpose(dz), reshape(h, [labels.size, D]));
	},
	reference: (inputs, attrs) => {
		const { h, w } = inputs;
		const d = w.shape[1];
		const data = new Float64Array(w.data.length);
		referenceLogitGradient(inputs, attrs, (row, c, dz) => {
			for (let k = 0; k < d; k++) data[c * d + k] += dz * h.data[row * d + k];
		});
		return [{ data, shape: w.shape }];
	},
	test: {
		...GRAD_TEST,
		bound: { abs: 3e-3, why: "the same errors of dz, and the rounding of sums of 81 products of size 3" },
	},
});

export const linearCrossEntropyPrimitive: Primitive<LossAttrs> = definePrimitive<LossAttrs>({
	name: "linearCrossEntropy",
	signature: "h[..., D], w[V, D], labels[...] -> loss[...], lse[...]",
	dtypes: DTYPES,
	attrs: DEFAULTS,
	forward: ({ runtime, inputs, attrs, axes: { V } }) => {
		const labels = contiguous(inputs.labels);
		const count = labels.size;
		const state = runtime.empty([...labels.shape, 3]);
		inChunks(inputs, attrs, (piece) => {
			const z = logits(piece);
			const rows = piece.h.shape[0] * piece.h.shape[1];
			const variant = rowsOf(runtime, piece.params.n);
			onlineKernel.of(variant).run({ z, labels, state }, { rows, ...piece.params }, laneCount(rows, variant));
		});
		const [loss, lse] = [runtime.empty(labels.shape), runtime.empty(labels.shape)];
		finishKernel.run({ state, labels, loss, lse }, { count, V, ignore: attrs.ignoreIndex }, count);
		return [loss, lse];
	},
	grad: {
		h: {
			saves: ["h", "w", "labels", "lse"],
			rule: ({ dy, h, w, labels, lse }, attrs) => linearCrossEntropyHiddenGradPrimitive.apply([dy, h, w, labels, lse], attrs)[0],
		},
		w: {
			saves: ["h", "w", "labels", "lse"],
			rule: (given, attrs, operand) => {
				const [dy, h, labels, lse] = foldRecords(operand, [given.dy, given.h, given.labels, given.lse]);
				return linearCrossEntropyWeightGradPrimitive.apply([dy, h, given.w, labels, lse], attrs)[0];
			},
		},
		labels: "none",
	},
	reference: (inputs, { softcap, ignoreIndex }) => {
		const { w, labels } = inputs;
		const loss = new Float64Array(labels.data.length);
		const lse = new Float64Array(labels.data.length);
		labels.data.forEach((label, row) => {
			if (label === ignoreIndex) return;
			const z = referenceLogits(inputs, row, softcap);
			const top = Math.max(...z);
			lse[row] = label >= 0 && label < w.shape[0] ? top + Math.log(z.reduce((s, q) => s + Math.exp(q - top), 0)) : Number.NaN;
			loss[row] = lse[row] - z[label];
		});
		return [
			{ data: loss, shape: labels.shape },
			{ data: lse, shape: labels.shape },
		];
	},
	test: {
		bound: { ulp: 8, abs: 1e-4, why: "logits of 9 products (2e-5), exp within 40 ULP, log within 2^-21; the cap adds 1.5e-5" },
		domains: { labels: LABELS },
		variants: [{ softcap: 1.5 }, { ignoreIndex: 1 }],
	},
});

byRows(linearCrossEntropyPrimitive, {
	w: (given, attrs, operand, { from, to }) => {
		const [dy, h, labels, lse] = foldRecords(operand, [given.dy, given.h, given.labels, given.lse]);
		const own = { ...attrs, ignoreIndex: attrs.ignoreIndex - from };
		return linearCrossEntropyWeightGradPrimitive.apply([dy, h, slice(given.w, 0, from, to), sub(labels, from), lse], own)[0];
	},
});

/**
 * Cross-entropy of a linear head, without holding the full logits: loss = ln ∑ e^z − z[label] with z = cap(h wᵀ), computed in
 * chunks of the vocabulary and again in the backward pass; second derivatives alone hold all logits. h f32 `[..., D]`, w `[V, D]`
 * (f32 or bf16), labels i32 `[...]` → one loss a row, `[...]`: 0, as its gradient, where the label is `ignoreIndex` (−100, `IGNORE_INDEX`,
 * when left out), NaN, as its gradient, where it is another one outside 0..V−1. `softcap` bounds the logits, cap · tanh(z / cap); 0,
 * when left out, for none.
 * @throws ShapeError when D differs, w does not have two axes, or there is not one label for each row.
 * @throws DTypeError for other types.
 * @throws ValueError when `softcap` is not finite or `ignoreIndex` no i32.
 */
export function linearCrossEntropy(h: Tensor, w: Tensor, labels: Tensor, options: { softcap?: number; ignoreIndex?: number } = {}): Tensor {
	const { softcap, ignoreIndex } = optionsOf("linearCrossEntropy", options, { softcap: "number?", ignoreIndex: "number?" });
	return linearCrossEntropyPrimitive.apply([h, w, labels], { softcap, ignoreIndex })[0];
}
