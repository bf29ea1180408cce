import type { Physical } from "../physical.ts";
import { definePrimitive, type Named, type Primitive } from "../primitive.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { softcap } from "./activations.ts";
import { add, div, eq, maskedFill, mul, sub } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { full, zeroed } from "./create.ts";
import { gemm } from "./gemm.ts";
import { linear, linearGradPrimitive } from "./linear.ts";
import { hiddenGradKernel, logitGradKernel } from "./linearCrossEntropy.kernel.ts";
import {
	columnsOf,
	type LossAttrs,
	lanesOf,
	logits,
	logitsAtOnce,
	overPieces,
	type Piece,
	part,
	TILE,
} from "./linearCrossEntropy.pieces.ts";
import { referenceLogitGradient } from "./linearCrossEntropy.reference.ts";
import { matmul } from "./matmul.ts";
import { oneHot } from "./scatter.ts";
import { softmax } from "./softmax.ts";
import { rowsAtOnce } from "./turns.ts";
import { square } from "./unary.ts";
import { reshape, transpose, unsqueeze } from "./view.ts";

/** Label of rows that `crossEntropy`, `nllLoss` and `linearCrossEntropy` leave out, torch's default: no loss, no gradient. */
export const IGNORE_INDEX = -100;

export const DEFAULTS: LossAttrs = { softcap: 0, ignoreIndex: IGNORE_INDEX };
export const DTYPES = { w: ["f32", "bf16"], labels: ["i32"] } as const;
export const LABELS = { belowAxis: "V", orIgnore: IGNORE_INDEX } as const;
const VARIANTS = [{ softcap: 1.5 }, { ignoreIndex: 1 }] as const;
const DOMAINS = {
	labels: LABELS,
	h: { range: [-0.5, 0.5] },
	w: { range: [-1, 1] },
	lse: { range: [3, 5] },
	dy: { range: [-1, 1] },
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

/** dh = dy slope, from what a row's loss rises by with h: that is known when the loss is. Of a gradient that is traced, from h and w. */
export const linearCrossEntropyHiddenGradPrimitive: Primitive<LossAttrs> = definePrimitive<LossAttrs>({
	name: "linearCrossEntropy.dh",
	signature: "dy[...], slope[..., D], h[..., D], w[V, D], labels[...], lse[...] -> dh[..., D]",
	dtypes: DTYPES,
	attrs: DEFAULTS,
	forward: ({ runtime, inputs, attrs, axes }) => {
		const [dy, slope, labels] = [contiguous(inputs.dy), contiguous(inputs.slope), contiguous(inputs.labels)];
		const dh = runtime.empty(slope.shape);
		const lanes = lanesOf(axes.D, slope);
		const [rows, D] = [labels.size, axes.D / lanes];
		const step = rowsAtOnce(rows, D);
		hiddenGradKernel.of({ lanes }).run({ dy, slope, labels, dh }, { rows, D, step, ignore: attrs.ignoreIndex }, D * step);
		return [dh];
	},
	grad: { ...NO_GRADIENT, slope: "none" },
	composite: (given, attrs) => linearGradPrimitive.apply([tracedLogitGradient(given, attrs), given.w])[0],
	reference: ({ dy, slope, labels }, { ignoreIndex }) => {
		const [d] = slope.shape.slice(-1);
		const data = slope.data.map((s, i) => {
			const row = Math.floor(i / d);
			return labels.data[row] === ignoreIndex ? 0 : dy.data[row] * s;
		});
		return [{ data, shape: slope.shape }];
	},
	test: { domains: DOMAINS, variants: VARIANTS },
});

/** dz [G, R, n] of a piece of all rows. */
function logitGradient(piece: Piece, labels: Physical, lse: Physical, dy: Physical): Physical {
	const z = logits(piece);
	const dz = z.runtime.empty(z.shape);
	const { n, first, cap, ignore } = piece.params;
	const lanes = lanesOf(n);
	const [rows, D] = [labels.size, n / lanes];
	const step = rowsAtOnce(rows, D);
	logitGradKernel.of({ lanes, caps: cap > 0 }).run({ z, labels, lse, dy, dz }, { rows, D, step, first, cap, ignore }, D * step);
	return dz;
}

/** dw = dz^T h, summed over the rows, with dz = (exp(z - lse) - onehot(label)) dy before the soft-cap. */
export const linearCrossEntropyWeightGradPrimitive: Primitive<LossAttrs> = definePrimitive<LossAttrs>({
	name: "linearCrossEntropy.dw",
	signature: "dy[...], h[..., D], w[V, D], labels[...], lse[...] -> dw[V, D]",
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
		domains: DOMAINS,
		variants: VARIANTS,
		bound: { abs: 3e-3, why: "the same errors of dz, and the rounding of sums of 81 products of size 3" },
	},
});
