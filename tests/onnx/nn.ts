import * as t from "@hushgrad/tensor";
import { attribute, type Call, flag, fromEnd, number, type Operators, product, range } from "./call.ts";

type Tensor = t.Tensor;

/** A vector of one value a channel, beside x [N, C, ...]. */
const channels = (v: Tensor, rank: number): Tensor => t.reshape(v, [v.size, ...new Array<number>(rank - 2).fill(1)]);
const affine = (y: Tensor, scale: Tensor, bias: Tensor): Tensor => t.add(t.mul(y, channels(scale, y.rank)), channels(bias, y.rank));
const standardize = (x: Tensor, m: Tensor, v: Tensor, eps: number): Tensor => t.mul(t.sub(x, m), t.rsqrt(t.add(v, eps)));

function gemm(call: Call): Tensor {
	const [a, b, c] = call.inputs;
	const product = t.matmul(flag(call, "transA") ? t.transpose(a) : a, flag(call, "transB") ? t.transpose(b) : b);
	const scaled = t.mul(product, number(call, "alpha", 1));
	return c === undefined ? scaled : t.add(scaled, t.mul(c, number(call, "beta", 1)));
}

/** The axes from `axis` on as one, which is what our normalisations work on. */
function rowsFrom(x: Tensor, axis: number): { rows: Tensor; one: (p: Tensor) => Tensor; outer: number[] } {
	const lead = x.shape.slice(0, axis);
	const outer = [...lead, ...x.shape.slice(axis).map(() => 1)];
	return { rows: t.reshape(x, [...lead, product(x.shape.slice(axis))]), one: (p) => t.reshape(p, [p.size]), outer };
}

function layerNormalization(call: Call): Tensor[] {
	const [x, weight, bias] = call.inputs;
	const eps = number(call, "epsilon", 1e-5);
	const { rows, one, outer } = rowsFrom(x, fromEnd(number(call, "axis", -1), x.rank));
	const y = t.layerNorm(rows, { weight: one(weight), bias: bias && one(bias), eps });
	const mean = t.mean(rows, [-1]);
	const deviation = t.rsqrt(t.add(t.variance(rows, [-1], { correction: 0 }), eps));
	return [t.reshape(y, x.shape), t.reshape(mean, outer), t.reshape(deviation, outer)];
}

function rmsNormalization(call: Call): Tensor {
	const [x, weight] = call.inputs;
	const { rows, one } = rowsFrom(x, fromEnd(number(call, "axis", -1), x.rank));
	return t.reshape(t.rmsNorm(rows, one(weight), { eps: number(call, "epsilon", 1e-5) }), x.shape);
}

function batchNormalization(call: Call): (Tensor | undefined)[] {
	const [x, scale, bias, mean, variance] = call.inputs;
	const eps = number(call, "epsilon", 1e-5);
	const keep = number(call, "momentum", 0.9);
	const axes = range(0, x.rank).filter((i) => i !== 1);
	const training = flag(call, "training_mode");
	const m = training ? t.mean(x, axes) : mean;
	const v = training ? t.variance(x, axes, { correction: 0 }) : variance;
	const running = (old: Tensor, now: Tensor): Tensor | undefined => (training ? t.add(t.mul(old, keep), t.mul(now, 1 - keep)) : undefined);
	const y = affine(standardize(x, channels(m, x.rank), channels(v, x.rank), eps), scale, bias);
	return [y, running(mean, m), running(variance, v)];
}

/** x [N, C, ...] in groups of channels, each group of each sample standardised for itself. */
function inGroups(x: Tensor, groups: number, eps: number): Tensor {
	return t.reshape(t.layerNorm(t.reshape(x, [x.shape[0], groups, -1]), { eps }), x.shape);
}

function groupNormalization(call: Call): Tensor {
	const [x, scale, bias] = call.inputs;
	const groups = number(call, "num_groups", x.shape[1]);
	return affine(inGroups(x, groups, number(call, "epsilon", 1e-5)), scale, bias);
}

function meanVariance(call: Call): Tensor {
	const [x] = call.inputs;
	const axes = attribute<readonly number[]>(call, "axes", [0, 2, 3]);
	const deviation = t.std(x, axes, { correction: 0, keepDim: true });
	return t.div(t.sub(x, t.mean(x, axes, { keepDim: true })), t.add(deviation, 1e-9));
}

function lpNormalization(call: Call): Tensor {
	const [x] = call.inputs;
	const axes = [number(call, "axis", -1)];
	const norm = number(call, "p", 2) === 1 ? t.sum(t.abs(x), axes, { keepDim: true }) : t.sqrt(t.sum(t.square(x), axes, { keepDim: true }));
	const zero = t.zeros(x.device, []);
	return t.where(t.eq(norm, zero), zero, t.div(x, norm));
}

const spatial = (x: Tensor): number[] => range(2, x.rank);

/** Losses -weight[label] logp[label] of logp [N, C, ...]; labels to ignore weigh nothing. */
function negativeLikelihood(call: Call, logp: Tensor): Tensor {
	const [, labels, weight] = call.inputs;
	const { device } = logp;
	const ignored = t.eq(labels, t.full(device, [], number(call, "ignore_index", -(2 ** 31)), "i32"));
	const safe = t.maskedFill(labels, ignored, 0);
	const own = t.squeeze(t.gather(logp, 1, t.unsqueeze(safe, 1)), 1);
	const chosen = weight === undefined ? t.onesLike(own) : t.reshape(t.indexSelect(weight, 0, t.reshape(safe, [safe.size])), safe.shape);
	const weights = t.maskedFill(chosen, ignored, 0);
	const losses = t.mul(t.neg(own), weights);
	const reduction = attribute<string>(call, "reduction", "mean");
	if (reduction === "none") return losses;
	return reduction === "sum" ? t.sum(losses) : t.div(t.sum(losses), t.sum(weights));
}

/** By `crossEntropy` where classes are not weighted. */
function softmaxCrossEntropy(call: Call): Tensor[] {
	const [scores, labels, weight] = call.inputs;
	const logp = t.logSoftmax(scores, 1);
	if (weight !== undefined) return [negativeLikelihood(call, logp), logp];
	const loss = t.crossEntropy(t.movedim(scores, 1, -1), labels, {
		ignoreIndex: number(call, "ignore_index", -100),
		reduction: attribute<string>(call, "reduction", "mean") as t.CrossEntropyOptions["reduction"],
	});
	return [loss, logp];
}

export const nn: Operators = {
	BatchNormalization: batchNormalization,
	Einsum: (call) => t.einsum(attribute<string>(call, "equation", ""), ...call.inputs),
	Gemm: gemm,
	GlobalAveragePool: ({ inputs: [x] }) => t.mean(x, spatial(x), { keepDim: true }),
	GlobalMaxPool: ({ inputs: [x] }) => t.amax(x, spatial(x), { keepDim: true }),
	GroupNormalization: groupNormalization,
	InstanceNormalization: (call) => {
		const [x, scale, bias] = call.inputs;
		return affine(inGroups(x, x.shape[1], number(call, "epsilon", 1e-5)), scale, bias);
	},
	LayerNormalization: layerNormalization,
	LogSoftmax: (call) => t.logSoftmax(call.inputs[0], number(call, "axis", -1)),
	LpNormalization: lpNormalization,
	MatMul: ({ inputs: [a, b] }) => t.cast(t.matmul(a, b), a.dtype),
	MatMulInteger: ({ inputs: [a, b, zeroA, zeroB] }) => {
		const centred = (x: Tensor, zero: Tensor | undefined): Tensor =>
			zero === undefined ? t.cast(x, "i32") : t.sub(t.cast(x, "i32"), t.cast(zero, "i32"));
		return t.matmul(centred(a, zeroA), centred(b, zeroB));
	},
	MeanVarianceNormalization: meanVariance,
	NegativeLogLikelihoodLoss: (call) => negativeLikelihood(call, call.inputs[0]),
	RMSNormalization: rmsNormalization,
	Softmax: (call) => t.softmax(call.inputs[0], number(call, "axis", -1)),
	SoftmaxCrossEntropyLoss: softmaxCrossEntropy,
};
