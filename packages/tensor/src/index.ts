export { grad, type Slot, type ValueAndGrad, valueAndGrad, vjp, type WithAux } from "./autograd.ts";
export { CapturedStep, capture } from "./capture.ts";
export { checkpoint } from "./checkpoint.ts";
export { type CustomVjp, customVjp } from "./customVjp.ts";
export type { DebugOptions, Leak } from "./debug.ts";
export { type Counters, Device } from "./device.ts";
export type { DType, HostArray } from "./dtype.ts";
export {
	DeviceError,
	DisposedError,
	DTypeError,
	type ErrorDetails,
	FormatError,
	HushgradError,
	NumericError,
	PrivacyError,
	ShapeError,
	ValueError,
} from "./errors.ts";
export { checkFinite } from "./finite.ts";
export type { MatrixUnit } from "./gpu/matrices.ts";
export type { Plan, Planned } from "./gpu/plan.ts";
export type { MemoryReport } from "./gpu/pool.ts";
export type { AdapterName } from "./gpu/types.ts";
export { data, item, type TensorOptions, tensor, toNested, write } from "./host.ts";
export type { Nested } from "./nested.ts";
export { elu, erf, gelu, leakyRelu, logsigmoid, relu, sigmoid, silu, softcap, softplus } from "./ops/activations.ts";
export { amax, amin } from "./ops/amax.ts";
export { argmax, argmin, max, min } from "./ops/argmax.ts";
export type { Axes } from "./ops/arguments.ts";
export { type AttentionOptions, scaledDotProductAttention } from "./ops/attention.ts";
export { type AttentionSoftmaxOptions, attentionSoftmax } from "./ops/attentionSoftmax.ts";
export {
	add,
	addScaled,
	atan2,
	eq,
	fmod,
	ge,
	geglu,
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
export { assign, cast } from "./ops/cast.ts";
export { clip, type NanToNumOptions, nanToNum } from "./ops/clip.ts";
export { type Conv1dOptions, type Conv2dOptions, conv1d, conv2d } from "./ops/conv.ts";
export { arange, eye, full, fullLike, linspace, ones, onesLike, zeros, zerosLike } from "./ops/create.ts";
export { type CrossEntropyOptions, crossEntropy, type NllOptions, nllLoss } from "./ops/crossEntropy.ts";
export { cummax, cummin } from "./ops/cummax.ts";
export { type CumprodOptions, cumprod } from "./ops/cumprod.ts";
export { cumsum } from "./ops/cumsum.ts";
export { type DiagonalOptions, diagEmbed, diagonal, trace } from "./ops/diagonal.ts";
export { type DiffOptions, diff } from "./ops/diff.ts";
export { type DivOptions, div, floorDivide, hypot, logaddexp, truncDivide } from "./ops/divide.ts";
export { DropoutKey, type DropoutOptions, dropout } from "./ops/dropout.ts";
export { einsum } from "./ops/einsum.ts";
export { type EmbeddingOptions, embedding } from "./ops/embedding.ts";
export { broadcastTo, expand, type ReduceOptions, sum } from "./ops/expand.ts";
export { flip, rot90 } from "./ops/flip.ts";
export { type HistcOptions, histc } from "./ops/histc.ts";
export { gather, indexSelect, scatterAdd } from "./ops/indexing.ts";
export { chunk, flatten, split, stack, unflatten } from "./ops/join.ts";
export { type AffineOptions, type GroupNormOptions, groupNorm, type LayerNormOptions, layerNorm } from "./ops/layerNorm.ts";
export { type AddcOptions, addcdiv, addcmul, lerp } from "./ops/lerp.ts";
export { linear } from "./ops/linear.ts";
export { IGNORE_INDEX } from "./ops/linearCrossEntropy.grad.ts";
export { linearCrossEntropy } from "./ops/linearCrossEntropy.ts";
export { logSoftmax } from "./ops/logSoftmax.ts";
export { logsumexp } from "./ops/logsumexp.ts";
export {
	type BceWithLogitsOptions,
	bceLoss,
	bceWithLogits,
	type CosineSimilarityOptions,
	cosineSimilarity,
	type HuberOptions,
	huberLoss,
	type KlDivOptions,
	klDiv,
	type LossOptions,
	l1Loss,
	mseLoss,
	type SmoothL1Options,
	smoothL1Loss,
} from "./ops/losses.ts";
export { bmm, dot, matmul, outer } from "./ops/matmul.ts";
export { nanmean, nansum } from "./ops/nans.ts";
export { type NormalizeOptions, type NormOptions, norm, normalize } from "./ops/norm.ts";
export { type PadOptions, pad } from "./ops/pad.ts";
export {
	type AvgPool1dOptions,
	type AvgPool2dOptions,
	avgPool1d,
	avgPool2d,
	maxPool1d,
	maxPool2d,
	type Pool1dOptions,
	type Pool2dOptions,
} from "./ops/pool.ts";
export { prod } from "./ops/prod.ts";
export { type CdistOptions, cdist, cross, kron, tensordot } from "./ops/products.ts";
export { type KthvalueOptions, kthvalue, median, type QuantileOptions, quantile } from "./ops/quantile.ts";
export { mean, std, type VarianceOptions, variance } from "./ops/reduce.ts";
export { type MeshgridOptions, meshgrid, repeat, repeatInterleave, tile } from "./ops/repeat.ts";
export { rmsNorm } from "./ops/rmsNorm.ts";
export { roll } from "./ops/roll.ts";
export { rope } from "./ops/rope.ts";
export { bincount, type IndexPutOptions, index, indexAdd, indexPut, oneHot, scatter, take, takeAlongAxis } from "./ops/scatter.ts";
export { type ScatterReduceOptions, type ScatterReduction, scatterReduce } from "./ops/scatterReduce.ts";
export { bucketize, isin, type SearchsortedOptions, searchsorted } from "./ops/searchsorted.ts";
export { cat, narrow, select, slice, unbind } from "./ops/slice.ts";
export { softmax } from "./ops/softmax.ts";
export { argsort, type Sorted, type SortOptions, sort, topk } from "./ops/sort.ts";
export { takeRows } from "./ops/takeRows.ts";
export { tril, triu } from "./ops/tril.ts";
export { all, allclose, any, type CloseOptions, countNonzero, isclose } from "./ops/truth.ts";
export {
	abs,
	acos,
	asin,
	atan,
	ceil,
	clamp,
	cos,
	cosh,
	exp,
	exp2,
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
	sinh,
	sqrt,
	square,
	tan,
	tanh,
	trunc,
} from "./ops/unary.ts";
export { unfold } from "./ops/unfold.ts";
export { detach, moveaxis, movedim, permute, reshape, squeeze, swapaxes, transpose, unsqueeze } from "./ops/view.ts";
export type { Pair } from "./ops/windows.ts";
export { type KernelEvent, type KernelTotal, Profile } from "./profile.ts";
export {
	bernoulli,
	foldIn,
	type Key,
	key,
	type NormalOptions,
	normal,
	normalValues,
	permutation,
	randint,
	splitKey,
	type UniformOptions,
	uniform,
	uniformValues,
} from "./random.ts";
export { type DeviceOptions, listAdapters, requestDevice } from "./request.ts";
export type { Shape } from "./shape.ts";
export { print, show } from "./show.ts";
export { Tensor } from "./tensor.ts";
export { hessian, hvp, jacobian, jvp, type ValueAndHvp, type ValueAndTangent } from "./transforms.ts";
export type { Tuning } from "./tuning.ts";
export type { HostValues } from "./upload.ts";
export { type InAxes, type VmapOptions, vmap } from "./vmap.ts";
export { warmup } from "./warmup.ts";
