/**
 * The operations of every day as methods of all tensors: `import "@hushgrad/tensor/methods"`, then `x.mul(2).sum([-1])`. A method
 * is the function of its name with the tensor as first operand, and has the same rules, gradients and records; `x.where(m, y)`
 * is `where(m, x, y)`. A bundle that does not import this module has none of them.
 */

import { data, item } from "./host.ts";
import { erf, gelu, relu, sigmoid, silu, softplus } from "./ops/activations.ts";
import { amax, amin } from "./ops/amax.ts";
import { argmax, argmin } from "./ops/argmax.ts";
import {
	add,
	atan2,
	eq,
	fmod,
	ge,
	gt,
	le,
	logicalAnd,
	logicalOr,
	logicalXor,
	lt,
	maskedFill,
	maximum,
	minimum,
	mul,
	ne,
	pow,
	remainder,
	sub,
	where,
} from "./ops/binary.ts";
import { cast } from "./ops/cast.ts";
import { cumsum } from "./ops/cumsum.ts";
import { diagonal } from "./ops/diagonal.ts";
import { div } from "./ops/divide.ts";
import { expand, sum } from "./ops/expand.ts";
import { flip } from "./ops/flip.ts";
import { gather, indexSelect } from "./ops/indexing.ts";
import { chunk, flatten, split } from "./ops/join.ts";
import { logSoftmax } from "./ops/logSoftmax.ts";
import { logsumexp } from "./ops/logsumexp.ts";
import { matmul } from "./ops/matmul.ts";
import { prod } from "./ops/prod.ts";
import { mean, std, variance } from "./ops/reduce.ts";
import { roll } from "./ops/roll.ts";
import { slice } from "./ops/slice.ts";
import { softmax } from "./ops/softmax.ts";
import { sort, topk } from "./ops/sort.ts";
import { tril, triu } from "./ops/tril.ts";
import {
	abs,
	ceil,
	clamp,
	cos,
	exp,
	expm1,
	floor,
	isfinite,
	isinf,
	isnan,
	log,
	log1p,
	log2,
	logicalNot,
	neg,
	reciprocal,
	round,
	rsqrt,
	sign,
	sin,
	sqrt,
	square,
	tanh,
	trunc,
} from "./ops/unary.ts";
import { movedim, permute, reshape, squeeze, transpose, unsqueeze } from "./ops/view.ts";
import { refused } from "./shown.ts";
import { inherited, Tensor } from "./tensor.ts";

/** The functions that are methods, under their names. */
const functions = {
	/** {@link data}: Reads the elements back in row-major order: submits what is pending and waits for it. */
	data,
	/** {@link item}: Reads the only element of a tensor back, whatever its rank. */
	item,
	/** {@link cast}: x with its elements converted to `dtype`. */
	cast,
	/** {@link add}: a + b. */
	add,
	/** {@link atan2}: Angle of the point (b, a), −π to π in radians. */
	atan2,
	/** {@link div}: a / b. */
	div,
	/** {@link eq}: True where a = b. */
	eq,
	/** {@link fmod}: a − trunc(a / b) b. */
	fmod,
	/** {@link ge}: True where a ≥ b. */
	ge,
	/** {@link gt}: True where a > b. */
	gt,
	/** {@link le}: True where a ≤ b. */
	le,
	/** {@link logicalAnd}: True where a and b are. */
	logicalAnd,
	/** {@link logicalOr}: True where a or b is. */
	logicalOr,
	/** {@link logicalXor}: True where one of a and b is, but not both. */
	logicalXor,
	/** {@link lt}: True where a < b. */
	lt,
	/** {@link maskedFill}: `value` where the mask holds, x elsewhere. */
	maskedFill,
	/** {@link maximum}: The larger of two. */
	maximum,
	/** {@link minimum}: The smaller of two. */
	minimum,
	/** {@link mul}: a · b. */
	mul,
	/** {@link ne}: True where a ≠ b. */
	ne,
	/** {@link pow}: aᵇ. */
	pow,
	/** {@link remainder}: a − ⌊a / b⌋ b. */
	remainder,
	/** {@link sub}: a − b. */
	sub,
	/** {@link abs}: |x|. */
	abs,
	/** {@link ceil}: The smallest whole number ≥ x. */
	ceil,
	/** {@link clamp}: x limited to `min`..`max`. */
	clamp,
	/** {@link cos}: Cosine of x in radians. */
	cos,
	/** {@link exp}: eˣ. */
	exp,
	/** {@link expm1}: eˣ − 1. */
	expm1,
	/** {@link floor}: The largest whole number ≤ x. */
	floor,
	/** {@link isfinite}: True where x is neither NaN nor infinite. */
	isfinite,
	/** {@link isinf}: True where x is ∞ or −∞. */
	isinf,
	/** {@link isnan}: True where x is NaN. */
	isnan,
	/** {@link log}: Natural logarithm ln x. */
	log,
	/** {@link log1p}: ln(1 + x). */
	log1p,
	/** {@link log2}: Logarithm to the base 2. */
	log2,
	/** {@link logicalNot}: Not x. */
	logicalNot,
	/** {@link neg}: −x. */
	neg,
	/** {@link reciprocal}: 1 / x. */
	reciprocal,
	/** {@link round}: The nearest whole number, halves to the even one. */
	round,
	/** {@link rsqrt}: 1 / √x. */
	rsqrt,
	/** {@link sign}: −1, 0 or 1 by the sign of x. */
	sign,
	/** {@link sin}: Sine of x in radians. */
	sin,
	/** {@link sqrt}: √x. */
	sqrt,
	/** {@link square}: x². */
	square,
	/** {@link tanh}: Hyperbolic tangent. */
	tanh,
	/** {@link trunc}: x without its fraction (rounded towards 0). */
	trunc,
	/** {@link erf}: Error function 2/√π ∫₀ˣ e^(−t²) dt. */
	erf,
	/** {@link gelu}: Gaussian error linear unit x Φ(x) = x/2 (1 + erf(x/√2)). */
	gelu,
	/** {@link relu}: max(x, 0). */
	relu,
	/** {@link sigmoid}: 1 / (1 + e⁻ˣ). */
	sigmoid,
	/** {@link silu}: x sigmoid(x). */
	silu,
	/** {@link softplus}: ln(1 + eˣ). */
	softplus,
	/** {@link sum}: Sum over `axes` (all when left out, none for `[]`), in a fixed order. */
	sum,
	/** {@link mean}: Arithmetic mean over `axes` (all when left out). */
	mean,
	/** {@link prod}: Product over `axes` (all when left out). */
	prod,
	/** {@link amax}: Largest value over `axes` (all when left out), NaN if one is. */
	amax,
	/** {@link amin}: Smallest value over `axes` (all when left out), NaN if one is. */
	amin,
	/** {@link variance}: Mean squared distance from the mean over `axes` (all when left out), ∑ (x − mean)² / (n − correction). */
	variance,
	/** {@link std}: Square root of the {@link variance} over `axes` (all when left out). */
	std,
	/** {@link logsumexp}: ln ∑ eˣ over `axes` (all when left out), computed from the largest value down, without overflow. */
	logsumexp,
	/** {@link argmax}: Position (i32) of the largest value along `axis`, or, when left out, in row-major order among all values. */
	argmax,
	/** {@link argmin}: Position (i32) of the smallest value along `axis`, or, when left out, in row-major order among all values. */
	argmin,
	/** {@link cumsum}: Running sum along an axis, in order: y_i = ∑ x_k over k ≤ i. */
	cumsum,
	/** {@link sort}: Sorts along an axis (the last when left out), upwards unless `descending`. */
	sort,
	/** {@link topk}: The k largest values along an axis (the last when left out), largest first. */
	topk,
	/** {@link matmul}: Matrix product over the last two axes, numpy's matmul: y = a b. */
	matmul,
	/** {@link softmax}: exp(x) over the sum of exp(x) along an axis (the last when left out), computed from the largest value down. */
	softmax,
	/** {@link logSoftmax}: x − ln ∑ eˣ along an axis (the last when left out), without overflow. */
	logSoftmax,
	/** {@link gather}: Values picked along an axis, torch's gather: `y[..., k, ...] = x[..., index[..., k, ...], ...]`. */
	gather,
	/** {@link indexSelect}: Entries of x along an axis, by their numbers in ids (i32, one axis): torch's index_select. */
	indexSelect,
	/** {@link reshape}: The elements, in row-major order, in a new shape. */
	reshape,
	/** {@link flatten}: The axes from `start` to `end`, both included, as one. */
	flatten,
	/** {@link permute}: The axes in another order, as a view: axis i of the result is axis `order[i]` of x. */
	permute,
	/** {@link transpose}: Two axes swapped, as a view. */
	transpose,
	/** {@link movedim}: One axis moved to another place, as a view. */
	movedim,
	/** {@link squeeze}: x without one axis of extent 1. */
	squeeze,
	/** {@link unsqueeze}: x with a new axis of extent 1, which becomes number `axis` of the result. */
	unsqueeze,
	/** {@link expand}: x repeated along axes of extent 1, and along new leading axes, to `shape` (numpy's broadcast_to), as a view. */
	expand,
	/** {@link slice}: Elements start, start + step, … below `end` along one axis, as a view: ⌈(end − start) / step⌉ of them. */
	slice,
	/** {@link split}: Parts along an axis (the first when left out), as views: of one size, the last may be smaller. */
	split,
	/** {@link chunk}: At most `count` parts of one size, ⌈extent / count⌉, along an axis (the first when left out), as views. */
	chunk,
	/** {@link diagonal}: The elements whose indices on two axes are equal, as a view. */
	diagonal,
	/** {@link flip}: The order along each of the axes reversed. */
	flip,
	/** {@link roll}: The elements along an axis, moved on by `shift` places (back when negative). */
	roll,
	/** {@link tril}: The part of each matrix on and below a diagonal, 0 elsewhere: `[..., M, N]` → `[..., M, N]`. */
	tril,
	/** {@link triu}: The part of each matrix on and above a diagonal, 0 elsewhere: `[..., M, N]` → `[..., M, N]`. */
	triu,
	/** {@link where}: x where the condition holds, `other` elsewhere. */
	where: (x: Tensor, condition: Tensor, other: Tensor | number | boolean): Tensor => where(condition, x, other),
};

/** A function without its first operand. */
type Method<F> = F extends (x: Tensor, ...rest: infer R) => infer T ? (...rest: R) => T : never;

/** The methods: functions of these names, whose first operand is the tensor that they are called on. */
export type TensorMethods = { readonly [Name in keyof typeof functions]: Method<(typeof functions)[Name]> };

declare module "./tensor.ts" {
	interface Tensor extends TensorMethods {}
}

for (const [name, f] of Object.entries<(x: Tensor, ...rest: never[]) => unknown>(functions)) {
	function method(this: Tensor, ...rest: never[]): unknown {
		if (!(this instanceof Tensor)) throw refused(name, "this", this, "a tensor, of which it is a method");
		return f(this, ...rest);
	}
	Object.defineProperty(inherited, name, { value: Object.freeze(method) });
}
Object.freeze(inherited);
