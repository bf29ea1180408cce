import { FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { shown } from "../shown.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { div as quotient } from "./binary.ts";
import { type BinaryOp, binary } from "./operands.ts";

const NUMBERS = [...FLOATS, ...INTEGERS];

/**
 * ⌊a / b⌋, element by element, broadcast as numpy: the quotient rounded down. Of floats the quotient in f32, so that by 0 it is
 * infinite or NaN; of whole numbers it is exact, and 0 by 0. f32, f16, i32 or u32: whole numbers both of one type. Gradient 0.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 */
export const floorDivide = binary("floorDivide", {
	f: "floor(a / b)",
	integer: "select(select(a / b, a / b - 1, a % b != 0 && (a < 0) != (b < 0)), b, b == 0)",
	ref: ({ a, b }) => Math.floor(a / b),
	d: "none",
	dtypes: NUMBERS,
	domain: { a: { range: [-3, 3] }, b: { range: [0.7, 0.9] } },
	bound: { ulp: 0, why: "the quotients that are drawn do not lie within rounding of a whole number" },
});

/**
 * trunc(a / b), element by element, broadcast as numpy: the quotient rounded towards 0. Of floats the quotient in f32, so that by 0
 * it is infinite or NaN; of whole numbers it is exact, and 0 by 0. f32, f16, i32 or u32: whole numbers both of one type. Gradient 0.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ShapeError when the shapes do not broadcast.
 */
export const truncDivide = binary("truncDivide", {
	f: "trunc(a / b)",
	integer: "select(a / b, b, b == 0)",
	ref: ({ a, b }) => Math.trunc(a / b),
	d: "none",
	dtypes: NUMBERS,
	domain: { a: { range: [-3, 3] }, b: { range: [0.7, 0.9] } },
	bound: { ulp: 0, why: "the quotients that are drawn do not lie within rounding of a whole number" },
});

/**
 * log(eᵃ + eᵇ), element by element, broadcast as numpy, without overflow. Of two equal infinities it is that infinity. f32 or f16.
 * The gradient is the share of each: 1 / (1 + eᵇ⁻ᵃ) by a; half where both are equal.
 * @throws DTypeError for other types.
 * @throws ShapeError when the shapes do not broadcast.
 */
export const logaddexp = binary("logaddexp", {
	f: "select(nanMax(a, b) + log1p(safeExp(-abs(a - b))), a, a == b && isInf(a))",
	d: { a: "logistic(select(a - b, 0.0, a == b))", b: "logistic(select(b - a, 0.0, a == b))" },
	ref: ({ a, b }) => (a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))),
	bound: { abs: 2e-6, ulp: 2, why: "log1p of at most 1, of exp within 9 ULP: 1e-6; the sum is rounded" },
});

const LARGER = "nanMax(abs(a), abs(b))";
const RATIO = `(min(abs(a), abs(b)) / select(${LARGER}, 1.0, ${LARGER} == 0.0))`;

/**
 * √(a² + b²), element by element, broadcast as numpy, without overflow; NaN if either is. f32 or f16. The gradient is a / y by a and
 * b / y by b, 0 at (0, 0). Either may be a number.
 * @throws DTypeError for other types.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite.
 */
export const hypot = binary("hypot", {
	f: `select(${LARGER} * sqrt(1.0 + ${RATIO} * ${RATIO}), ${LARGER}, isInf(${LARGER}))`,
	d: { a: "select(a / y, 0.0, y == 0.0)", b: "select(b / y, 0.0, y == 0.0)" },
	ref: ({ a, b }) => Math.hypot(a, b),
	commutes: true,
	bound: { ulp: 8, why: "a quotient within 2.5 ULP, its square, a root within 3 ULP and a product" },
});

/** Options of `div`. */
export interface DivOptions {
	/** What becomes of the quotient: "floor", the whole number below; "trunc", the one towards 0. As it is when left out. */
	readonly rounding?: "floor" | "trunc" | undefined;
}

/** `div`: an operation of two operands, of which one may be a number, and of options. */
export interface DivOp extends Pick<BinaryOp, "primitive" | "numbered"> {
	/** Of a number and a tensor, or of two tensors. */
	(a: Tensor | number, b: Tensor, options?: DivOptions): Tensor;
	/** Of a tensor and a number, or of two tensors. */
	(a: Tensor, b: Tensor | number, options?: DivOptions): Tensor;
}

const ROUNDED = { floor: floorDivide, trunc: truncDivide } as const;

/**
 * a / b, element by element, broadcast as numpy; by 0 it is infinite, 0 / 0 is NaN. f16 with f32 gives f32. Either may be a
 * number that the type of the other holds. With `rounding` it is `floorDivide` or `truncDivide`, also of whole numbers, of gradient 0.
 * @throws DTypeError unless both are f32 or f16 or, with `rounding`, both i32 or both u32.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when both are numbers, or one is not finite, or for another rounding.
 */
export const div: DivOp = Object.assign(
	(a: Tensor | number, b: Tensor | number, options: DivOptions = {}): Tensor => {
		expects("div", { options }, { options: "options" });
		const { rounding } = options;
		const [x, y] = [a as Tensor, b as Tensor];
		if (rounding === undefined) return quotient(x, y);
		for (const [name, v] of Object.entries({ a, b })) if (typeof v !== "number") checkType("div", v, NUMBERS, name);
		if (Object.hasOwn(ROUNDED, rounding)) return ROUNDED[rounding](x, y);
		throw new ValueError("div/rounding", `div: rounding is ${shown(rounding)}, expected floor or trunc`, { op: "div" });
	},
	{ primitive: quotient.primitive, numbered: quotient.numbered },
);
