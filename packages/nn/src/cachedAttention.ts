import { ShapeError, type Tensor, ValueError } from "@hushgrad/tensor";
import {
	contiguous,
	defineKernel,
	definePrimitive,
	expects,
	type NdArray,
	optionsOf,
	type Primitive,
	reads,
	tapeOf,
	wgsl,
	writes,
} from "@hushgrad/tensor/author";
import { checkTables, type Placement } from "./cacheUpdate.ts";
import { rotated } from "./rotated.ts";

/** Keys whose weights a workgroup holds at once. */
const KEYS = 1024;
/** How wide heads may be. */
const WIDEST = 1024;

/** WGSL of a function in which all invocations of a workgroup join their values, by halves. */
const joining = (name: string, lanes: number, of: string): string => wgsl`fn ${name}(lane: u32, v: f32) -> f32 {
  parts[lane] = vec4f(v);
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (lane < half) { let a = parts[lane].x; let b = parts[lane + half].x; parts[lane] = vec4f(${of}); }
  }
  workgroupBarrier();
  let result = parts[0].x;
  workgroupBarrier();
  return result;
}`;

type Variant = {
	/** Invocations of a workgroup, which has one head of the queries. */
	readonly lanes: 64 | 256;
	/** Keys and values are read in fours. */
	readonly wide: boolean;
};

/*
 * An invocation has keys of its own while scores are made, and a column of the values while they are added up: fours where `wide`. Several
 * have one column where there are fewer columns than invocations, each every n-th key.
 */
export const cachedAttentionKernel = defineKernel("cachedAttention", ({ lanes, wide }: Variant) => {
	const [four, step, type] = wide ? ["4", 4, "vec4f"] : ["", 1, "f32"];
	const factor = wide ? `vec4f(${[0, 1, 2, 3].map((k) => `query[4u * i + ${k}u]`).join(", ")})` : "query[i]";
	return {
		params: { H: "u32", share: "u32", S: "i32", J: "u32", V: "u32", window: "u32", scale: "f32", cap: "f32" },
		buffers: {
			q: reads("f32"),
			cos: reads("f32"),
			sin: reads("f32"),
			at: reads("i32"),
			keys: reads("f32", wide ? 4 : 1),
			values: reads("f32", wide ? 4 : 1),
			y: writes("f32", wide ? 4 : 1),
		},
		workgroup: lanes,
		shared: {
			query: { type: "f32", length: WIDEST },
			weights: { type: "f32", length: KEYS },
			parts: { type: "vec4f", length: lanes },
		},
		helpers: `${joining("highest", lanes, "nanMax(a, b)")}\n${joining("total", lanes, "a + b")}`,
		body: wgsl`
let head = wid.x;
if (head >= p.H) { return; }
let group = head / p.share;
let position = at_at(0u);
let end = u32(clamp(position + 1, 0, p.S));
let first = select(0u, end - min(p.window, end), p.window > 0u);
let turn = u32(clamp(position, 0, p.S - 1)) * p.J;
for (var j = lane; j < p.J; j += ${lanes}u) {
  let lo = q_at(head * 2u * p.J + j);
  let hi = q_at(head * 2u * p.J + j + p.J);
  let c = cos_at(turn + j);
  let s = sin_at(turn + j);
  query[j] = lo * c - hi * s;
  query[j + p.J] = hi * c + lo * s;
}
workgroupBarrier();
let deep = 2u * p.J / ${step}u;
let columns = p.V / ${step}u;
var top = -3.4028234e38;
var sum = 0.0;
for (var start = first; start < end; start += ${KEYS}u) {
  let stop = min(end, start + ${KEYS}u);
  var own = -3.4028234e38;
  for (var s = start + lane; s < stop; s += ${lanes}u) {
    let source = (group * u32(p.S) + s) * deep;
    var products = ${type}();
    for (var i = 0u; i < deep; i++) { products += ${factor} * keys_at${four}(source + i); }
    let product = ${wide ? "((products.x + products.y) + (products.z + products.w))" : "products"} * p.scale;
    let score = select(product, p.cap * tanh(product / max(p.cap, 1e-30)), p.cap > 0.0);
    weights[s - start] = score;
    own = nanMax(own, score);
  }
  let high = nanMax(top, highest(lane, own));
  let fade = exp(top - high);
  top = high;
  var mine = 0.0;
  for (var s = start + lane; s < stop; s += ${lanes}u) {
    let weight = exp(weights[s - start] - high);
    weights[s - start] = weight;
    mine += weight;
  }
  sum = sum * fade + total(lane, mine);
  for (var base = 0u; base < columns; base += ${lanes}u) {
    let width = min(${lanes}u, columns - base);
    let strands = ${lanes}u / width;
    let column = base + lane % width;
    var added = ${type}();
    if (lane < width * strands) {
      for (var s = start + lane / width; s < stop; s += strands) {
        added += weights[s - start] * values_at${four}((group * u32(p.S) + s) * columns + column);
      }
    }
    parts[lane] = ${wide ? "added" : "vec4f(added)"};
    workgroupBarrier();
    if (lane < width) {
      for (var i = 1u; i < strands; i++) { added += parts[lane + i * width]${wide ? "" : ".x"}; }
      let to = head * columns + column;
      if (start > first) { added += y_at${four}(to) * fade; }
      y_set${four}(to, select(added, added / sum, stop == end && bitcast<u32>(sum) != 0u));
    }
    workgroupBarrier();
  }
}
if (first >= end) { for (var i = lane; i < columns; i += ${lanes}u) { y_set${four}(head * columns + i, ${type}()); } }`,
	};
});

/** What becomes of scores, and how many keys are seen. */
export type CachedAttentionAttrs = {
	/** Factor of the scores. */
	scale: number;
	/** Bound of the scores, cap · tanh(s / cap); 0 for none. */
	softcap: number;
	/** Keys that are seen, the last ones; 0 for all. */
	window: number;
};

export const cachedAttentionPrimitive: Primitive<CachedAttentionAttrs> = definePrimitive<CachedAttentionAttrs>({
	name: "cachedAttention",
	signature: "q![H, K], cos![P, J], sin![P, J], at![1], keys![G, S, K], values![G, S, V] -> y[H, V]",
	dtypes: { at: ["i32"] },
	attrs: { scale: 1, softcap: 0, window: 0 },
	check: (operands, _, axes) => {
		checkTables("cachedAttention", axes);
		if (Object.values(operands).some((t) => tapeOf(t) !== undefined)) {
			throw new ValueError("cache/traced", "cachedAttention: a gradient is being computed, and it has none", {
				op: "cachedAttention",
				hint: "scaledDotProductAttention has gradients",
			});
		}
		const { H, G, K } = axes;
		if (K <= WIDEST && (G === 0 ? H === 0 : H % G === 0)) return;
		throw new ShapeError("cache/heads", `cachedAttention: ${H} heads of queries, ${G} of keys, of ${K} numbers`, {
			op: "cachedAttention",
			hint: `the heads of the queries are a multiple of those of the keys, of ${WIDEST} numbers at most`,
		});
	},
	forward: ({ runtime, inputs, attrs: { scale, softcap, window }, axes: { H, G, S, J, V } }) => {
		const [q, cos, sin, at, keys, values] = [inputs.q, inputs.cos, inputs.sin, inputs.at, inputs.keys, inputs.values].map(contiguous);
		const y = runtime.empty([1, H, V]);
		const wide = [2 * J, V, keys.offset, values.offset].every((n) => n % 4 === 0);
		const lanes = runtime.device.plan === "cpu" ? 64 : 256;
		const params = { H, share: H / Math.max(1, G), S, J, V, window, scale, cap: softcap };
		cachedAttentionKernel.of({ lanes, wide }).run({ q, cos, sin, at, keys, values, y }, params, H * lanes);
		return [y];
	},
	grad: { q: "none", cos: "none", sin: "none", at: "none", keys: "none", values: "none" },
	reference: ({ q, cos, sin, at, keys, values }, { scale, softcap, window }) => {
		const [H, K] = q.shape;
		const [G, S, V] = values.shape;
		const position = Math.min(at.data[0], S - 1);
		const turned = rotated(q, cos, sin, Math.max(0, position));
		const seen = Array.from({ length: position + 1 }, (_, s) => s).slice(-window);
		const y: NdArray = { data: new Float64Array(H * V), shape: [H, V] };
		for (let h = 0; h < H; h++) {
			const group = Math.floor((h * G) / H);
			const scores = seen.map((s) => {
				let dot = 0;
				for (let i = 0; i < K; i++) dot += turned[h * K + i] * keys.data[(group * S + s) * K + i];
				return softcap > 0 ? softcap * Math.tanh((dot * scale) / softcap) : dot * scale;
			});
			const top = Math.max(...scores);
			const weights = scores.map((score) => Math.exp(score - top));
			const total = weights.reduce((a, b) => a + b, 0);
			for (let i = 0; i < V; i++) {
				for (const [n, s] of seen.entries()) y.data[h * V + i] += (weights[n] / total) * values.data[(group * S + s) * V + i];
			}
		}
		return [y];
	},
	test: {
		bound: {
			abs: 3e-4,
			why: "scores of 8 products of size 8 (4e-5), exp within 40 ULP, the cap 1e-5 times its size, times values of size 2",
		},
		domains: { at: { belowAxis: "S" } },
		sizes: { H: [4, 3, 2], G: [2, 3, 1], K: [2, 8, 8], J: [1, 4, 4], S: [5, 70, 1100], P: [5, 72, 1100], V: [70, 8, 4] },
		variants: [
			{ scale: 0.3, window: 3 },
			{ softcap: 2, window: 50 },
			{ scale: 0.5, softcap: 1.5 },
		],
	},
});

/** Options of `cachedAttention`. */
export interface CachedAttentionOptions {
	/** Factor of the scores; K^(−½) when left out. */
	readonly scale?: number | undefined;
	/** Bound of the scores, cap · tanh(s / cap); 0, when left out, for none. */
	readonly softcap?: number | undefined;
	/** Keys that are seen, the last ones; 0, when left out, for all. */
	readonly window?: number | undefined;
}

/**
 * Attention of one token to itself and those before it, whose keys and values lie in a cache (see `cacheUpdate`, which comes first): the
 * softmax of cap((R q) kᵀ scale) over the keys of the positions to `at`, times the values; R rotates by the position (see `rope`). q f32
 * `[H, K]` → f32 `[H, V]`; as many heads of queries as stand in G share each head of keys. The position is read on the device, so that a
 * captured step can take a new one, and the time is that of the tokens there are, not of the room. No gradient. Source: Vaswani et al. 2017.
 * @throws ShapeError when shapes do not fit, or for heads wider than 1024; DTypeError for other types; ValueError while a gradient is
 * computed, and for options that are not finite or a window that is no whole number.
 */
export function cachedAttention(q: Tensor, { keys, values, at, cos, sin }: Placement, options: CachedAttentionOptions = {}): Tensor {
	expects("cachedAttention", { q }, { q: "tensor" });
	const { scale = q.shape[q.rank - 1] ** -0.5, softcap, window } = optionsOf("cachedAttention", options, OPTIONS);
	return cachedAttentionPrimitive.apply([q, cos, sin, at, keys, values], { scale, softcap, window })[0];
}

const OPTIONS = { scale: "number?", softcap: "number?", window: "count?" } as const;
