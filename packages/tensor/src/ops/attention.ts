import { runtimeOf } from "../device.ts";
import { FLOATS } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import { tapeOf } from "../record.ts";
import { broadcastShapes, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { softcap as cap } from "./activations.ts";
import { checkType } from "./arguments.ts";
import { WIDEST } from "./attention.tile.ts";
import { attentionSoftmax, type ScoreAttrs } from "./attentionSoftmax.ts";
import { add, maskedFill, mul } from "./binary.ts";
import { cast } from "./cast.ts";
import { zeros } from "./create.ts";
import { expand } from "./expand.ts";
import { attentionPrimitive, maskedAttentionPrimitive } from "./flashAttention.ts";
import { matmul } from "./matmul.ts";
import { logicalNot } from "./unary.ts";
import { reshape, squeeze, transpose } from "./view.ts";

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
 * shared by as many queries each, in order. A query that may see no key gives 0. Scores, `[..., T, S]`, are
 * held in memory on plan "cpu", of up to 4 queries, where the mask has a gradient, for heads wider than 256, and for second derivatives.
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
	const isShared = heads !== shared && shared > 1 && heads !== 1;
	if (isShared && (heads % shared !== 0 || (v.rank > 2 && v.shape[v.rank - 3] !== shared))) {
		throw new ShapeError("attention/heads", `${OP}: ${heads} heads of queries, ${shared} of keys, v${showShape(v.shape)}`, {
			op: OP,
			hint: "the heads of the queries are a multiple of those of the keys, which the values have too",
		});
	}
	if (!isShared) return attend(q, k, v, options);
	// Queries [..., shared, heads / shared, T, K]: each group meets the keys of its own.
	const split = (t: Tensor): Tensor => {
		const n = t.shape[t.rank - 3];
		return reshape(t, [...t.shape.slice(0, -3), ...(n === 1 ? [1, 1] : [shared, n / shared]), ...t.shape.slice(-2)]);
	};
	const ownMask = mask !== undefined && mask.rank > 2 ? split(mask) : mask;
	const y = attend(split(q), split(k), v.rank > 2 ? split(v) : v, { ...options, mask: ownMask });
	return reshape(y, [...y.shape.slice(0, -4), heads, ...y.shape.slice(-2)]);
});

/** Buffers of the kernel that has most of them, which takes a mask. */
const BUFFERS = 9;

/** Queries of which there must be more, as where text is read and not written: the kernels have tiles of many. */
const FEW = 4;

/** Whether the scores need not be held: on a plan that shares the memory of workgroups, unless the mask has a gradient, as large as they. */
function isFused({ device, shape }: Tensor, v: Tensor, mask: Tensor | undefined): boolean {
	const [T, K] = shape.slice(-2);
	if (device.plan === "cpu" || T <= FEW || Math.max(K, v.shape[v.rank - 1]) > WIDEST) return false;
	return mask === undefined || (tapeOf(mask) === undefined && runtimeOf(device).gpu.limits.maxStorageBuffersPerShaderStage >= BUFFERS);
}

/** What is added to the scores where a mask is: f32, −∞ for what is hidden. */
function bias(mask: Tensor): Tensor {
	if (mask.dtype !== "bool") return cast(mask, "f32");
	return maskedFill(zeros(mask.device, mask.shape), logicalNot(mask), Number.NEGATIVE_INFINITY);
}

function attend(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
	const { isCausal = false, window = 0, softcap = 0, offset = 0, mask, ...rest } = options;
	const { scale = 1 / Math.sqrt(q.shape[q.rank - 1]) } = rest;
	const causal = { causal: isCausal, window, offset };
	if (isFused(q, v, mask)) return inOnePiece(q, k, v, mask, { scale, softcap, ...causal });
	const scores = matmul(q, transpose(k));
	if (mask === undefined) return matmul(attentionSoftmax(scores, { scale, softcap, ...causal }), v);
	const scaled = mul(scores, scale);
	const bounded = softcap > 0 ? cap(scaled, softcap) : scaled;
	const seen = mask.dtype === "bool" ? maskedFill(bounded, logicalNot(mask), Number.NEGATIVE_INFINITY) : add(bounded, mask);
	return matmul(attentionSoftmax(seen, causal), v);
}

/** Without scores in memory. Leading axes are given in full; heads that share keys and values stand in the last of them. */
function inOnePiece(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | undefined, attrs: ScoreAttrs): Tensor {
	const leads = [q, k, v, ...(mask === undefined ? [] : [mask])].map(({ shape }) => shape.slice(0, -2));
	const lead = broadcastShapes(OP, ...leads);
	const [T, K] = q.shape.slice(-2);
	const [S, V] = v.shape.slice(-2);
	const isOne = [k, v].every(({ shape, rank }) => rank > 2 && shape[rank - 3] === 1) && lead.length > 0;
	const [outer, R] = isOne ? [lead.slice(0, -1), lead[lead.length - 1]] : [lead, 1];
	const floats = (t: Tensor): Tensor => cast(t, "f32");
	const queries = reshape(expand(floats(q), [...lead, T, K]), [...outer, R, T, K]);
	const [keys, values] = [k, v].map((t) => {
		const own = isOne ? squeeze(t, -3) : t;
		return expand(floats(own), [...outer, ...own.shape.slice(-2)]);
	});
	if (mask === undefined) {
		const [y] = attentionPrimitive.apply([queries, keys, values], attrs);
		return reshape(y, [...lead, T, V]);
	}
	const added = reshape(expand(bias(mask), [...lead, T, S]), [...outer, R, T, S]);
	return reshape(maskedAttentionPrimitive.apply([queries, keys, values, added], attrs)[0], [...lead, T, V]);
}
