import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import type { Domain } from "../primitive.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { DIVIDED } from "./bounds.ts";
import { elementwise } from "./elementwise.ts";
import { binary, ofSeveral } from "./operands.ts";

const POSITIVE: Domain = { range: [0.1, 4] };
const NUMBERS = [...FLOATS, ...INTEGERS];
const ALL: readonly DType[] = [...NUMBERS, "bool"];
const LOGICAL = { dtypes: ["bool"], result: "bool", d: "none", domain: { whole: [0, 1] }, commutes: true } as const;
const COMPARISON = { dtypes: NUMBERS, result: "bool", d: "none", domain: { whole: [-2, 2] }, infinite: true } as const;
const EQUALITY = { ...COMPARISON, dtypes: ALL, commutes: true } as const;
const EXACT = { ulp: 0, why: "gives one of its operands" };
const DIVISION = { ulp: 2.5, why: "WGSL: division is within 2.5 ULP" };

/* Element-wise operations of two operands, with broadcasting. Adding one is adding a row. */

/**
 * a + b, element by element, broadcast as numpy. f32, f16, i32 or u32: whole numbers both of one type, and they wrap around; f16
 * with f32 gives f32. Either may be a number that the type of the other holds.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const add = binary("add", { f: "a + b", d: { a: "1.0", b: "1.0" }, ref: ({ a, b }) => a + b, dtypes: NUMBERS, commutes: true });
/**
 * a − b, element by element, broadcast as numpy. f32, f16, i32 or u32: whole numbers both of one type, and they wrap around; f16
 * with f32 gives f32. Either may be a number that the type of the other holds.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const sub = binary("sub", { f: "a - b", d: { a: "1.0", b: "-1.0" }, ref: ({ a, b }) => a - b, dtypes: NUMBERS });
/**
 * a · b, element by element, broadcast as numpy. f32, f16, i32 or u32: whole numbers both of one type, and they wrap around; f16
 * with f32 gives f32. Either may be a number that the type of the other holds.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const mul = binary("mul", { f: "a * b", d: { a: "b", b: "a" }, ref: ({ a, b }) => a * b, dtypes: NUMBERS, commutes: true });
/** a / b of floats, element by element, broadcast as numpy: the public `div` without options. */
export const div = binary("div", {
	f: "quotient(a, b)",
	d: { a: "1.0 / b", b: "-y / b" },
	ref: ({ a, b }) => a / b,
	domain: POSITIVE,
	bound: DIVISION,
});

/** By squaring; for negative n 1 / a⁻ⁿ rounded towards 0. */
const WHOLE_POWER = `fn wholePower(a: T, n: T) -> T {
  if (n < 0) { return select(select(T(0), select(T(1), a, (n & 1) == 1), a * a == 1), T(1), a == 1); }
  var y = T(1);
  var square = a;
  for (var rest = n; rest != 0; rest >>= 1u) {
    if ((rest & 1) == 1) { y *= square; }
    square *= square;
  }
  return y;
}`;

/**
 * aᵇ, element by element, broadcast as numpy, as C's pow: a⁰ = 1 and 1ᵇ = 1 also with NaN; of negative a only whole b, others
 * give NaN. The gradient by a is b aᵇ⁻¹, 0 for b = 0; that by b is aᵇ ln a, 0 for a = 0 and b ≥ 0, NaN for negative a. Small
 * whole exponents multiply. Whole numbers, both i32 or both u32, wrap around; with a negative b they give 1 / a⁻ᵇ rounded towards 0,
 * and 0 for a = 0. Either may be a number that the type of the other holds.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const pow = binary("pow", {
	f: "power(a, b)",
	integer: "wholePower(a, b)",
	helpers: WHOLE_POWER,
	dtypes: NUMBERS,
	// Where both are whole, as whole numbers have it: of floats the tests draw none such.
	ref: ({ a, b }) => (b < 0 && Number.isInteger(a) && Number.isInteger(b) ? Math.trunc(a ** b) : a ** b),
	domain: { a: POSITIVE, b: { range: [-2, 2] } },
	bound: DIVIDED,
});
/**
 * The larger of two, element by element, broadcast as numpy; NaN if either is. f32, f16, i32 or u32. Where both are equal each
 * gets half of the gradient, where either is NaN both get NaN. Either may be a number that the type of the other holds.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is NaN.
 */
export const maximum = binary("maximum", {
	f: "nanMax(a, b)",
	integer: "max(a, b)",
	dtypes: NUMBERS,
	d: {
		a: "keepNan(a + b, select(select(0.0, 0.5, a == b), 1.0, a > b))",
		b: "keepNan(a + b, select(select(0.0, 0.5, a == b), 1.0, a < b))",
	},
	infinite: true,
	commutes: true,
	ref: ({ a, b }) => Math.max(a, b),
	bound: EXACT,
});
/**
 * The smaller of two, element by element, broadcast as numpy; NaN if either is. f32, f16, i32 or u32. Where both are equal each
 * gets half of the gradient, where either is NaN both get NaN. Either may be a number that the type of the other holds.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is NaN.
 */
export const minimum = binary("minimum", {
	f: "nanMin(a, b)",
	integer: "min(a, b)",
	dtypes: NUMBERS,
	d: {
		a: "keepNan(a + b, select(select(0.0, 0.5, a == b), 1.0, a < b))",
		b: "keepNan(a + b, select(select(0.0, 0.5, a == b), 1.0, a > b))",
	},
	infinite: true,
	commutes: true,
	ref: ({ a, b }) => Math.min(a, b),
	bound: EXACT,
});
/**
 * a − ⌊a / b⌋ b, element by element, broadcast as numpy: what is left, with the sign of b, as torch's remainder and Python's %.
 * Floats by 0 give NaN, whole numbers by 0 give 0; of floats it is exact while a / b has at most 24 bits. The gradient is 1 by a
 * and −⌊a / b⌋ by b. Either may be a number that the type of the other holds.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const remainder = binary("remainder", {
	f: "remainderOf(a, b)",
	integer: "select(a % b, a % b + b, a % b != 0 && (a % b < 0) != (b < 0))",
	dtypes: NUMBERS,
	d: { a: "1.0", b: "-floor(a / b)" },
	ref: ({ a, b }) => a - Math.floor(a / b) * b,
	domain: { a: { range: [-3, 3] }, b: { range: [0.7, 0.9] } },
	bound: { abs: 2e-6, why: "the product floor(a / b) b is rounded at up to 4" },
});
/**
 * a − trunc(a / b) b, element by element, broadcast as numpy: what is left, with the sign of a, as C's fmod. Floats by 0 give
 * NaN, whole numbers by 0 give 0; of floats it is exact while a / b has at most 24 bits. The gradient is 1 by a and −trunc(a /
 * b) by b. Either may be a number that the type of the other holds.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const fmod = binary("fmod", {
	f: "fmodOf(a, b)",
	integer: "a % b",
	dtypes: NUMBERS,
	d: { a: "1.0", b: "-trunc(a / b)" },
	ref: ({ a, b }) => a - Math.trunc(a / b) * b,
	domain: { a: { range: [-3, 3] }, b: { range: [0.7, 0.9] } },
	bound: { abs: 2e-6, why: "the product trunc(a / b) b is rounded at up to 4" },
});
/**
 * Angle of the point (b, a), −π to π in radians, element by element, broadcast as numpy: the arc tangent of a / b by quadrant.
 * At (0, 0) it is 0 or ±π by the signs, as IEEE 754 has it, and its gradient 0. Either may be a number that the type of the other
 * holds.
 * @throws DTypeError unless both are f32 or f16.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const atan2 = binary("atan2", {
	f: "atan2(a, b)",
	d: {
		a: "select(b / (a * a + b * b), 0.0, a == 0.0 && b == 0.0)",
		b: "select(-a / (a * a + b * b), 0.0, a == 0.0 && b == 0.0)",
	},
	ref: ({ a, b }) => Math.atan2(a, b),
	domain: POSITIVE,
	bound: DIVIDED,
});
/**
 * gelu(a) · b, element by element, broadcast as numpy, a the gate, gelu in the tanh form: the gated activation of Gemma's MLP.
 * Source: Shazeer 2020. Either may be a number that the type of the other holds.
 * @throws DTypeError unless both are f32 or f16.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const geglu = binary("geglu", {
	f: "tanhGeluOf(a) * b",
	ref: ({ a, b }) => (a * b) / (1 + Math.exp(-Math.sqrt(8 / Math.PI) * (a + 0.044715 * a ** 3))),
	bound: DIVIDED,
});
/**
 * True where a = b, element by element, broadcast as numpy; false where either is NaN. f32, f16, i32, u32 or bool → bool. No
 * gradient. Either may be a number, true or false, that the type of the other holds.
 * @throws DTypeError for storage types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is NaN.
 */
export const eq = binary<never, number | boolean>("eq", { f: "a == b", ref: ({ a, b }) => Number(a === b), ...EQUALITY });
/**
 * True where a ≠ b, element by element, broadcast as numpy; true where either is NaN. f32, f16, i32, u32 or bool → bool. No
 * gradient. Either may be a number, true or false, that the type of the other holds.
 * @throws DTypeError for storage types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is NaN.
 */
export const ne = binary<never, number | boolean>("ne", { f: "!(a == b)", ref: ({ a, b }) => Number(a !== b), ...EQUALITY });
/**
 * True where a < b, element by element, broadcast as numpy; false where either is NaN. f32, f16, i32 or u32 → bool. No gradient.
 * Either may be a number that the type of the other holds.
 * @throws DTypeError for bool and storage types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is NaN.
 */
export const lt = binary("lt", { f: "a < b", ref: ({ a, b }) => Number(a < b), ...COMPARISON });
/**
 * True where a ≤ b, element by element, broadcast as numpy; false where either is NaN. f32, f16, i32 or u32 → bool. No gradient.
 * Either may be a number that the type of the other holds.
 * @throws DTypeError for bool and storage types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is NaN.
 */
export const le = binary("le", { f: "a <= b", ref: ({ a, b }) => Number(a <= b), ...COMPARISON });
/**
 * True where a > b, element by element, broadcast as numpy; false where either is NaN. f32, f16, i32 or u32 → bool. No gradient.
 * Either may be a number that the type of the other holds.
 * @throws DTypeError for bool and storage types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is NaN.
 */
export const gt = binary("gt", { f: "a > b", ref: ({ a, b }) => Number(a > b), ...COMPARISON });
/**
 * True where a ≥ b, element by element, broadcast as numpy; false where either is NaN. f32, f16, i32 or u32 → bool. No gradient.
 * Either may be a number that the type of the other holds.
 * @throws DTypeError for bool and storage types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is NaN.
 */
export const ge = binary("ge", { f: "a >= b", ref: ({ a, b }) => Number(a >= b), ...COMPARISON });
/**
 * True where a and b are, element by element, broadcast as numpy; bool. No gradient. Either may be true or false.
 * @throws DTypeError unless both are bool.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are truths.
 */
export const logicalAnd = binary<never, boolean>("logicalAnd", {
	f: "a != 0u && b != 0u",
	ref: ({ a, b }) => Number(a !== 0 && b !== 0),
	...LOGICAL,
});
/**
 * True where a or b is, element by element, broadcast as numpy; bool. No gradient. Either may be true or false.
 * @throws DTypeError unless both are bool.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are truths.
 */
export const logicalOr = binary<never, boolean>("logicalOr", {
	f: "a != 0u || b != 0u",
	ref: ({ a, b }) => Number(a !== 0 || b !== 0),
	...LOGICAL,
});
/**
 * True where one of a and b is, but not both, element by element, broadcast as numpy; bool. No gradient. Either may be true or
 * false.
 * @throws DTypeError unless both are bool.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are truths.
 */
export const logicalXor = binary<never, boolean>("logicalXor", {
	f: "(a != 0u) != (b != 0u)",
	ref: ({ a, b }) => Number((a !== 0) !== (b !== 0)),
	...LOGICAL,
});

export const addScaledPrimitive = elementwise("addScaled", ["a", "b"], {
	f: "a + p.s * b",
	d: { a: "1.0", b: "p.s" },
	ref: ({ a, b, s }) => a + s * b,
	attrs: { s: 0.5 },
});

/**
 * a + s · b with one number s, element by element, broadcast as numpy.
 * @throws DTypeError unless both are f32 or f16.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when s is not finite.
 */
export const addScaled = (a: Tensor, b: Tensor, s: number): Tensor => addScaledPrimitive.apply([a, b], { s })[0];

const chosen = ofSeveral("where", ["c", "a", "b"], {
	f: "select(b, a, c != 0u)",
	d: { a: "select(0.0, 1.0, c != 0u)", b: "select(1.0, 0.0, c != 0u)" },
	ref: ({ c, a, b }) => (c !== 0 ? a : b),
	dtypes: { c: ["bool"], a: ALL, b: ALL },
	domain: { c: { whole: [0, 1] }, a: { range: [-3, 3] }, b: { range: [-2, 2] } },
	infinite: true,
	bound: EXACT,
});

/** Either of the two values of `where`. */
type Choice = Tensor | number | boolean;

/**
 * a where the condition holds, b elsewhere, element by element; all three broadcast as numpy. a and b are f32, f16, i32, u32 or
 * bool; numbers, which may be infinite, take the type of the other, and f32 where both are numbers. The gradient goes to the
 * operand that was chosen; the other's is 0, also where the gradient is not finite.
 * @throws DTypeError unless `condition` is bool and a and b are of one type, or both floats; for a number that the type of the
 * other does not hold.
 * @throws ShapeError when the shapes do not broadcast.
 */
export const where = Object.assign(
	(condition: Tensor, a: Choice, b: Choice): Tensor => {
		checkType("where", condition, ["bool"], "condition");
		return chosen.run(condition, a, b);
	},
	{
		/** The definition for tensors, for the registry. */
		primitive: chosen.primitive,
		/** The definitions with numbers in place of values, for the registry. */
		numbered: chosen.numbered,
	},
);

export const maskedFillPrimitive = elementwise("maskedFill", ["x", "c"], {
	f: "select(x, p.value, c != 0u)",
	d: { x: "select(1.0, 0.0, c != 0u)" },
	ref: ({ c, x, value }) => (c !== 0 ? value : x),
	dtypes: { x: ALL, c: ["bool"] },
	attrs: { value: 2 },
	domain: { c: { whole: [0, 1] }, x: { range: [-3, 3] } },
	infinite: true,
	bound: EXACT,
});

/**
 * `value` where the mask holds, x elsewhere, element by element; both broadcast as numpy, so that the result may be larger than
 * x. x is f32, f16, i32, u32 or bool. `value` may be infinite in floats. The gradient is 0 where the mask holds.
 * @throws DTypeError for another x, a mask that is not bool, or a value that the type of x does not hold.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when `value` is NaN.
 */
export const maskedFill = (x: Tensor, mask: Tensor, value: number | boolean): Tensor => {
	checkType("maskedFill", mask, ["bool"], "mask");
	return maskedFillPrimitive.apply([x, mask], { value })[0];
};
