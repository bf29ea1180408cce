import { FLOATS } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { softcap as cap } from "./activations.ts";
import { checkType } from "./arguments.ts";
import { attentionSoftmax } from "./attentionSoftmax.ts";
import { add, maskedFill, mul } from "./binary.ts";
import { matmul } from "./matmul.ts";
import { logicalNot } from "./unary.ts";
import { reshape, transpose } from "./view.ts";

/** Which keys a query sees, and what becomes of its scores. Query t of T stands at position t + offset of the keys. */
export interface AttentionOptions {
	/** Query t sees keys up to t + offset only; false when left out. */
	readonly isCausal?: boolean | undefined;
	/**
	 * Query t sees keys after t + offset − window only: with `isCausal` its own and the window − 1 before, without it all later ones
	 * too. 0, when left out, for all.
	 */
	readonly window?: number | undefined;
	/** Bound of the scores, cap · tanh(s / cap), before the mask; 0, when left out, for none. */
	readonly softcap?: number | undefined;
	/** Factor of the scores; K^(−½) when left out. */
	readonly scale?: number | undefined;
	/**
	 * Broadcast to the scores `[..., T, S]`. bool: true where a query may see a key. f32 or f16: added to the scores, after the cap; −∞
	 * hides a key, and the mask may have a gradient (a learned bias of positions). What `isCausal` and `window` hide stays hidden.
	 */
	readonly mask?: Tensor | undefined;
	/** Position of the first query minus that of the first key, as with a cache of keys; a whole number, 0 when left out. */
	readonly offset?: number | undefined;
}

const OP = "scaledDotProductAttention";
const NUMBERS = { window: "number?", softcap: "number?", scale: "number?", offset: "number?" } as const;
const OPTIONS = { ...NUMBERS, mask: "tensor?", isCausal: "flag?" } as const;

/**
 * Attention: the softmax of cap(q kᵀ scale) over the keys that each query may see, times v. q `[..., T, K]`, k `[..., S, K]`, v
 * `[..., S, V]`, f32 or f16 → f32 `[..., T, V]`; leading axes broadcast. Fewer heads of keys and values than of queries (axis −3) are
 * shared by as many queries each, in order. A query that may see no key gives 0. The scores are held in memory, `[..., T, S]`.
 * Source: Vaswani et al. 2017; the soft-cap as in Gemma 2; shared heads: Ainslie et al. 2023.
 * @throws ShapeError when K or S differ, T is missing, the heads of q are no multiple of those of k, or leading axes or mask do not
 * broadcast.
 * @throws DTypeError for other types, or a mask that is neither bool nor float.
 * @throws ValueError when `window` or `offset` is negative or no whole number, or `scale` or `softcap` is not finite.
 */
export const scaledDotProductAttention = named(OP, (q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor => {
	const { mask } = optionsOf(OP, options, OPTIONS);
	for (const [name, t] of Object.entries({ q, k, v })) checkType(OP, t, FLOATS, name);
	const width = q.shape[q.rank - 1];
	if (q.rank < 2 || k.shape[k.rank - 1] !== width || v.shape[v.rank - 2] !== k.shape[k.rank - 2]) {
		throw new ShapeError(
			"attention/shapes",
			`${OP}: q${showShape(q.shape)}, k${showShape(k.shape)} and v${showShape(v.shape)} do not fit`,
			{
				op: OP,
				hint: "q [..., T, K], k [..., S, K], v [..., S, V]",
			},
		);
	}
	if (mask !== undefined && mask.dtype !== "bool" && !FLOATS.includes(mask.dtype)) {
		throw new DTypeError("attention/mask", `${OP}: the mask is ${mask.dtype} ${showShape(mask.shape)}, expected bool, f32 or f16`, {
			op: OP,
			hint: "bool: true where a query may see a key; floats are added to the scores",
		});
	}
	const [heads, shared] = [q, k].map(({ shape, rank }) => (rank > 2 ? shape[rank - 3] : 1));
	if (heads === shared || shared <= 1 || heads === 1) return attend(q, k, v, options);
	if (heads % shared !== 0 || (v.rank > 2 && v.shape[v.rank - 3] !== shared)) {
		throw new ShapeError("attention/heads", `${OP}: ${heads} heads of queries, ${shared} of keys, v${showShape(v.shape)}`, {
			op: OP,
			hint: "the heads of the queries are a multiple of those of the keys, which the values have too",
		});
	}
	// Queries [..., shared, heads / shared, T, K]: each group meets the keys of its own.
	const split = (t: Tensor): Tensor => {
		const n = t.shape[t.rank - 3];
		return reshape(t, [...t.shape.slice(0, -3), ...(n === 1 ? [1, 1] : [shared, n / shared]), ...t.shape.slice(-2)]);
	};
	const ownMask = mask !== undefined && mask.rank > 2 ? split(mask) : mask;
	const y = attend(split(q), split(k), v.rank > 2 ? split(v) : v, { ...options, mask: ownMask });
	return reshape(y, [...y.shape.slice(0, -4), heads, ...y.shape.slice(-2)]);
});

function attend(
	q: Tensor,
	k: Tensor,
	v: Tensor,
	{ isCausal = false, window = 0, softcap = 0, offset = 0, mask, ...rest }: AttentionOptions,
) {
	const { scale = 1 / Math.sqrt(q.shape[q.rank - 1]) } = rest;
	const scores = matmul(q, transpose(k));
	const causal = { causal: isCausal, window, offset };
	if (mask === undefined) return matmul(attentionSoftmax(scores, { scale, softcap, ...causal }), v);
	const scaled = mul(scores, scale);
	const bounded = softcap > 0 ? cap(scaled, softcap) : scaled;
	const seen = mask.dtype === "bool" ? maskedFill(bounded, logicalNot(mask), Number.NEGATIVE_INFINITY) : add(bounded, mask);
	return matmul(attentionSoftmax(seen, causal), v);
}
