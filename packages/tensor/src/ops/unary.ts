import { FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { optionsOf } from "../expects.ts";
import type { Bound, Domain } from "../primitive.ts";
import type { Tensor } from "../tensor.ts";
import { DIVIDED, ELEMENTARY, EXACT } from "./bounds.ts";
import { elementwise, unary } from "./elementwise.ts";

const POSITIVE: Domain = { range: [0.1, 4] };
const INSIDE: Domain = { range: [-0.9, 0.9] };
const NUMBERS = [...FLOATS, ...INTEGERS];
const ARC_SINE: Bound = { ulp: 5, why: "polynomials of our own within 4 ULP, and beyond 1/2 the square root of WGSL" };

/* Element-wise operations of one tensor. Adding one is adding a row. */

/** −x, element by element; f32, f16 or i32. @throws DTypeError for other types. */
export const neg = unary("neg", { f: "-x", ref: ({ x }) => -x, dtypes: [...FLOATS, "i32"], bound: EXACT });
/**
 * |x|, element by element; f32, f16 or i32 (of −2³¹ it is −2³¹). The gradient is sign(x): 0 at 0.
 * @throws DTypeError for other types.
 */
export const abs = unary("abs", { f: "abs(x)", ref: ({ x }) => Math.abs(x), dtypes: [...FLOATS, "i32"], bound: EXACT });
/**
 * −1, 0 or 1 by the sign of x, element by element; NaN stays NaN. The gradient is 0.
 * @throws DTypeError unless x is f32 or f16.
 */
export const sign = unary("sign", { f: "keepNan(x, sign(x))", d: "none", ref: ({ x }) => Math.sign(x), bound: EXACT });
/** x², element by element; f32, f16, i32 or u32. Whole numbers wrap around. @throws DTypeError for other types. */
export const square = unary("square", { f: "x * x", ref: ({ x }) => x * x, dtypes: NUMBERS });
/** √x, element by element; NaN below 0. The gradient 1 / (2√x) is infinite at 0. @throws DTypeError unless x is f32 or f16. */
export const sqrt = unary("sqrt", {
	f: "safeSqrt(x)",
	d: { x: "0.5 / y" },
	ref: ({ x }) => Math.sqrt(x),
	domain: POSITIVE,
	bound: { ulp: 5, why: "WGSL: sqrt inherits from 1 / inverseSqrt, 2 and 2.5 ULP" },
});
/**
 * 1 / √x, element by element; infinite at 0, NaN below. The gradient is −½ x^(−3/2).
 * @throws DTypeError unless x is f32 or f16.
 */
export const rsqrt = unary("rsqrt", {
	f: "inverseSqrt(x)",
	d: { x: "-0.5 * y * y * y" },
	ref: ({ x }) => 1 / Math.sqrt(x),
	domain: POSITIVE,
	bound: { ulp: 2, why: "WGSL: inverseSqrt is within 2 ULP" },
});
/** 1 / x, element by element; infinite at 0. The gradient is −1 / x². @throws DTypeError unless x is f32 or f16. */
export const reciprocal = unary("reciprocal", {
	f: "1.0 / x",
	d: { x: "-y * y" },
	ref: ({ x }) => 1 / x,
	domain: POSITIVE,
	bound: { ulp: 2.5, why: "WGSL: division is within 2.5 ULP" },
});
/** eˣ, element by element. f32 overflows to infinity above 88.72. @throws DTypeError unless x is f32 or f16. */
export const exp = unary("exp", { f: "exp(x)", d: { x: "y" }, ref: ({ x }) => Math.exp(x), bound: ELEMENTARY });
/** 2ˣ, element by element. f32 overflows to infinity at 128. @throws DTypeError unless x is f32 or f16. */
export const exp2 = unary("exp2", { f: "exp2(x)", ref: ({ x }) => 2 ** x, bound: ELEMENTARY });
/**
 * eˣ − 1, element by element, accurate near 0. f32 overflows to infinity above 88.72.
 * @throws DTypeError unless x is f32 or f16.
 */
export const expm1 = unary("expm1", {
	f: "expm1(x)",
	ref: ({ x }) => Math.expm1(x),
	bound: ELEMENTARY,
});
/**
 * Natural logarithm ln x, element by element; −∞ at 0, NaN below. The gradient is 1 / x.
 * @throws DTypeError unless x is f32 or f16.
 */
export const log = unary("log", {
	f: "log(x)",
	ref: ({ x }) => Math.log(x),
	domain: POSITIVE,
	bound: ELEMENTARY,
});
/**
 * Logarithm to the base 2, element by element; −∞ at 0, NaN below. The gradient is 1 / (x ln 2).
 * @throws DTypeError unless x is f32 or f16.
 */
export const log2 = unary("log2", {
	f: "log2(x)",
	ref: ({ x }) => Math.log2(x),
	domain: POSITIVE,
	bound: ELEMENTARY,
});
/**
 * ln(1 + x), element by element, accurate near 0; −∞ at −1, NaN below. The gradient is 1 / (1 + x).
 * @throws DTypeError unless x is f32 or f16.
 */
export const log1p = unary("log1p", {
	f: "log1p(x)",
	ref: ({ x }) => Math.log1p(x),
	domain: { range: [-0.9, 3] },
	bound: ELEMENTARY,
});
/**
 * Sine of x in radians, element by element, of any x.
 * @throws DTypeError unless x is f32 or f16.
 */
export const sin = unary("sin", { f: "sin(x)", ref: ({ x }) => Math.sin(x), bound: ELEMENTARY });
/**
 * Cosine of x in radians, element by element, of any x.
 * @throws DTypeError unless x is f32 or f16.
 */
export const cos = unary("cos", { f: "cos(x)", ref: ({ x }) => Math.cos(x), bound: ELEMENTARY });
/**
 * Tangent of x in radians, element by element, of any x. The gradient is 1 + tan² x.
 * @throws DTypeError unless x is f32 or f16.
 */
export const tan = unary("tan", {
	f: "tan(x)",
	ref: ({ x }) => Math.tan(x),
	domain: { range: [-1.2, 1.2] },
	bound: DIVIDED,
});
/**
 * Arc sine in radians, −π/2 to π/2, element by element, of x in [−1, 1]; NaN of others. The gradient is
 * (1 − x²)^(−½), infinite at ±1.
 * @throws DTypeError unless x is f32 or f16.
 */
export const asin = unary("asin", {
	f: "asin(x)",
	d: { x: "inverseSqrt((1.0 - x) * (1.0 + x))" },
	ref: ({ x }) => Math.asin(x),
	domain: INSIDE,
	bound: ARC_SINE,
});
/**
 * Arc cosine in radians, 0 to π, element by element, of x in [−1, 1]; NaN of others. The gradient is
 * −(1 − x²)^(−½), infinite at ±1.
 * @throws DTypeError unless x is f32 or f16.
 */
export const acos = unary("acos", {
	f: "acos(x)",
	d: { x: "-inverseSqrt((1.0 - x) * (1.0 + x))" },
	ref: ({ x }) => Math.acos(x),
	domain: INSIDE,
	bound: ARC_SINE,
});
/**
 * Arc tangent in radians, −π/2 to π/2, element by element. The gradient is 1 / (1 + x²). See `atan2`.
 * @throws DTypeError unless x is f32 or f16.
 */
export const atan = unary("atan", { f: "atan(x)", ref: ({ x }) => Math.atan(x), bound: DIVIDED });
/** Hyperbolic sine (eˣ − e⁻ˣ) / 2, element by element. The gradient is cosh x. @throws DTypeError unless x is f32 or f16. */
export const sinh = unary("sinh", {
	f: "sinh(x)",
	ref: ({ x }) => Math.sinh(x),
	bound: DIVIDED,
});
/** Hyperbolic cosine (eˣ + e⁻ˣ) / 2, element by element. The gradient is sinh x. @throws DTypeError unless x is f32 or f16. */
export const cosh = unary("cosh", {
	f: "cosh(x)",
	ref: ({ x }) => Math.cosh(x),
	bound: DIVIDED,
});
/**
 * Hyperbolic tangent, element by element; ±1 far out. The gradient is 1 − tanh² x.
 * @throws DTypeError unless x is f32 or f16.
 */
export const tanh = unary("tanh", { f: "tanh(x)", d: { x: "1.0 - y * y" }, ref: ({ x }) => Math.tanh(x), bound: DIVIDED });
/**
 * The largest whole number ≤ x, element by element, as a float. The gradient is 0.
 * @throws DTypeError unless x is f32 or f16.
 */
export const floor = unary("floor", { f: "floor(x)", d: "none", ref: ({ x }) => Math.floor(x), bound: EXACT });
/**
 * The smallest whole number ≥ x, element by element, as a float. The gradient is 0.
 * @throws DTypeError unless x is f32 or f16.
 */
export const ceil = unary("ceil", { f: "ceil(x)", d: "none", ref: ({ x }) => Math.ceil(x), bound: EXACT });
/**
 * The nearest whole number, halves to the even one, element by element, as a float. The gradient is 0.
 * @throws DTypeError unless x is f32 or f16.
 */
export const round = unary("round", {
	f: "round(x)",
	d: "none",
	ref: ({ x }) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)),
	bound: EXACT,
});
/**
 * x without its fraction (rounded towards 0), element by element, as a float. The gradient is 0.
 * @throws DTypeError unless x is f32 or f16.
 */
export const trunc = unary("trunc", { f: "trunc(x)", d: "none", ref: ({ x }) => Math.trunc(x), bound: EXACT });
/** True where x is NaN; bool. No gradient. @throws DTypeError unless x is f32 or f16. */
export const isnan = unary("isnan", { f: "isNan(x)", d: "none", ref: ({ x }) => Number(Number.isNaN(x)), result: "bool" });
/** True where x is ∞ or −∞; bool. No gradient. @throws DTypeError unless x is f32 or f16. */
export const isinf = unary("isinf", {
	f: "isInf(x)",
	d: "none",
	ref: ({ x }) => Number(Math.abs(x) === Number.POSITIVE_INFINITY),
	result: "bool",
});
/** True where x is neither NaN nor infinite; bool. No gradient. @throws DTypeError unless x is f32 or f16. */
export const isfinite = unary("isfinite", { f: "isFinite(x)", d: "none", ref: ({ x }) => Number(Number.isFinite(x)), result: "bool" });
/**
 * Not x, element by element; bool. No gradient.
 * @throws DTypeError unless x is bool: `cast(x, "bool")` is true for all but 0.
 */
export const logicalNot = unary("logicalNot", {
	f: "x == 0u",
	d: "none",
	ref: ({ x }) => Number(x === 0),
	dtypes: ["bool"],
	result: "bool",
	domain: { whole: [0, 1] },
});

const clampPrimitive = elementwise("clamp", ["x"], {
	f: "keepNan(x, min(max(x, p.low), p.high))",
	d: { x: "select(0.0, 1.0, x >= p.low && x <= p.high)" },
	ref: ({ x, low, high }) => Math.min(Math.max(x, low), high),
	attrs: { low: -1, high: 1.5 },
	infinite: true,
	bound: EXACT,
});

/**
 * x limited to `min`..`max`, element by element: min(max(x, `min`), `max`), so that `max` wins where it is the smaller. Either
 * may be left out or infinite; NaN stays NaN. The gradient is 1 from `min` to `max`, both included, 0 outside.
 * @throws DTypeError unless x is f32 or f16.
 * @throws ValueError when `min` or `max` is NaN.
 */
export const clamp = Object.assign(
	(x: Tensor, options: { readonly min?: number; readonly max?: number }): Tensor => {
		const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = optionsOf("clamp", options, {
			min: "number?",
			max: "number?",
		});
		if (Number.isNaN(min) || Number.isNaN(max)) throw new ValueError("clamp/range", `clamp: ${min}..${max} is no range`, { op: "clamp" });
		return clampPrimitive.apply([x], { low: min, high: max })[0];
	},
	{
		/** The definition, for the registry. */
		primitive: clampPrimitive,
	},
);
