import { type Slot, seedOf, trace } from "./autograd.ts";
import { runtimeOf } from "./device.ts";
import { expects } from "./expects.ts";
import { add } from "./ops/binary.ts";
import { slice } from "./ops/slice.ts";
import { alias } from "./record.ts";
import type { Shape } from "./shape.ts";
import type { TapeNode } from "./tape.ts";
import { Tensor } from "./tensor.ts";

/** Rows from..to−1 along the first axis. */
export interface Rows {
	/** The first, a multiple of 8. */
	readonly from: number;
	/** The one behind the last, a multiple of 8 or the end. */
	readonly to: number;
}

/** What one use of a tensor adds to its gradient: what that follows from, and how. */
export interface Share {
	/** The gradient of the result, and what the operation kept. */
	readonly given: Readonly<Record<string, Tensor>>;
	/** The module that it ran in. */
	readonly path: string;
	/** Rows of it. */
	readonly rows: (given: Readonly<Record<string, Tensor>>, rows: Rows) => Tensor;
}

/**
 * A gradient that is not computed yet, but kept as what it follows from (the book-keeping of Bu et al. 2023, arXiv:2210.00038): the sum
 * of its shares, in order. A plain object, so that `vmap`, scopes and private programs hand it on like any other value; the tensors in it
 * are what is held.
 */
export interface StreamedGradient {
	/** Shape of the gradient; of one record, where it has records. */
	readonly shape: Shape;
	/** The uses of the tensor, in the order in which their gradients arrived. */
	readonly shares: readonly Share[];
}

/** Which gradients are streamed. */
export interface Streaming {
	/** The leaves whose gradients may be. */
	readonly leaves: ReadonlySet<TapeNode>;
	/**
	 * Whether a share is, from the bytes that it would take, and the bytes of what it follows from beside the tensor itself; those of all
	 * records together.
	 */
	readonly choose: (bytes: number, given: number) => boolean;
	/** A gradient of this shape and what arrives beside it, one of them streamed, as one. */
	readonly join: (shape: Shape, arrived: Tensor | StreamedGradient | undefined, more: Tensor | StreamedGradient) => StreamedGradient;
}

/** What `streamedValueAndGrad` gives. */
export interface StreamedValueAndGrad {
	/** What the function returned. */
	readonly value: Tensor;
	/** One gradient for each slot, in order: computed, or to be computed by `rowsOf`. */
	readonly grads: readonly (Tensor | StreamedGradient)[];
}

/**
 * `valueAndGrad` for parameters whose gradients are too large to be held, one a record: where `choose` says so, a gradient comes as what it
 * follows from, and `rowsOf` computes rows of it, bit for bit the same, as often as asked. Uses of a slot by other operations than
 * `linear`, `embedding` and `linearCrossEntropy` are computed at once. While an outer gradient is traced, none is streamed. Errors as of `valueAndGrad`.
 */
export function streamedValueAndGrad(fn: () => Tensor, slots: readonly Slot[], choose: Streaming["choose"]): StreamedValueAndGrad {
	expects("streamedValueAndGrad", { fn, slots, choose }, { fn: "function", slots: "list", choose: "function" });
	const op = "streamedValueAndGrad";
	return trace(
		op,
		fn,
		slots,
		(value) => seedOf(op, value),
		(leaves) => ({ leaves: new Set(leaves), choose, join }),
	);
}

/** Rows of a streamed gradient, bit for bit those of the whole: in a program for one record, of its own. */
export function rowsOf({ shares }: StreamedGradient, rows: Rows): Tensor {
	const { device } = Object.values(shares[0].given)[0];
	const runtime = runtimeOf(device);
	return runtime.scope(() =>
		shares.map(({ given, path, rows: of }) => runtime.within(path, () => runtime.scope(() => of(given, rows)))).reduce((a, b) => add(a, b)),
	);
}

const join: Streaming["join"] = (shape, arrived, more) => ({
	shape,
	shares: [...(arrived === undefined ? [] : sharesOf(arrived)), ...sharesOf(more)],
});

/** A gradient as shares: a tensor is one, of which rows are views. */
function sharesOf(g: Tensor | StreamedGradient): readonly Share[] {
	if (!(g instanceof Tensor)) return g.shares;
	return [{ given: { whole: alias(g, undefined) }, path: "", rows: ({ whole }, { from, to }) => slice(whole, 0, from, to) }];
}
