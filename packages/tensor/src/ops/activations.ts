import { oneOf, optional, optionsOf } from "../expects.ts";
import { blaming } from "../named.ts";
import { erfcOf, erfOf } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { DIVIDED, ELEMENTARY, EXACT } from "./bounds.ts";
import { unary, withScalar } from "./elementwise.ts";

/* Element-wise functions of neural networks. Adding one is adding a row. */

/**
 * 1 / (1 + e⁻ˣ), element by element. The gradient is y (1 − y).
 * @throws DTypeError unless x is f32 or f16.
 */
export const sigmoid = unary("sigmoid", {
	f: "logistic(x)",
	d: { x: "y * (1.0 - y)" },
	ref: ({ x }) => 1 / (1 + Math.exp(-x)),
	bound: DIVIDED,
});
/**
 * max(x, 0), element by element; NaN stays NaN. The gradient is 1 above 0, else 0.
 * @throws DTypeError unless x is f32 or f16.
 */
export const relu = unary("relu", {
	f: "keepNan(x, max(x, 0.0))",
	d: { x: "select(0.0, 1.0, x > 0.0)" },
	ref: ({ x }) => Math.max(x, 0),
	bound: EXACT,
});
/**
 * x sigmoid(x), element by element, also called swish; NaN at −∞. Source: Elfwing, Uchibe and Doya 2017; torch's silu.
 * @throws DTypeError unless x is f32 or f16.
 */
export const silu = unary("silu", { f: "siluOf(x)", ref: ({ x }) => x / (1 + Math.exp(-x)), bound: DIVIDED });
/**
 * ln(1 + eˣ), element by element, without overflow. The gradient is sigmoid(x). As torch's with beta 1 and no threshold.
 * @throws DTypeError unless x is f32 or f16.
 */
export const softplus = unary("softplus", {
	f: "keepNan(x, max(x, 0.0) + log1p(exp(-abs(x))))",
	d: { x: "logistic(x)" },
	ref: ({ x }) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
	bound: ELEMENTARY,
});
/**
 * ln sigmoid(x) = −ln(1 + e⁻ˣ), element by element, without overflow. The gradient is sigmoid(−x).
 * @throws DTypeError unless x is f32 or f16.
 */
export const logsigmoid = unary("logsigmoid", {
	f: "keepNan(x, min(x, 0.0) - log1p(exp(-abs(x))))",
	d: { x: "logistic(-x)" },
	ref: ({ x }) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))),
	bound: ELEMENTARY,
});
/**
 * Error function 2/√π ∫₀ˣ e^(−t²) dt, element by element. The gradient is 2/√π e^(−x²).
 * @throws DTypeError unless x is f32 or f16.
 */
export const erf = unary("erf", {
	f: "erf(x)",
	ref: ({ x }) => erfOf(x),
	bound: ELEMENTARY,
});
/**
 * cap · tanh(x / cap), element by element: bounds |x| smoothly by `cap`. The gradient is 1 − (y / cap)². A cap of 0 gives NaN
 * at 0 and else 0. Source: the logits of Gemma 2.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when `cap` is not finite.
 */
export const softcap = withScalar("softcap", {
	f: "select(p.cap * tanh(x / p.cap), x, abs(x) < 1e-4 * abs(p.cap))",
	d: { x: "1.0 - (y / p.cap) * (y / p.cap)" },
	ref: ({ x, cap }) => cap * Math.tanh(x / cap),
	attrs: { cap: 2 },
	bound: DIVIDED,
});
/**
 * x above 0, else slope · x, element by element; the gradient at 0 is the slope, as torch has it.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when `slope` is not finite.
 */
export const leakyRelu = withScalar("leakyRelu", {
	f: "select(x * p.slope, x, x > 0.0)",
	ref: ({ x, slope }) => (x > 0 ? x : x * slope),
	attrs: { slope: 0.01 },
});
/**
 * x above 0, else alpha · (eˣ − 1), element by element; the gradient at 0 is alpha, as torch has it. Source: Clevert,
 * Unterthiner and Hochreiter 2015.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when `alpha` is not finite.
 */
export const elu = withScalar("elu", {
	f: "select(p.alpha * expm1(x), x, x > 0.0)",
	d: { x: "select(p.alpha * exp(x), 1.0, x > 0.0)" },
	ref: ({ x, alpha }) => (x > 0 ? x : alpha * Math.expm1(x)),
	attrs: { alpha: 1 },
	bound: ELEMENTARY,
});
/** gelu in its tanh form, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
export const geluTanh = unary("geluTanh", {
	f: "tanhGeluOf(x)",
	ref: ({ x }) => x / (1 + Math.exp(-Math.sqrt(8 / Math.PI) * (x + 0.044715 * x ** 3))),
	bound: DIVIDED,
});
const GELU = { approximate: optional(oneOf("none", "tanh")) };
const geluErf = unary("gelu", {
	f: "geluOf(x)",
	ref: ({ x }) => (x / 2) * erfcOf(-x / Math.SQRT2),
	bound: ELEMENTARY,
});
/**
 * Gaussian error linear unit x Φ(x) = x/2 (1 + erf(x/√2)), element by element; NaN at −∞, as torch has it. With `approximate` "tanh"
 * ("none" is the default) x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))). Source: Hendrycks and Gimpel 2016; torch's gelu.
 * @throws DTypeError unless x is f32 or f16.
 */
export const gelu = Object.assign(
	(x: Tensor, options: { readonly approximate?: "none" | "tanh" } = {}): Tensor => {
		const { approximate } = optionsOf("gelu", options, GELU);
		return approximate === "tanh" ? blaming("gelu", () => geluTanh(x)) : geluErf(x);
	},
	{
		/** The definition of the exact form, for the registry. */
		primitive: geluErf.primitive,
	},
);
