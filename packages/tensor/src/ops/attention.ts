import { ShapeError } from "../errors.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { softcap as cap } from "./activations.ts";
import { attentionSoftmax } from "./attentionSoftmax.ts";
import { mul, where } from "./binary.ts";
import { cast } from "./cast.ts";
import { full } from "./create.ts";
import { matmul } from "./matmul.ts";
import { transpose } from "./view.ts";

/** Stands for minus infinity among scores: its exponential is 0, and sums with it stay finite. */
const MASKED = -1e30;

/** Which keys a query sees, and what becomes of its scores. Query t of T stands at position t + offset of the keys. */
export interface AttentionOptions {
	/** Query t sees keys up to t + offset only; false when left out. */
	readonly isCausal?: boolean | undefined;
	/**
	 * Query t sees keys after t + offset − window only: with `isCausal` its own and the window − 1 before. 0, when left out,
	 * for all.
	 */
	readonly window?: number | undefined;
	/** Bound of the scores, cap · tanh(s / cap), before the mask; 0, when left out, for none. */
	readonly softcap?: number | undefined;
	/** Factor of the scores; K^(−½) when left out. */
	readonly scale?: number | undefined;
	/**
	 * bool, broadcast with the scores `[..., T, S]`: true where a query may see a key. Together with `isCausal` and `window`
	 * both must allow it.
	 */
	readonly mask?: Tensor | undefined;
	/** Position of the first query minus that of the first key, as with a cache of keys; a whole number, 0 when left out. */
	readonly offset?: number | undefined;
}

/**
 * Attention: the softmax of cap(q kᵀ scale) over the keys that each query may see, times v. q `[..., T, K]`, k `[..., S, K]`, v
 * `[..., S, V]`, f32 or f16 → f32 `[..., T, V]`; leading axes broadcast. A query that may see no key gives 0. The scores are
 * held in memory, `[..., T, S]`. Source: Vaswani et al. 2017; the soft-cap as in Gemma 2.
 * @throws ShapeError when K or S differ, T is missing, or leading axes or mask do not broadcast.
 * @throws DTypeError for other types, or a mask that is not bool.
 * @throws ValueError when `window` or `offset` is negative or no whole number, or `scale` or `softcap` is not finite.
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
	const { isCausal = false, window = 0, softcap = 0, mask, offset = 0 } = options;
	const width = q.shape[q.rank - 1];
	if (k.shape[k.rank - 1] !== width || v.shape[v.rank - 2] !== k.shape[k.rank - 2]) {
		throw new ShapeError(
			"attention/shapes",
			`scaledDotProductAttention: q${showShape(q.shape)}, k${showShape(k.shape)} and v${showShape(v.shape)} do not fit`,
			{ op: "scaledDotProductAttention", hint: "q [..., T, K], k [..., S, K], v [..., S, V]" },
		);
	}
	const { scale = 1 / Math.sqrt(width) } = options;
	const scores = matmul(q, transpose(k));
	if (mask === undefined) return matmul(attentionSoftmax(scores, { scale, softcap, causal: isCausal, window, offset }), v);
	const scaled = mul(scores, scale);
	const bounded = softcap > 0 ? cap(scaled, softcap) : scaled;
	const seen = where(mask, bounded, full(q.device, [], MASKED));
	const weights = mul(attentionSoftmax(seen, { causal: isCausal, window, offset }), cast(mask, "f32"));
	return matmul(weights, v);
}
