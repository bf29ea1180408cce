import * as t from "@hushgrad/tensor";
import { attribute, type Call, flag, number, type Operators, range } from "./call.ts";

type Tensor = t.Tensor;

/** [B, T, H K] as [B, H, T, K]. */
const toHeads = (x: Tensor, heads: number): Tensor => t.transpose(t.reshape(x, [x.shape[0], x.shape[1], heads, -1]), 1, 2);
const fromHeads = (x: Tensor): Tensor => t.reshape(t.transpose(x, 1, 2), [x.shape[0], x.shape[2], x.shape[1] * x.shape[3]]);

/** Each key-value head serves as many query heads, next to each other. */
function repeatHeads(x: Tensor, heads: number): Tensor {
	const [b, own, s, k] = x.shape;
	return own === heads ? x : t.reshape(t.expand(t.unsqueeze(x, 2), [b, own, heads / own, s, k]), [b, heads, s, k]);
}

interface Frontier {
	readonly causal: boolean;
	readonly left: number;
	readonly right: number;
	/** Position of the first query among the keys: one number, or an i32 [B, 1, 1, 1]. */
	readonly offset: number | Tensor;
	/** Keys that are no padding, i32 [B, 1, 1, 1]. */
	readonly filled: Tensor | undefined;
}

/** bool, broadcastable to [B, H, T, S]: which keys a query may see by position alone; undefined for all. */
function byPosition(
	device: t.Device,
	rows: number,
	columns: number,
	{ causal, left, right, offset, filled }: Frontier,
): Tensor | undefined {
	const at = t.arange(device, 0, columns, 1, "i32");
	const start = typeof offset === "number" ? t.full(device, [], offset, "i32") : offset;
	const query = t.add(t.unsqueeze(t.arange(device, 0, rows, 1, "i32"), 1), start);
	const shifted = (by: number): Tensor => t.add(query, t.full(device, [], by, "i32"));
	const parts: Tensor[] = [];
	if (causal) parts.push(t.le(at, query));
	if (left >= 0) parts.push(t.ge(at, shifted(-left)));
	if (right >= 0) parts.push(t.le(at, shifted(right)));
	if (filled !== undefined) parts.push(t.lt(at, filled));
	return parts.length === 0 ? undefined : parts.reduce(t.logicalAnd);
}

/** A mask that is shorter than the keys hides the rest. */
function widen(mask: Tensor, columns: number): Tensor {
	const missing = columns - mask.shape[mask.rank - 1];
	if (missing <= 0) return mask;
	const pairs = mask.shape.map((_, i): [number, number] => [0, i === mask.rank - 1 ? missing : 0]);
	return t.pad(mask, pairs, { value: mask.dtype === "bool" ? 0 : Number.NEGATIVE_INFINITY });
}

interface Scores {
	readonly scale: number;
	readonly cap: number;
	/** Which intermediate the fourth output shows: scores, capped scores, scores with the mask, weights. */
	readonly mode: number;
}

/** Step by step, for additive masks and to show what lies between. A query that sees no key gives 0. */
function composed(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, { scale, cap, mode }: Scores): Tensor[] {
	const scores = t.mul(t.matmul(q, t.transpose(k)), scale);
	const capped = cap > 0 ? t.softcap(scores, cap) : scores;
	const masked = t.add(capped, bias);
	const none = t.isinf(t.amax(bias, [-1], { keepDim: true }));
	const weights = t.maskedFill(t.softmax(masked), t.expand(none, [...masked.shape.slice(0, -1), 1]), 0);
	return [t.matmul(weights, v), [capped, capped, masked, weights][mode]];
}

function attention(call: Call): (Tensor | undefined)[] {
	const [query, key, value, given, pastKey, pastValue, nonpad] = call.inputs;
	const { device } = call;
	const isFlat = query.rank === 3;
	const q = isFlat ? toHeads(query, number(call, "q_num_heads", 1)) : query;
	const split = (x: Tensor): Tensor => (isFlat ? toHeads(x, number(call, "kv_num_heads", 1)) : x);
	const presentKey = pastKey === undefined ? split(key) : t.cat([pastKey, split(key)], 2);
	const presentValue = pastValue === undefined ? split(value) : t.cat([pastValue, split(value)], 2);
	const heads = q.shape[1];
	const [k, v] = [repeatHeads(presentKey, heads), repeatHeads(presentValue, heads)];
	const [rows, columns] = [q.shape[2], k.shape[2]];

	const filled = nonpad && t.reshape(nonpad, [nonpad.size, 1, 1, 1]);
	const past = pastKey === undefined ? 0 : pastKey.shape[2];
	const offset = filled === undefined ? past : t.sub(filled, t.full(device, [], rows, "i32"));
	const frontier: Frontier = {
		causal: flag(call, "is_causal"),
		left: number(call, "left_window_size", -1),
		right: number(call, "right_window_size", -1),
		offset,
		filled,
	};
	const options = { scale: number(call, "scale", q.shape[3] ** -0.5), cap: number(call, "softcap", 0) };
	const mode = attribute<number | undefined>(call, "qk_matmul_output_mode", undefined) ?? 0;
	const mask = given && widen(given, columns);
	/** Products of f16 are f32; the node gives its own type back. */
	const done = (y: Tensor, shown?: Tensor): (Tensor | undefined)[] => {
		const [out, between] = [isFlat ? fromHeads(y) : y, shown].map((z) => z && t.cast(z, query.dtype));
		return [out, presentKey, presentValue, between];
	};

	const isAdditive = mask !== undefined && mask.dtype !== "bool";
	if (!isAdditive && call.outputs < 4) {
		const isPlain = typeof offset === "number" && frontier.right < 0;
		const seen = isPlain ? mask : [byPosition(device, rows, columns, frontier), mask].filter((m) => m !== undefined).reduce(t.logicalAnd);
		const own = isPlain ? { isCausal: frontier.causal, window: frontier.left + 1, offset } : {};
		return done(t.scaledDotProductAttention(q, k, v, { scale: options.scale, softcap: options.cap, mask: seen, ...own }));
	}
	const zero = t.zeros(device, [rows, columns]);
	const additive = (m: Tensor): Tensor => t.where(m, zero, t.full(device, [], Number.NEGATIVE_INFINITY));
	const positions = byPosition(device, rows, columns, frontier);
	const parts = [zero, mask && (isAdditive ? mask : additive(mask)), positions && additive(positions)].filter((p) => p !== undefined);
	const [y, shown] = composed(q, k, v, parts.reduce(t.add), { ...options, mode });
	return done(y, shown);
}

/** Pairs (0, 1), (2, 3), … to halves, and back. */
const apart = (x: Tensor): Tensor => t.reshape(t.transpose(t.reshape(x, [...x.shape.slice(0, -1), -1, 2])), x.shape);
const together = (x: Tensor): Tensor => t.reshape(t.transpose(t.reshape(x, [...x.shape.slice(0, -1), 2, -1])), x.shape);

/** By `rope`, whose tables have one row a position: one call for each sample. */
function rotaryEmbedding(call: Call): Tensor {
	const [input, cosine, sine, ids] = call.inputs;
	const x = input.rank === 3 ? toHeads(input, number(call, "num_heads", 1)) : input;
	const size = number(call, "rotary_embedding_dim", 0) || x.shape[3];
	const isInterleaved = flag(call, "interleaved");
	const rotated = t.slice(x, 3, 0, size);
	const halves = isInterleaved ? apart(rotated) : rotated;
	const [c, s] = [cosine, sine].map((table) => (ids === undefined ? table : t.embedding(ids, table)));
	const samples = range(0, x.shape[0]).map((b) => {
		const own = (y: Tensor): Tensor => t.squeeze(t.slice(y, 0, b, b + 1), 0);
		return t.rope(own(halves), own(c), own(s));
	});
	const y = t.stack(samples, 0);
	const whole = t.cat([isInterleaved ? together(y) : y, t.slice(x, 3, size, x.shape[3])], 3);
	return input.rank === 3 ? fromHeads(whole) : whole;
}

export const attentions: Operators = { Attention: attention, RotaryEmbedding: rotaryEmbedding };
