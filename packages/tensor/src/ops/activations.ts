import type { Tensor } from "../tensor.ts";
import { EXACT, EXP } from "./bounds.ts";
import { unary, withScalar } from "./elementwise.ts";

/* Element-wise functions of neural networks. Adding one is adding a row. */

/**
 * 1 / (1 + e⁻ˣ), element by element; 0 below −88. The gradient is y (1 − y).
 * @throws DTypeError unless x is f32 or f16.
 */
export const sigmoid = unary("sigmoid", {
	f: "logistic(x)",
	d: { x: "y * (1.0 - y)" },
	ref: ({ x }) => 1 / (1 + Math.exp(-x)),
	bound: EXP,
});
/**
 * max(x, 0), element by element; NaN stays NaN. The gradient is 1 above 0, else 0.
 * @throws DTypeError unless x is f32 or f16.
 */
export const relu = unary("relu", {
	f: "select(x, 0.0, x < 0.0)",
	d: { x: "select(0.0, 1.0, x > 0.0)" },
	ref: ({ x }) => Math.max(x, 0),
	bound: EXACT,
});
/**
 * x sigmoid(x), element by element, also called swish; NaN at −∞, as torch has it. Source: Elfwing, Uchibe and Doya 2017; torch's silu.
 * @throws DTypeError unless x is f32 or f16.
 */
export const silu = unary("silu", { f: "x * logistic(x)", ref: ({ x }) => x / (1 + Math.exp(-x)), bound: EXP });
/**
 * ln(1 + eˣ), element by element, without overflow. The gradient is sigmoid(x). As torch's with beta 1 and no threshold.
 * @throws DTypeError unless x is f32 or f16.
 */
export const softplus = unary("softplus", {
	f: "keepNan(x, max(x, 0.0) + log1p(exp(-abs(x))))",
	d: { x: "logistic(x)" },
	ref: ({ x }) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
	bound: { ulp: 10, abs: 2 ** -20, why: "log of exp: 2^-21 and 9 ULP" },
});
/**
 * ln sigmoid(x) = −ln(1 + e⁻ˣ), element by element, without overflow. The gradient is sigmoid(−x).
 * @throws DTypeError unless x is f32 or f16.
 */
export const logsigmoid = unary("logsigmoid", {
	f: "keepNan(x, min(x, 0.0) - log1p(exp(-abs(x))))",
	d: { x: "logistic(-x)" },
	ref: ({ x }) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))),
	bound: { ulp: 10, abs: 2 ** -20, why: "log of exp: 2^-21 and 9 ULP" },
});
/**
 * Error function 2/√π ∫₀ˣ e^(−t²) dt, element by element: its Taylor series below 0.5, above it Abramowitz and Stegun 7.1.26.
 * The gradient is 2/√π e^(−x²).
 * @throws DTypeError unless x is f32 or f16.
 */
export const erf = unary("erf", {
	f: "erf(x)",
	ref: ({ x }) => erfOf(x),
	bound: { abs: 2e-6, why: "Abramowitz and Stegun 7.1.26 (1.5e-7), exp within 9 ULP" },
});
/**
 * cap · tanh(x / cap), element by element: bounds |x| smoothly by `cap`. The gradient is 1 − (y / cap)². A cap of 0 gives NaN
 * at 0 and else 0. Source: the logits of Gemma 2.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when `cap` is not finite.
 */
export const softcap = withScalar("softcap", {
	f: "p.cap * safeTanh(x / p.cap)",
	d: { x: "1.0 - (y / p.cap) * (y / p.cap)" },
	ref: ({ x, cap }) => cap * Math.tanh(x / cap),
	attrs: { cap: 2 },
	bound: { abs: 4e-5, why: "cap times tanh's 1e-5" },
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
	bound: { ulp: 12, abs: 1e-6, why: "exp within 9 ULP of 1" },
});
/** gelu in its tanh form, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
export const geluTanh = unary("geluTanh", {
	f: "0.5 * x * (1.0 + safeTanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))",
	ref: ({ x }) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
	bound: { abs: 3e-5, why: "half of |x| <= 3 times tanh's 1e-5" },
});
const geluErf = unary("gelu", {
	f: "0.5 * x * (1.0 + erf(0.7071067811865476 * x))",
	ref: ({ x }) => 0.5 * x * (1 + erfOf(x / Math.SQRT2)),
	bound: { abs: 4e-6, why: "half of |x| <= 3 times the error of erf" },
});
/**
 * Gaussian error linear unit x Φ(x) = x/2 (1 + erf(x/√2)), element by element; NaN at −∞. With `approximate` "tanh"
 * ("none" is the default) x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))). Source: Hendrycks and Gimpel 2016; torch's gelu.
 * @throws DTypeError unless x is f32 or f16.
 */
export const gelu = Object.assign(
	(x: Tensor, { approximate = "none" }: { readonly approximate?: "none" | "tanh" } = {}): Tensor =>
		approximate === "tanh" ? geluTanh(x) : geluErf(x),
	{
		/** The definition of the exact form, for the registry. */
		primitive: geluErf.primitive,
	},
);
/** erf in float64: its series, or the continued fraction of erfc beyond 2.5. */
function erfOf(x: number): number {
	const a = Math.abs(x);
	if (Number.isNaN(x)) return x;
	if (a > 2.5) {
		let c = 0;
		for (let k = 60; k > 0; k--) c = k / 2 / (a + c);
		return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + c)));
	}
	let term = x;
	let sum = x;
	for (let k = 1; k < 80; k++) {
		term *= (-x * x) / k;
		sum += term / (2 * k + 1);
	}
	return (2 / Math.sqrt(Math.PI)) * sum;
}
