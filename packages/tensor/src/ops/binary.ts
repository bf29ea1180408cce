import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import type { Domain } from "../primitive.ts";
import type { Tensor } from "../tensor.ts";
import { binary, elementwise } from "./elementwise.ts";

const POSITIVE: Domain = { range: [0.1, 4] };
const NUMBERS = [...FLOATS, ...INTEGERS];
const ORDERED: readonly DType[] = [...NUMBERS];
const LOGICAL = { dtypes: ["bool"], result: "bool", d: "none", domain: { whole: [0, 1] } } as const;
const COMPARISON = { dtypes: ORDERED, result: "bool", d: "none", domain: { whole: [-2, 2] } } as const;
const EXACT = { ulp: 0, why: "gives one of its operands" };
const DIVISION = { ulp: 2.5, why: "WGSL: division is within 2.5 ULP" };

/* Element-wise operations of two tensors, with broadcasting. Adding one is adding a row. */

export const add = binary("add", { f: "a + b", d: { a: "1.0", b: "1.0" }, ref: ({ a, b }) => a + b, dtypes: NUMBERS });
export const sub = binary("sub", { f: "a - b", d: { a: "1.0", b: "-1.0" }, ref: ({ a, b }) => a - b, dtypes: NUMBERS });
export const mul = binary("mul", { f: "a * b", d: { a: "b", b: "a" }, ref: ({ a, b }) => a * b, dtypes: NUMBERS });
export const div = binary("div", {
	f: "a / b",
	d: { a: "1.0 / b", b: "-y / b" },
	ref: ({ a, b }) => a / b,
	domain: POSITIVE,
	bound: DIVISION,
});
/** a^b, also for negative a and whole b; the gradient by b needs a > 0. */
export const pow = binary("pow", {
	f: "power(a, b)",
	ref: ({ a, b }) => a ** b,
	domain: { a: POSITIVE, b: { range: [-2, 2] } },
	bound: { ulp: 64, abs: 1e-6, why: "WGSL: pow inherits from exp2(b log2 a)" },
});
/** Larger of two, NaN if either is; where they are equal the gradient is shared. */
export const maximum = binary("maximum", {
	f: "nanMax(a, b)",
	integer: "max(a, b)",
	dtypes: NUMBERS,
	d: { a: "select(select(0.0, 0.5, a == b), 1.0, a > b)", b: "select(select(0.0, 0.5, a == b), 1.0, a < b)" },
	ref: ({ a, b }) => Math.max(a, b),
	bound: EXACT,
});
/** Smaller of two, NaN if either is; where they are equal the gradient is shared. */
export const minimum = binary("minimum", {
	f: "nanMin(a, b)",
	integer: "min(a, b)",
	dtypes: NUMBERS,
	d: { a: "select(select(0.0, 0.5, a == b), 1.0, a < b)", b: "select(select(0.0, 0.5, a == b), 1.0, a > b)" },
	ref: ({ a, b }) => Math.min(a, b),
	bound: EXACT,
});
/** a - floor(a / b) b: what is left, with the sign of b. Whole numbers by 0 give 0. */
export const remainder = binary("remainder", {
	f: "remainderOf(a, b)",
	integer: "select(a % b, a % b + b, a % b != 0 && (a % b < 0) != (b < 0))",
	dtypes: NUMBERS,
	d: { a: "1.0", b: "-floor(a / b)" },
	ref: ({ a, b }) => a - Math.floor(a / b) * b,
	domain: { a: { range: [-3, 3] }, b: { range: [0.7, 0.9] } },
	bound: { abs: 2e-6, why: "the product floor(a / b) b is rounded at up to 4" },
});
/** a - trunc(a / b) b: what is left, with the sign of a. Whole numbers by 0 give 0. */
export const fmod = binary("fmod", {
	f: "fmodOf(a, b)",
	integer: "a % b",
	dtypes: NUMBERS,
	d: { a: "1.0", b: "-trunc(a / b)" },
	ref: ({ a, b }) => a - Math.trunc(a / b) * b,
	domain: { a: { range: [-3, 3] }, b: { range: [0.7, 0.9] } },
	bound: { abs: 2e-6, why: "the product trunc(a / b) b is rounded at up to 4" },
});
/** Angle of the point (b, a). */
export const atan2 = binary("atan2", {
	f: "select(atan2(a, b), 0.0, a == 0.0 && b == 0.0)",
	d: { a: "b / (a * a + b * b)", b: "-a / (a * a + b * b)" },
	ref: ({ a, b }) => Math.atan2(a, b),
	domain: POSITIVE,
	bound: { ulp: 4096, abs: 1e-6, why: "WGSL: atan2 is within 4096 ULP" },
});
/** gelu(gate) * up in the tanh form, the gated activation of Gemma's MLP. */
export const geglu = binary("geglu", {
	f: "0.5 * a * (1.0 + safeTanh(0.7978845608028654 * (a + 0.044715 * a * a * a))) * b",
	ref: ({ a, b }) => 0.5 * a * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (a + 0.044715 * a ** 3))) * b,
	bound: { abs: 1e-4, why: "half of |a b| <= 9 times tanh's 1e-5" },
});
export const eq = binary("eq", { f: "a == b", ref: ({ a, b }) => Number(a === b), ...COMPARISON });
export const ne = binary("ne", { f: "!(a == b)", ref: ({ a, b }) => Number(a !== b), ...COMPARISON });
export const lt = binary("lt", { f: "a < b", ref: ({ a, b }) => Number(a < b), ...COMPARISON });
export const le = binary("le", { f: "a <= b", ref: ({ a, b }) => Number(a <= b), ...COMPARISON });
export const gt = binary("gt", { f: "a > b", ref: ({ a, b }) => Number(a > b), ...COMPARISON });
export const ge = binary("ge", { f: "a >= b", ref: ({ a, b }) => Number(a >= b), ...COMPARISON });
export const logicalAnd = binary("logicalAnd", { f: "a != 0u && b != 0u", ref: ({ a, b }) => Number(a !== 0 && b !== 0), ...LOGICAL });
export const logicalOr = binary("logicalOr", { f: "a != 0u || b != 0u", ref: ({ a, b }) => Number(a !== 0 || b !== 0), ...LOGICAL });
export const logicalXor = binary("logicalXor", {
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

/** a + s * b. */
export const addScaled = (a: Tensor, b: Tensor, s: number): Tensor => addScaledPrimitive.apply([a, b], { s })[0];

export const wherePrimitive = elementwise("where", ["c", "a", "b"], {
	f: "select(b, a, c != 0u)",
	d: { a: "select(0.0, 1.0, c != 0u)", b: "select(1.0, 0.0, c != 0u)" },
	ref: ({ c, a, b }) => (c !== 0 ? a : b),
	dtypes: { c: ["bool"], a: NUMBERS, b: NUMBERS },
	domain: { c: { whole: [0, 1] }, a: { range: [-3, 3] }, b: { range: [-3, 3] } },
	bound: EXACT,
});

/** a where the condition holds, b elsewhere; all three broadcast. */
export const where = (condition: Tensor, a: Tensor, b: Tensor): Tensor => wherePrimitive.apply([condition, a, b])[0];

export const maskedFillPrimitive = elementwise("maskedFill", ["x", "c"], {
	f: "select(x, p.value, c != 0u)",
	d: { x: "select(1.0, 0.0, c != 0u)" },
	ref: ({ c, x, value }) => (c !== 0 ? value : x),
	dtypes: { x: [...FLOATS, "i32"], c: ["bool"] },
	attrs: { value: -2 },
	domain: { c: { whole: [0, 1] }, x: { range: [-3, 3] } },
	infinite: true,
	bound: EXACT,
});

/** x with `value` where the mask holds. */
export const maskedFill = (x: Tensor, mask: Tensor, value: number): Tensor => maskedFillPrimitive.apply([x, mask], { value })[0];
