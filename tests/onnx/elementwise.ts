import * as t from "@hushgrad/tensor";
import { attribute, type Call, dtype, flag, number, type Operator, type Operators, single } from "./call.ts";

type Tensor = t.Tensor;

const one =
	(f: (x: Tensor) => Tensor): Operator =>
	({ inputs: [x] }) =>
		f(x);
const two =
	(f: (a: Tensor, b: Tensor) => Tensor): Operator =>
	({ inputs: [a, b] }) =>
		f(a, b);
const many =
	(f: (a: Tensor, b: Tensor) => Tensor): Operator =>
	({ inputs }) =>
		inputs.reduce(f);

/** A number as a tensor beside x. */
const beside = (x: Tensor, value: number): Tensor => t.full(x.device, [], value, x.dtype);
const onlyAbove = (x: Tensor, bound: number): Tensor => t.where(t.gt(x, beside(x, bound)), x, beside(x, 0));
const hardSigmoid = (x: Tensor, alpha: number, beta: number): Tensor => t.clamp(t.add(t.mul(x, alpha), beta), { min: 0, max: 1 });
const swish = (x: Tensor, alpha: number): Tensor => t.mul(x, t.sigmoid(t.mul(x, alpha)));

/** log1p(a + a^2 / (1 + sqrt(a^2 + 1))) for a = |x|, which does not cancel near 0. */
function asinh(x: Tensor): Tensor {
	const a = t.abs(x);
	const s = t.square(a);
	return t.mul(t.sign(x), t.log1p(t.add(a, t.div(s, t.add(t.sqrt(t.add(s, 1)), 1)))));
}

function shrink(x: Tensor, bound: number, bias: number): Tensor {
	const below = t.where(t.lt(x, beside(x, -bound)), t.add(x, bias), beside(x, 0));
	return t.where(t.gt(x, beside(x, bound)), t.add(x, -bias), below);
}

/** Outside training everything is kept; in training only a ratio of 0 has one result. */
function dropout(call: Call): Tensor[] {
	const [x] = call.inputs;
	if (single(call, 2, 0) !== 0 && single(call, 1, 0.5) !== 0) throw new Error("the mask comes from numpy's random generator");
	return [x, t.ones(x.device, x.shape, "bool")];
}

function isInfinite(call: Call): Tensor {
	const [x] = call.inputs;
	const infinite = t.isinf(x);
	const positive = t.gt(x, beside(x, 0));
	if (!flag(call, "detect_positive", 1)) return t.logicalAnd(infinite, t.logicalNot(positive));
	return flag(call, "detect_negative", 1) ? infinite : t.logicalAnd(infinite, positive);
}

const isWhole = (x: Tensor): boolean => x.dtype === "i32" || x.dtype === "u32";

/** Of the type of x; by whole numbers where both are. */
function power(x: Tensor, exponent: Tensor): Tensor {
	if (x.dtype === exponent.dtype) return t.pow(x, exponent);
	return t.cast(t.pow(t.cast(x, "f32"), t.cast(exponent, "f32")), x.dtype);
}

function clip({ inputs: [x, low, high] }: Call): Tensor {
	const raised = low === undefined ? x : t.maximum(x, low);
	return high === undefined ? raised : t.minimum(raised, high);
}

/** Blocks of x along the axis share a scale and a zero point; without blocks the axis, or all, share them. */
function perBlock(x: Tensor, scale: Tensor, axis: number, block: number): Tensor {
	if (scale.rank === 0) return scale;
	if (block === 0)
		return t.reshape(
			scale,
			x.shape.slice(axis).map((_, i) => (i === 0 ? scale.size : 1)),
		);
	const repeated = t.expand(t.unsqueeze(scale, axis + 1), scale.shape.toSpliced(axis + 1, 0, block));
	return t.reshape(repeated, x.shape);
}

function dequantize(call: Call): Tensor {
	const [x, scale, zero] = call.inputs;
	const axis = number(call, "axis", 1);
	const block = number(call, "block_size", 0);
	const parts = [scale, t.cast(zero, "f32")].map((p) => perBlock(x, p, axis, block));
	return t.mul(t.sub(t.cast(x, "f32"), parts[1]), parts[0]);
}

/** To 0..255 by the range of the values and 0. */
function dynamicQuantize({ inputs: [x] }: Call): Tensor[] {
	const [low, high] = [t.minimum(t.amin(x), 0), t.maximum(t.amax(x), 0)];
	const scale = t.div(t.sub(high, low), 255);
	const bytes = (y: Tensor): Tensor => t.clamp(y, { min: 0, max: 255 });
	const zero = t.round(bytes(t.neg(t.div(low, scale))));
	return [t.cast(bytes(t.add(t.round(t.div(x, scale)), zero)), "u8"), scale, t.cast(zero, "u8")];
}

export const elementwise: Operators = {
	Abs: one(t.abs),
	Acos: one(t.acos),
	Acosh: one((x) => t.log(t.add(x, t.sqrt(t.add(t.square(x), -1))))),
	Add: two(t.add),
	And: two(t.logicalAnd),
	Asin: one(t.asin),
	Asinh: one(asinh),
	Atan: one(t.atan),
	Atanh: one((x) => t.mul(t.sub(t.log1p(x), t.log1p(t.neg(x))), 0.5)),
	Cast: (call) => t.cast(call.inputs[0], dtype(call, "to", "f32")),
	CastLike: two((x, like) => t.cast(x, like.dtype)),
	Ceil: one(t.ceil),
	Celu: (call) => {
		const alpha = number(call, "alpha", 1);
		return t.mul(t.elu(t.mul(call.inputs[0], 1 / alpha), 1), alpha);
	},
	Clip: clip,
	Cos: one(t.cos),
	Cosh: one(t.cosh),
	DequantizeLinear: dequantize,
	Div: two((a, b) => t.div(a, b, isWhole(a) ? { rounding: "trunc" } : {})),
	Dropout: dropout,
	DynamicQuantizeLinear: dynamicQuantize,
	Elu: (call) => t.elu(call.inputs[0], number(call, "alpha", 1)),
	Equal: two(t.eq),
	Erf: one(t.erf),
	Exp: one(t.exp),
	Floor: one(t.floor),
	Gelu: (call) => t.gelu(call.inputs[0], { approximate: attribute<string>(call, "approximate", "none") as "none" | "tanh" }),
	Greater: two(t.gt),
	GreaterOrEqual: two(t.ge),
	HardSigmoid: (call) => hardSigmoid(call.inputs[0], number(call, "alpha", 0.2), number(call, "beta", 0.5)),
	HardSwish: one((x) => t.mul(x, hardSigmoid(x, 1 / 6, 0.5))),
	Identity: one((x) => x),
	IsInf: isInfinite,
	IsNaN: one(t.isnan),
	LeakyRelu: (call) => t.leakyRelu(call.inputs[0], number(call, "alpha", 0.01)),
	Less: two(t.lt),
	LessOrEqual: two(t.le),
	Log: one(t.log),
	Max: many(t.maximum),
	Mean: ({ inputs }) => t.mul(inputs.reduce(t.add), 1 / inputs.length),
	Min: many(t.minimum),
	Mish: one((x) => t.mul(x, t.tanh(t.softplus(x)))),
	Mod: (call) => (flag(call, "fmod") ? t.fmod : t.remainder)(call.inputs[0], call.inputs[1]),
	Mul: two(t.mul),
	Neg: one(t.neg),
	Not: one(t.logicalNot),
	Or: two(t.logicalOr),
	PRelu: two((x, slope) => t.where(t.lt(x, beside(x, 0)), t.mul(x, slope), x)),
	Pow: two(power),
	Reciprocal: one(t.reciprocal),
	Relu: one(t.relu),
	Round: one(t.round),
	Selu: (call) => t.mul(t.elu(call.inputs[0], number(call, "alpha", 1.6732632423543772)), number(call, "gamma", 1.0507009873554805)),
	Shrink: (call) => shrink(call.inputs[0], number(call, "lambd", 0.5), number(call, "bias", 0)),
	Sigmoid: one(t.sigmoid),
	Sign: one(t.sign),
	Sin: one(t.sin),
	Sinh: one(t.sinh),
	Softplus: one(t.softplus),
	Softsign: one((x) => t.div(x, t.add(t.abs(x), 1))),
	Sqrt: one(t.sqrt),
	Sub: two(t.sub),
	Sum: many(t.add),
	SwiGLU: (call) => t.mul(swish(call.inputs[0], number(call, "alpha", 1)), call.inputs[1]),
	Swish: (call) => swish(call.inputs[0], number(call, "alpha", 1)),
	Tan: one(t.tan),
	Tanh: one(t.tanh),
	ThresholdedRelu: (call) => onlyAbove(call.inputs[0], number(call, "alpha", 1)),
	Where: ({ inputs: [condition, a, b] }) => t.where(condition, a, b),
	Xor: two(t.logicalXor),
};
