import { FLOATS } from "../dtype.ts";
import { ShapeError, ValueError } from "../errors.ts";
import { oneOf, optional, optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import { commonRecords } from "../record.ts";
import { sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { mul, sub } from "./binary.ts";
import { full } from "./create.ts";
import { elementwise } from "./elementwise.ts";
import { sum } from "./expand.ts";
import { mean } from "./reduce.ts";
import { abs, clamp, exp, rsqrt, square } from "./unary.ts";
import { inF32 } from "./widen.ts";

/** How a loss sums up its terms. */
export interface LossOptions {
	/** "mean" of the terms (when left out), their "sum", or "none" for the terms themselves. */
	readonly reduction?: "mean" | "sum" | "none" | undefined;
}

/** The kinds of these options. */
export const LOSS = { reduction: optional(oneOf("mean", "sum", "none")) };

/** The terms summed up. */
function reduced(terms: Tensor, { reduction = "mean" }: LossOptions): Tensor {
	return reduction === "none" ? terms : (reduction === "sum" ? sum : mean)(terms);
}

/** Input and target in f32. @throws ShapeError unless of one shape, DTypeError unless floats. */
function operands(op: string, input: Tensor, target: Tensor): readonly [Tensor, Tensor] {
	checkType(op, input, FLOATS, "input");
	checkType(op, target, FLOATS, "target");
	commonRecords(op, [input, target]);
	if (!sameShape(input.shape, target.shape)) {
		throw new ShapeError("loss/shapes", `${op}: input${showShape(input.shape)} and target${showShape(target.shape)} differ`, {
			op,
			hint: "losses do not broadcast: reshape or expand one of them",
		});
	}
	return [inF32(input), inF32(target)];
}

/**
 * Squared error (input − target)², torch's mse_loss. input and target of one shape, f32 or f16 → a scalar, f32, or the terms.
 * @throws ShapeError when the shapes differ, DTypeError for other types, ValueError for another reduction.
 */
export const mseLoss = (input: Tensor, target: Tensor, options: LossOptions = {}): Tensor =>
	reduced(square(sub(...operands("mseLoss", input, target))), optionsOf("mseLoss", options, LOSS));

/**
 * Absolute error |input − target|, torch's l1_loss; its gradient is 0 where they are equal. input and target of one shape, f32 or f16 → a
 * scalar, f32, or the terms.
 * @throws ShapeError when the shapes differ, DTypeError for other types, ValueError for another reduction.
 */
export const l1Loss = (input: Tensor, target: Tensor, options: LossOptions = {}): Tensor =>
	reduced(abs(sub(...operands("l1Loss", input, target))), optionsOf("l1Loss", options, LOSS));

export const huberPrimitive = elementwise("huberLoss", ["a", "b"], {
	f: "select(p.delta * (abs(a - b) - 0.5 * p.delta), 0.5 * (a - b) * (a - b), abs(a - b) <= p.delta)",
	d: {
		a: "select(p.delta * sign(a - b), a - b, abs(a - b) <= p.delta)",
		b: "select(p.delta * sign(b - a), b - a, abs(b - a) <= p.delta)",
	},
	ref: ({ a, b, delta }) => (Math.abs(a - b) <= delta ? 0.5 * (a - b) ** 2 : delta * (Math.abs(a - b) - 0.5 * delta)),
	attrs: { delta: 1 },
	bound: { ulp: 4, abs: 2e-6, why: "a difference of size 6, rounded once, and two products" },
});

/** Options of `huberLoss`. */
export interface HuberOptions extends LossOptions {
	/** Where the square ends, above 0; 1 when left out. */
	readonly delta?: number | undefined;
}

/**
 * Huber's loss, torch's huber_loss: with d = input − target, ½ d² where |d| ≤ δ and δ (|d| − ½ δ) beyond. input and target of one shape,
 * f32 or f16 → a scalar, f32, or the terms. Source: Huber 1964.
 * @throws ShapeError when the shapes differ, DTypeError for other types, ValueError for another reduction or `delta` not above 0.
 */
export function huberLoss(input: Tensor, target: Tensor, options: HuberOptions = {}): Tensor {
	const { delta = 1 } = optionsOf("huberLoss", options, { ...LOSS, delta: "number?" });
	if (!(delta > 0)) throw new ValueError("loss/delta", `huberLoss: delta is ${delta}, expected a number above 0`, { op: "huberLoss" });
	return reduced(huberPrimitive.apply(operands("huberLoss", input, target), { delta })[0], options);
}

/** Options of `smoothL1Loss`. */
export interface SmoothL1Options extends LossOptions {
	/** Where the square ends, 0 or more; 1 when left out. */
	readonly beta?: number | undefined;
}

/**
 * torch's smooth_l1_loss: with d = input − target, ½ d² / β where |d| < β and |d| − ½ β beyond, `huberLoss` over β; `l1Loss` for β = 0.
 * input and target of one shape, f32 or f16 → a scalar, f32, or the terms. Source: Girshick 2015.
 * @throws ShapeError when the shapes differ, DTypeError for other types, ValueError for another reduction or a negative `beta`.
 */
export const smoothL1Loss = named("smoothL1Loss", (input: Tensor, target: Tensor, options: SmoothL1Options = {}): Tensor => {
	const op = "smoothL1Loss";
	const { beta = 1 } = optionsOf(op, options, { ...LOSS, beta: "number?" });
	if (!(beta >= 0)) throw new ValueError("loss/delta", `${op}: beta is ${beta}, expected 0 or more`, { op });
	const pair = operands(op, input, target);
	return reduced(beta === 0 ? abs(sub(...pair)) : mul(huberPrimitive.apply(pair, { delta: beta })[0], 1 / beta), options);
});

const logOf = (log: string): string => `select(${log}, -100.0, ${log} <= -100.0)`;
const atLeast100 = (v: number): number => Math.max(v, -100);

export const bcePrimitive = elementwise("bceLoss", ["a", "b"], {
	f: `keepNan(a, -(b * ${logOf("safeLog(a)")} + (1.0 - b) * ${logOf("log1p(-a)")}))`,
	d: {
		a: "(a - b) / select(1e-12, a * (1.0 - a), a * (1.0 - a) > 1e-12)",
		b: `keepNan(a, ${logOf("log1p(-a)")} - ${logOf("safeLog(a)")})`,
	},
	ref: ({ a, b }) => -(b * atLeast100(Math.log(a)) + (1 - b) * atLeast100(Math.log1p(-a))),
	domain: { a: { range: [0.05, 0.95] }, b: { range: [0, 1] } },
	bound: { ulp: 8, abs: 2e-6, why: "WGSL: log is within 2^-21 on [0.5, 2], 3 ULP elsewhere" },
});

/**
 * Binary cross-entropy of probabilities, torch's binary_cross_entropy: −(t ln p + (1 − t) ln(1 − p)), the logarithms at least −100. input
 * p and target t within 0 to 1, of one shape, f32 or f16 → a scalar, f32, or the terms. NaN for p outside. From logits,
 * `bceWithLogits` is more accurate.
 * @throws ShapeError when the shapes differ, DTypeError for other types, ValueError for another reduction.
 */
export const bceLoss = (input: Tensor, target: Tensor, options: LossOptions = {}): Tensor =>
	reduced(bcePrimitive.apply(operands("bceLoss", input, target))[0], optionsOf("bceLoss", options, LOSS));

/** ln(1 + exp(-a)) without overflow. */
const SOFT = "(select(0.0, -a, a < 0.0) + log1p(exp(-abs(a))))";

export const bceLogitsPrimitive = elementwise("bceWithLogits", ["a", "b", "w"], {
	f: `keepNan(a, (1.0 - b) * a + (1.0 + (w - 1.0) * b) * ${SOFT})`,
	d: {
		a: "(1.0 - b) - (1.0 + (w - 1.0) * b) * logistic(-a)",
		b: `keepNan(a, (w - 1.0) * ${SOFT} - a)`,
		w: `keepNan(a, b * ${SOFT})`,
	},
	ref: ({ a, b, w }) => (1 - b) * a + (1 + (w - 1) * b) * (Math.max(-a, 0) + Math.log1p(Math.exp(-Math.abs(a)))),
	domain: { a: { range: [-3, 3] }, b: { range: [0, 1] }, w: { range: [0.5, 2] } },
	bound: { ulp: 10, abs: 4e-6, why: "log of exp: 2^-21 and 9 ULP, times a weight of 2, and terms of size 3" },
});

/** Options of `bceWithLogits`. */
export interface BceWithLogitsOptions extends LossOptions {
	/** Weight of the part of the targets, broadcast with the input; 1 when left out. */
	readonly posWeight?: Tensor | undefined;
}

/**
 * Binary cross-entropy of logits, torch's binary_cross_entropy_with_logits: (1 − t) x + (1 + (w − 1) t) ln(1 + e⁻ˣ), without overflow.
 * input x and target t of one shape, f32 or f16, `posWeight` w → a scalar, f32, or the terms.
 * @throws ShapeError when the shapes differ, or w does not broadcast to them.
 * @throws DTypeError for other types.
 * @throws ValueError for another reduction.
 */
export function bceWithLogits(input: Tensor, target: Tensor, options: BceWithLogitsOptions = {}): Tensor {
	const { posWeight } = optionsOf("bceWithLogits", options, { ...LOSS, posWeight: "tensor?" });
	if (posWeight !== undefined) checkType("bceWithLogits", posWeight, FLOATS, "posWeight");
	const [x, t] = operands("bceWithLogits", input, target);
	const terms = bceLogitsPrimitive.apply([x, t, posWeight ?? full(x.device, [], 1)])[0];
	if (!sameShape(terms.shape, x.shape)) {
		const { shape } = posWeight as Tensor;
		throw new ShapeError("loss/shapes", `bceWithLogits: posWeight${showShape(shape)} does not broadcast to input${showShape(x.shape)}`, {
			op: "bceWithLogits",
		});
	}
	return reduced(terms, options);
}

export const klDivPrimitive = elementwise("klDiv", ["a", "b"], {
	f: "select(b * safeLog(b), 0.0, b == 0.0) - b * a",
	d: { a: "-b", b: "safeLog(b) + 1.0 - a" },
	ref: ({ a, b }) => (b === 0 ? 0 : b * Math.log(b)) - b * a,
	domain: { a: { range: [-3, 0] }, b: { range: [0.05, 1] } },
	bound: { ulp: 8, abs: 2e-6, why: "WGSL: log is within 2^-21 on [0.5, 2], 3 ULP elsewhere" },
});

/** Options of `klDiv`. */
export interface KlDivOptions extends LossOptions {
	/** The target holds logarithms too; false when left out. */
	readonly logTarget?: boolean | undefined;
}

/**
 * Terms t (ln t − input) of the Kullback-Leibler divergence of a distribution t from another one, given as logarithms: torch's kl_div.
 * input and target of one shape, f32 or f16 → a scalar, f32, or the terms; 0 ln 0 is 0. The divergence of one record is the "sum";
 * torch's "batchmean" is its mean over records.
 * @throws ShapeError when the shapes differ, DTypeError for other types, ValueError for another reduction.
 */
export function klDiv(input: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
	const { logTarget } = optionsOf("klDiv", options, { ...LOSS, logTarget: "flag?" });
	const [x, t] = operands("klDiv", input, target);
	return reduced(logTarget ? mul(exp(t), sub(t, x)) : klDivPrimitive.apply([x, t])[0], options);
}

/** Options of `cosineSimilarity`. */
export interface CosineSimilarityOptions {
	/** Axis of the vectors; the last when left out (torch's is axis 1). */
	readonly axis?: number | undefined;
	/** Least length that vectors are divided by, above 0; 1e-8 when left out. */
	readonly eps?: number | undefined;
}

/**
 * Cosine of the angle between vectors along an axis: a · b / (max(|a|, eps) max(|b|, eps)), torch's cosine_similarity. a and b, f32 or
 * f16, broadcast as numpy → f32 without the axis. 0 where a vector is 0; its gradient is that of the product over eps.
 * @throws ShapeError when the shapes do not broadcast, DTypeError for other types, ValueError for an axis out of range or `eps` not above 0.
 */
export const cosineSimilarity = named("cosineSimilarity", (a: Tensor, b: Tensor, options: CosineSimilarityOptions = {}): Tensor => {
	checkType("cosineSimilarity", a, FLOATS, "a");
	checkType("cosineSimilarity", b, FLOATS, "b");
	const { axis = -1, eps = 1e-8 } = optionsOf("cosineSimilarity", options, { axis: "whole?", eps: "number?" });
	if (!(eps > 0))
		throw new ValueError("loss/eps", `cosineSimilarity: eps is ${eps}, expected a number above 0`, { op: "cosineSimilarity" });
	const [x, y] = [inF32(a), inF32(b)];
	const at = axis < 0 ? axis : axis - Math.max(x.rank, y.rank);
	const inverse = (t: Tensor): Tensor => rsqrt(clamp(sum(square(t), [at], { keepDim: true }), { min: eps * eps }));
	return sum(mul(mul(x, inverse(x)), mul(y, inverse(y))), [at]);
});
