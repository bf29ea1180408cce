import { optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { add, mul, sub } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { sum } from "./expand.ts";
import { laneCount, MAX, type RowVariant, rowKernel, rowsOf, SUM } from "./rowKernel.ts";
import { neg, square, tanh } from "./unary.ts";

const ROW_PARAMS = {
	T: "u32",
	S: "u32",
	causal: "u32",
	window: "u32",
	offset: "u32",
	scale: "f32",
	cap: "f32",
} as const;

/** Bounds lo..hi of the keys that the query of a row sees, `first` of them that an invocation works on, and the score of key s. */
const ROW_CODE = wgsl`
let at = row * p.S;
let t = row % p.T + p.offset;
let hi = select(p.S, min(p.S, t + 1u), p.causal == 1u);
let lo = select(0u, t + 1u - min(p.window, t + 1u), p.window > 0u);
let first = lo + (own + LANES - lo % LANES) % LANES;`;
const SCORE = wgsl`fn score(v: f32) -> f32 {
  let s = v * p.scale;
  return select(s, p.cap * safeTanh(s / max(p.cap, 1e-30)), p.cap > 0.0);
}`;

export const attentionSoftmaxKernel = defineKernel("attentionSoftmax", (variant: RowVariant) =>
	rowKernel(
		{
			params: ROW_PARAMS,
			buffers: { x: reads("f32"), y: writes("f32") },
			joins: { rowMax: MAX, rowSum: SUM },
			helpers: SCORE,
			body: wgsl`${ROW_CODE}
var top = -3.4028234e38;
for (var s = first; s < hi; s += LANES) { top = nanMax(top, score(x_at(at + s))); }
top = rowMax(own, top);
var sum = vec2f(0.0);
for (var s = first; s < hi; s += LANES) { let e = safeExp(score(x_at(at + s)) - top); sum.x += e; y_set(at + s, e); }
let total = rowSum(own, sum).x;
for (var s = own; s < p.S; s += LANES) {
  if (s >= lo && s < hi && bitcast<u32>(total) != 0u) { y_set(at + s, y_at(at + s) / total); } else { y_set(at + s, 0.0); }
}`,
		},
		variant,
	),
);

/** WGSL of the gradient; `c` is tanh of the score where the scores are capped. */
const gradientBody = (cap: string, factor: string): string => wgsl`${ROW_CODE}
var sum = vec2f(0.0);
for (var s = first; s < hi; s += LANES) { sum.x += y_at(at + s) * dy_at(at + s); }
let dot = rowSum(own, sum).x;
for (var s = own; s < p.S; s += LANES) {
  var g = 0.0;
  if (s >= lo && s < hi) {
    ${cap}
    g = y_at(at + s) * (dy_at(at + s) - dot) * p.scale${factor};
  }
  dx_set(at + s, g);
}`;

export const attentionSoftmaxGradKernel = defineKernel("attentionSoftmax/dx", (variant: RowVariant) =>
	rowKernel(
		{
			params: ROW_PARAMS,
			buffers: { y: reads("f32"), dy: reads("f32"), dx: writes("f32") },
			joins: { rowSum: SUM },
			body: gradientBody("", ""),
		},
		variant,
	),
);

export const cappedSoftmaxGradKernel = defineKernel("attentionSoftmax/dx/cap", (variant: RowVariant) =>
	rowKernel(
		{
			params: ROW_PARAMS,
			buffers: { x: reads("f32"), y: reads("f32"), dy: reads("f32"), dx: writes("f32") },
			joins: { rowSum: SUM },
			helpers: SCORE,
			body: gradientBody("let c = score(x_at(at + s)) / p.cap;", " * (1.0 - c * c)"),
		},
		variant,
	),
);

/** What becomes of scores, and which keys a query sees. */
export type ScoreAttrs = { scale: number; softcap: number; causal: boolean; window: number; offset: number };

export const NO_MASK: ScoreAttrs = { scale: 1, softcap: 0, causal: false, window: 0, offset: 0 };

const rowParams = (x: Physical, { causal, window, offset, scale, softcap }: ScoreAttrs) => {
	const [T, S] = x.shape.slice(-2);
	return { rows: x.size / Math.max(1, S), T, S, causal: Number(causal), window, offset, scale, cap: softcap };
};

/** Whether query number `row` of T sees key s. */
export const sees = (row: number, T: number, s: number, { causal, window, offset }: ScoreAttrs): boolean => {
	const q = (row % T) + offset;
	return (!causal || s <= q) && (window === 0 || s > q - window);
};

const VARIANTS: readonly Partial<ScoreAttrs>[] = [
	{ causal: true, scale: 0.5 },
	{ causal: true, window: 3, softcap: 2 },
	{ causal: true, offset: 0, softcap: 1.5, scale: 0.7 },
];
const SIZES = { T: [1, 3, 7], S: [7, 8] };

/** dx = y (dy - sum(y dy)) scale (1 - c^2), c = tanh(x scale / cap) where scores are capped, else 0; x is only read then. */
export const attentionSoftmaxGradPrimitive = definePrimitive<ScoreAttrs>({
	name: "attentionSoftmax.dx",
	signature: "x[..., T, S], y[..., T, S], dy[..., T, S] -> dx[..., T, S]",
	attrs: NO_MASK,
	forward: ({ runtime, inputs, attrs }) => {
		const [y, dy] = [contiguous(inputs.y), contiguous(inputs.dy)];
		const dx = runtime.empty(y.shape);
		const params = rowParams(y, attrs);
		const variant = rowsOf(runtime, params.S);
		const lanes = laneCount(params.rows, variant);
		if (attrs.softcap > 0) cappedSoftmaxGradKernel.of(variant).run({ x: contiguous(inputs.x), y, dy, dx }, params, lanes);
		else attentionSoftmaxGradKernel.of(variant).run({ y, dy, dx }, params, lanes);
		return [dx];
	},
	grad: { x: "missing", y: "missing", dy: "missing" },
	composite: ({ x, y, dy }, { scale, softcap }) => {
		const dot = sum(mul(y, dy), [-1], { keepDim: true });
		const g = mul(mul(y, sub(dy, dot)), scale);
		return softcap > 0 ? mul(g, add(neg(square(tanh(mul(x, scale / softcap)))), 1)) : g;
	},
	reference: ({ x, y, dy }, attrs) => {
		const [T, S] = x.shape.slice(-2);
		const { scale, softcap } = attrs;
		const dx = mapRows(y, (row, i) => {
			const visible = row.map((_, s) => Number(sees(i, T, s, attrs)));
			const dot = row.reduce((sum, v, s) => (visible[s] ? sum + v * dy.data[i * S + s] : sum), 0);
			return row.map((v, s) => {
				if (!visible[s]) return 0;
				const c = softcap > 0 ? Math.tanh((x.data[i * S + s] * scale) / softcap) : 0;
				return v * (dy.data[i * S + s] - dot) * scale * (1 - c * c);
			});
		});
		return [dx];
	},
	test: {
		domains: { y: { range: [0, 1] }, dy: { range: [-1, 1] } },
		bound: { ulp: 4, abs: 2e-4, why: "a sum of 8 of size 1; the cap has tanh's 1e-5, twice, times dy - sum of size 9" },
		sizes: SIZES,
		variants: VARIANTS,
	},
});

export const attentionSoftmaxPrimitive = definePrimitive<ScoreAttrs>({
	name: "attentionSoftmax",
	signature: "x[..., T, S] -> y[..., T, S]",
	attrs: NO_MASK,
	forward: ({ runtime, inputs, attrs }) => {
		const x = contiguous(inputs.x);
		const y = runtime.empty(x.shape);
		const params = rowParams(x, attrs);
		const variant = rowsOf(runtime, params.S);
		attentionSoftmaxKernel.of(variant).run({ x, y }, params, laneCount(params.rows, variant));
		return [y];
	},
	grad: {
		x: {
			saves: ({ softcap }) => (softcap > 0 ? ["x", "y"] : ["y"]),
			rule: ({ y, x = y, dy }, attrs) => attentionSoftmaxGradPrimitive.apply([x, y, dy], attrs)[0],
		},
	},
	reference: ({ x }, attrs) => {
		const T = x.shape[x.shape.length - 2];
		const { scale, softcap } = attrs;
		const y = mapRows(x, (row, i) => {
			const scores = row.map((v, s) => {
				if (!sees(i, T, s, attrs)) return Number.NEGATIVE_INFINITY;
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
		sizes: SIZES,
		variants: VARIANTS,
	},
});

const OPTIONS = { scale: "number?", softcap: "number?", causal: "flag?", window: "number?", offset: "number?" } as const;

/** Which keys s a query t sees, and what becomes of its scores. */
export interface AttentionSoftmaxOptions {
	/** Factor of the scores; 1 when left out. */
	readonly scale?: number | undefined;
	/** Bound of the scores, cap · tanh(s / cap), applied after the factor and before the mask; 0, when left out, for none. */
	readonly softcap?: number | undefined;
	/** Query t sees keys s ≤ t + offset only; false when left out. */
	readonly causal?: boolean | undefined;
	/** Query t sees keys s > t + offset − window only; 0, when left out, for all. */
	readonly window?: number | undefined;
	/** Position of the first query minus that of the first key; a whole number, 0 when left out. */
	readonly offset?: number | undefined;
}

/**
 * Softmax of attention scores over the last axis, scaled, soft-capped and masked: x f32 `[..., T, S]` → `[..., T, S]`. Masked
 * entries are exactly 0, whatever stood there; so is a row that is masked throughout, or all −∞. Subtracts the row maximum; accumulates in
 * f32.
 * @throws ShapeError when x has fewer than two axes.
 * @throws DTypeError unless x is f32.
 * @throws ValueError when `window` or `offset` is negative or no whole number, or `scale` or `softcap` is not finite.
 */
export function attentionSoftmax(x: Tensor, options: AttentionSoftmaxOptions = {}): Tensor {
	optionsOf("attentionSoftmax", options, OPTIONS);
	return attentionSoftmaxPrimitive.apply([x], options)[0];
}
