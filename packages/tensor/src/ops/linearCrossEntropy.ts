import { optionsOf } from "../expects.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive, type ForwardContext, type Primitive } from "../primitive.ts";
import { byRows } from "../rowRules.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { sub } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { zeroed } from "./create.ts";
import { rowsOfTable } from "./embedding.ts";
import { gemm } from "./gemm.ts";
import {
	DEFAULTS,
	DTYPES,
	LABELS,
	linearCrossEntropyHiddenGradPrimitive,
	linearCrossEntropyWeightGradPrimitive,
} from "./linearCrossEntropy.grad.ts";
import { finishKernel, onlineKernel, rescaleKernel, slopeKernel } from "./linearCrossEntropy.kernel.ts";
import { inChunks, type LossAttrs, lanesOf, logits, type Piece } from "./linearCrossEntropy.pieces.ts";
import { referenceHiddenGradient, referenceLosses } from "./linearCrossEntropy.reference.ts";
import { foldRecords } from "./records.ts";
import { laneCount, rowsOf } from "./rowKernel.ts";
import { slice } from "./slice.ts";
import { rowsAtOnce } from "./turns.ts";

type Context = ForwardContext<LossAttrs>;

/** Loss and lse of all rows, with what `visit` does to each piece and exp(z - m) of it, times the derivative of the soft-cap. */
function losses({ runtime, inputs, attrs, axes: { V } }: Context, visit?: (piece: Piece, slopes: Physical, state: Physical) => void) {
	const labels = contiguous(inputs.labels);
	const count = labels.size;
	const state = runtime.empty([...labels.shape, 4]);
	inChunks(inputs, attrs, (piece) => {
		const z = logits(piece);
		const { n, ...params } = piece.params;
		const rows = piece.h.shape[0] * piece.h.shape[1];
		const lanes = lanesOf(n);
		const variant = { caps: attrs.softcap > 0, fours: lanes === 4, ...rowsOf(runtime, n) };
		const sizes = { rows, n: n / lanes, ...params };
		const slopes = visit && runtime.empty(z.shape);
		const buffers = { z, labels, state, ...(slopes && { slopes }) };
		onlineKernel.of({ slopes: slopes !== undefined, ...variant }).run(buffers, sizes, laneCount(rows, variant));
		if (visit && slopes) visit(piece, slopes, state);
	});
	const [loss, lse] = [runtime.empty(labels.shape), runtime.empty(labels.shape)];
	finishKernel.run({ state, labels, loss, lse }, { count, V, ignore: attrs.ignoreIndex }, count);
	return { loss, lse, labels, state };
}

/** What the loss of each row rises by with h, [..., D], found on the way: the logits are made once. */
function lossesAndSlope(context: Context): readonly Physical[] {
	const { runtime, inputs, attrs, axes } = context;
	const { h, w } = inputs;
	if (axes.V === 0) {
		const { loss, lse } = losses(context);
		return [loss, lse, zeroed(runtime, h.shape)];
	}
	const slope = runtime.empty(h.shape);
	const lanes = lanesOf(axes.D, slope);
	const D = axes.D / lanes;
	const rowsOfRecord = sizeOf(h.shape.slice(1, -1));
	const { loss, lse, labels, state } = losses(context, (piece, slopes, state) => {
		const { all, start, run, first } = piece.params;
		const [G] = piece.h.shape;
		const rows = G * run;
		const step = rowsAtOnce(rows, D);
		if (first > 0) rescaleKernel.of({ lanes }).run({ state, slope }, { rows, D, step, all, start, run }, D * step);
		const view = slope.view({ shape: [G, run, axes.D], strides: [all * axes.D, axes.D, 1], offset: slope.offset + start * axes.D });
		gemm(slopes, piece.w, { view, batchStride: all * axes.D, accumulate: first > 0 }, rowsOfRecord);
	});
	const picked = rowsOfTable(w, labels);
	const step = rowsAtOnce(labels.size, D);
	const sizes = { rows: labels.size, D, step, cap: attrs.softcap, ignore: attrs.ignoreIndex };
	slopeKernel.of({ lanes, caps: attrs.softcap > 0 }).run({ state, labels, picked, slope }, sizes, D * step);
	return [loss, lse, slope];
}

const BOUND = { ulp: 8, abs: 1e-4, why: "logits of 9 products (2e-5), exp within 40 ULP, log within 2^-21; the cap adds 1.5e-5" } as const;
const TEST = { bound: BOUND, domains: { labels: LABELS }, variants: [{ softcap: 1.5 }, { ignoreIndex: 1 }] } as const;

/** The loss and what its gradient takes, while one is traced. */
export const linearCrossEntropySlopePrimitive: Primitive<LossAttrs> = definePrimitive<LossAttrs>({
	name: "linearCrossEntropy.slope",
	signature: "h[..., D], w[V, D], labels[...] -> loss[...], lse[...], slope[..., D]",
	dtypes: DTYPES,
	attrs: DEFAULTS,
	forward: lossesAndSlope,
	grad: {
		h: {
			saves: ["slope", "h", "w", "labels", "lse"],
			rule: ({ dy, slope, h, w, labels, lse }, attrs) =>
				linearCrossEntropyHiddenGradPrimitive.apply([dy, slope, h, w, labels, lse], attrs)[0],
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
	reference: (inputs, attrs) => {
		const { loss, lse } = referenceLosses(inputs, attrs);
		const dy = { ...loss, data: loss.data.map(() => 1) };
		return [loss, lse, referenceHiddenGradient({ ...inputs, lse, dy }, attrs)];
	},
	test: TEST,
});

export const linearCrossEntropyPrimitive: Primitive<LossAttrs> = definePrimitive<LossAttrs>({
	name: "linearCrossEntropy",
	signature: "h[..., D], w[V, D], labels[...] -> loss[...]",
	dtypes: DTYPES,
	attrs: DEFAULTS,
	forward: (context) => [losses(context).loss],
	grad: { h: "missing", w: "missing", labels: "none" },
	composite: ({ h, w, labels }, attrs) => linearCrossEntropySlopePrimitive.apply([h, w, labels], attrs)[0],
	reference: (inputs, attrs) => [referenceLosses(inputs, attrs).loss],
	test: TEST,
});

byRows(linearCrossEntropySlopePrimitive, {
	w: (given, attrs, operand, { from, to }) => {
		const [dy, h, labels, lse] = foldRecords(operand, [given.dy, given.h, given.labels, given.lse]);
		const own = { ...attrs, ignoreIndex: attrs.ignoreIndex - from };
		return linearCrossEntropyWeightGradPrimitive.apply([dy, h, slice(given.w, 0, from, to), sub(labels, from), lse], own)[0];
	},
});

/**
 * Cross-entropy of a linear head, without holding the full logits: loss = ln ∑ e^z − z[label] with z = cap(h wᵀ), computed in
 * chunks of the vocabulary: once for the loss and the gradient of h, again for that of w; second derivatives alone hold all logits. h f32 `[..., D]`, w `[V, D]`
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
