import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { mul, sub } from "./binary.ts";
import { contiguous } from "./copy.ts";
import { sum } from "./expand.ts";
import { addScalar, mulScalar, neg, square, tanh } from "./unary.ts";

const ROW_PARAMS = {
	rows: "u32",
	T: "u32",
	S: "u32",
	causal: "u32",
	window: "u32",
	offset: "u32",
	scale: "f32",
	cap: "f32",
} as const;

/** Bounds lo..hi of the keys that query row `index` sees, and the score of key s. */
const ROW_CODE = `
if (index >= p.rows) { return; }
let at = index * p.S;
let t = index % p.T + p.offset;
let hi = select(p.S, min(p.S, t + 1u), p.causal == 1u);
let lo = select(0u, t + 1u - min(p.window, t + 1u), p.window > 0u);`;
const SCORE = `fn score(v: f32) -> f32 {
  let s = v * p.scale;
  return select(s, p.cap * safeTanh(s / max(p.cap, 1e-30)), p.cap > 0.0);
}`;

type MaskAttrs = { scale: number; softcap: number; causal: boolean; window: number; offset: number };

const rowParams = (x: Tensor, a: MaskAttrs): number[] => {
	const [t, s] = x.shape.slice(-2);
	return [x.size / Math.max(1, s), t, s, Number(a.causal), a.window, a.offset, a.scale, a.softcap];
};

function backward(x: Tensor | undefined, y: Tensor, dy: Tensor, attrs: MaskAttrs): Tensor {
	const dx = y.device.empty(y.shape);
	const capped = x !== undefined;
	const factor = capped ? " * (1.0 - c * c)" : "";
	y.device.run(
		`attentionSoftmax/dx${capped ? "/cap" : ""}`,
		() => ({
			params: ROW_PARAMS,
			buffers: {
				...(capped ? { x: { dtype: "f32", access: "read" } as const } : {}),
				y: { dtype: "f32", access: "read" },
				dy: { dtype: "f32", access: "read" },
				dx: { dtype: "f32", access: "write" },
			},
			workgroup: [16, 1, 1],
			helpers: SCORE,
			body: `${ROW_CODE}
var dot = 0.0;
for (var s = lo; s < hi; s++) { dot += y_at(at + s) * dy_at(at + s); }
for (var s = 0u; s < p.S; s++) {
  var g = 0.0;
  if (s >= lo && s < hi) {
    ${capped ? "let c = score(x_at(at + s)) / p.cap;" : ""}
    g = y_at(at + s) * (dy_at(at + s) - dot) * p.scale${factor};
  }
  dx_set(at + s, g);
}`,
		}),
		[...(capped ? [contiguous(x)] : []), contiguous(y), contiguous(dy), dx],
		rowParams(y, attrs),
		y.size / Math.max(1, y.shape[y.rank - 1]),
	);
	return dx;
}

export const attentionSoftmaxPrimitive = definePrimitive<MaskAttrs>({
	name: "attentionSoftmax",
	signature: "x[..., T, S] -> y[..., T, S]",
	attrs: { scale: 1, softcap: 0, causal: false, window: 0, offset: 0 },
	forward: ({ device, inputs, attrs }) => {
		const x = contiguous(inputs.x);
		const y = device.empty(x.shape);
		device.run(
			"attentionSoftmax",
			() => ({
				params: ROW_PARAMS,
				buffers: { x: { dtype: "f32", access: "read" }, y: { dtype: "f32", access: "write" } },
				workgroup: [16, 1, 1],
				helpers: SCORE,
				body: `${ROW_CODE}
var top = -3.4028234e38;
for (var s = lo; s < hi; s++) { top = nanMax(top, score(x_at(at + s))); }
var total = 0.0;
for (var s = lo; s < hi; s++) { let e = safeExp(score(x_at(at + s)) - top); total += e; y_set(at + s, e); }
for (var s = 0u; s < p.S; s++) {
  if (s >= lo && s < hi) { y_set(at + s, y_at(at + s) / total); } else { y_set(at + s, 0.0); }
}`,
			}),
			[x, y],
			rowParams(x, attrs),
			x.size / Math.max(1, x.shape[x.rank - 1]),
		);
		return [y];
	},
	grad: {
		x: {
			saves: ({ softcap }) => (softcap > 0 ? ["x", "y"] : ["y"]),
			rule: ({ x, y, dy }, attrs) => dy.device.scope(() => backward(x, y, dy, attrs)).alias({ perSample: dy.perSample }),
			again: ({ x, y, dy }, { scale, softcap }) => {
				const dot = sum(mul(y, dy), [-1], { keepDim: true });
				const g = mulScalar(mul(y, sub(dy, dot)), scale);
				return softcap > 0 ? mul(g, addScalar(neg(square(tanh(mulScalar(x, scale / softcap)))), 1)) : g;
			},
		},
	},
	reference: ({ x }, { scale, softcap, causal, window, offset }) => {
		const t = x.shape[x.shape.length - 2];
		const y = mapRows(x, (row, i) => {
			const q = (i % t) + offset;
			const scores = row.map((v, s) => {
				if ((causal && s > q) || (window > 0 && s <= q - window)) return Number.NEGATIVE_INFINITY;
				return softcap > 0 ? softcap * Math.tanh((v * scale) / softcap) : v * scale;
			});
			const top = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
			const e = scores.map((v) => (v === Number.NEGATIVE_INFINITY ? 0 : Math.exp(v - top)));
			const total = e.reduce((a, b) => a + b, 0);
			return e.map((v, s) => (scores[s] === Number.NEGATIVE_INFINITY ? 0 : v / total));
		});
		return [y];
	},
	test: {
		bound: { ulp: 30, abs: 5e-5, why: "exp within 3 + 2|x| ULP, |x| <= 4, over a sum of 8; the cap adds tanh's 1e-5 times cap" },
		sizes: { T: [1, 3, 7], S: [7, 8] },
		variants: [
			{ causal: true, scale: 0.5 },
			{ causal: true, window: 3, softcap: 2 },
			{ causal: true, offset: 0, softcap: 1.5, scale: 0.7 },
		],
	},
});

export interface AttentionSoftmaxOptions {
	readonly scale?: number;
	/** Bound of the scores, cap * tanh(s / cap), applied before the mask; none when left out. */
	readonly softcap?: number;
	/** Query t sees keys s <= t + offset. */
	readonly causal?: boolean;
	/** Query t sees keys s > t + offset - window only; none when left out. */
	readonly window?: number;
	/** Position of the first query minus that of the first key. */
	readonly offset?: number;
}

/**
 * Softmax of attention scores over the last axis, scaled, soft-capped and masked: x[..., T, S] -> y[..., T, S].
 * Masked entries are exactly 0. Subtracts the row maximum; accumulates in f32.
 */
export function attentionSoftmax(x: Tensor, options: AttentionSoftmaxOptions = {}): Tensor {
	return attentionSoftmaxPrimitive.apply([x], options)[0];
}
