import { expects } from "../expects.ts";
import type { Tensor } from "../tensor.ts";
import { elementwise } from "./elementwise.ts";
import { ofSeveral } from "./operands.ts";

const mixed = ofSeveral("lerp", ["a", "b", "weight"], {
	f: "select(b - (b - a) * (1.0 - weight), a + weight * (b - a), abs(weight) < 0.5)",
	d: { a: "1.0 - weight", b: "weight", weight: "b - a" },
	ref: ({ a, b, weight }) => a + weight * (b - a),
	bound: { abs: 4e-6, why: "differences of up to 6, weighted by up to 4: four roundings of at most 24 * 2^-24" },
});

/**
 * a + weight · (b − a), element by element, all three broadcast as numpy: torch's lerp, of which 0 gives a and 1 gives b to the bit.
 * f32 or f16; each of the three may be a number.
 * @throws DTypeError for other types.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when all are numbers, or one is not finite.
 */
export const lerp = Object.assign((a: Tensor | number, b: Tensor | number, weight: Tensor | number): Tensor => mixed.run(a, b, weight), {
	/** The definition for tensors, for the registry. */
	primitive: mixed.primitive,
	/** The definitions with numbers in place of operands, for the registry. */
	numbered: mixed.numbered,
});

/** Options of `addcmul` and `addcdiv`. */
export interface AddcOptions {
	/** The factor; 1 when left out. */
	readonly value?: number | undefined;
}

export const addcmulPrimitive = elementwise("addcmul", ["x", "a", "b"], {
	f: "x + p.value * a * b",
	d: { x: "1.0", a: "p.value * b", b: "p.value * a" },
	ref: ({ x, a, b, value }) => x + value * a * b,
	attrs: { value: 0.5 },
	bound: { abs: 2e-6, why: "a product of at most 4.5, rounded twice, and a sum" },
});

export const addcdivPrimitive = elementwise("addcdiv", ["x", "a", "b"], {
	f: "x + p.value * a / b",
	d: { x: "1.0", a: "p.value / b", b: "-p.value * a / (b * b)" },
	ref: ({ x, a, b, value }) => x + (value * a) / b,
	attrs: { value: 0.5 },
	domain: { x: { range: [-3, 3] }, a: { range: [-3, 3] }, b: { range: [0.5, 3] } },
	bound: { abs: 2e-6, why: "a quotient of at most 3 within 4 ULP, and a sum" },
});

/**
 * x + value · a · b, element by element, broadcast as numpy: torch's addcmul. f32 or f16.
 * @throws DTypeError for other types.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when value is not finite.
 */
export function addcmul(x: Tensor, a: Tensor, b: Tensor, options: AddcOptions = {}): Tensor {
	expects("addcmul", { x, a, b, options }, { x: "tensor", a: "tensor", b: "tensor", options: "options" });
	return addcmulPrimitive.apply([x, a, b], { value: options.value ?? 1 })[0];
}

/**
 * x + value · a / b, element by element, broadcast as numpy: torch's addcdiv. f32 or f16.
 * @throws DTypeError for other types.
 * @throws ShapeError when the shapes do not broadcast.
 * @throws ValueError when value is not finite.
 */
export function addcdiv(x: Tensor, a: Tensor, b: Tensor, options: AddcOptions = {}): Tensor {
	expects("addcdiv", { x, a, b, options }, { x: "tensor", a: "tensor", b: "tensor", options: "options" });
	return addcdivPrimitive.apply([x, a, b], { value: options.value ?? 1 })[0];
}
