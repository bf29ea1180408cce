import {
	abs,
	add,
	addScaled,
	amax,
	amin,
	argmax,
	atan2,
	cast,
	cat,
	checkpoint,
	chunk,
	clamp,
	crossEntropy,
	cummax,
	cumprod,
	cumsum,
	customVjp,
	type DropoutKey,
	type DType,
	diagonal,
	div,
	dropout,
	einsum,
	embedding,
	erf,
	exp,
	expand,
	flip,
	floor,
	full,
	gather,
	geglu,
	gelu,
	grad,
	gt,
	index,
	indexAdd,
	indexPut,
	indexSelect,
	isnan,
	layerNorm,
	linear,
	linearCrossEntropy,
	log1p,
	logaddexp,
	logSoftmax,
	logsumexp,
	lt,
	maskedFill,
	matmul,
	maximum,
	mean,
	minimum,
	movedim,
	mul,
	norm,
	pad,
	permute,
	prod,
	quantile,
	relu,
	remainder,
	repeatInterleave,
	reshape,
	rmsNorm,
	roll,
	rope,
	scaledDotProductAttention,
	scatter,
	scatterAdd,
	sigmoid,
	silu,
	sin,
	slice,
	softmax,
	softplus,
	sort,
	split,
	sqrt,
	square,
	squeeze,
	stack,
	std,
	sub,
	sum,
	type Tensor,
	takeRows,
	tanh,
	topk,
	transpose,
	tril,
	triu,
	unbind,
	unsqueeze,
	variance,
	vjp,
	where,
} from "@hushgrad/tensor";

/** What a program for one record may read: its record, a dropout key, and parameters. */
export interface Given {
	readonly x: Tensor;
	readonly m: Tensor;
	/** Whole numbers, some of them outside of what they index. */
	readonly ids: Tensor;
	readonly key: DropoutKey;
	/** [4, 6], [6], [7, 4], []. */
	readonly w: Tensor;
	readonly v: Tensor;
	readonly t: Tensor;
	readonly s: Tensor;
}

/** One operation of a random program: two values that were made before, and numbers that choose among its forms. */
export interface Call {
	readonly a: Tensor;
	readonly b: Tensor;
	/** Number k of the call's random numbers, in 0..n-1. */
	readonly pick: (k: number, n: number) => number;
	readonly given: Given;
}

type Op = (call: Call) => Tensor;

/** The elements of t in another shape: the first of them, followed by zeros. */
export function sized(t: Tensor, shape: readonly number[]): Tensor {
	const n = shape.reduce((p, d) => p * d, 1);
	const flat = reshape(t, [t.size]);
	const long = t.size < n ? pad(flat, [[0, n - t.size]]) : flat;
	return reshape(t.size > n ? slice(long, 0, 0, n) : long, shape);
}

/** As a tensor of at least one axis. */
const withAxis = (t: Tensor): Tensor => (t.rank === 0 ? reshape(t, [1]) : t);
const bounded = (t: Tensor): Tensor => mul(tanh(t), 2);
const finite = (t: Tensor): Tensor => where(isnan(t), full(t.device, [], 0.25), t);
const matrix = (t: Tensor): Tensor => sized(t, [3, 4]);
const axisOf = ({ pick }: Call, t: Tensor): number => pick(0, t.rank);

/** On a value with axes, along one of them. */
const along =
	(f: (t: Tensor, axis: number, call: Call) => Tensor): Op =>
	(call) => {
		const t = withAxis(call.a);
		return f(t, axisOf(call, t), call);
	};

const throughTypes =
	(...types: DType[]): Op =>
	({ a }) =>
		types.reduce((t, type) => cast(t, type), mul(a, 3));

/** A smooth function of one tensor and the parameters, for what differentiates inside of a program. */
const smooth = (u: Tensor, { w, v, s }: Given): Tensor => add(tanh(linear(mul(u, v), w)), s);

const EQUATIONS = ["ij,ij->i", "ij,kj->ik", "ij,ij->", "ij,kj->jik", "ii,ij->j", "ij->ji", "ij,ij->ij"] as const;

const shapes: Readonly<Record<string, Op>> = {
	reshape: ({ a, pick }) => {
		const n = a.size;
		const divisors = Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
		const d = divisors[pick(0, divisors.length)];
		return reshape(a, pick(1, 2) === 0 ? [d, n / d] : [d, 1, -1]);
	},
	permute: ({ a, pick }) =>
		permute(
			a,
			[...a.shape.keys()].map((i) => (i + pick(0, Math.max(1, a.rank))) % a.rank),
		),
	movedim: along((t, axis, { pick }) => movedim(t, axis, pick(1, t.rank))),
	transpose: ({ a }) => transpose(matrix(a)),
	slice: along((t, axis, { pick }) => {
		const start = pick(1, t.shape[axis]);
		return slice(t, axis, start, t.shape[axis], 1 + pick(2, 3));
	}),
	cat: along((t, axis, { b }) => cat([t, sized(b, t.shape.with(axis, 2))], axis)),
	stack: ({ a, b, pick }) => stack([a, sized(b, a.shape)], pick(0, a.rank + 1)),
	pad: ({ a, pick }) =>
		pad(
			a,
			a.shape.map((_, i) => [pick(i, 2), pick(i + 1, 2)] as const),
			{ value: pick(2, 3) - 1 },
		),
	padMode: ({ a, pick }) => {
		const mode = (["reflect", "replicate", "circular"] as const)[pick(0, 3)];
		return pad(matrix(a), [[pick(1, 3), 1] as const, [2, pick(2, 3)] as const], { mode });
	},
	backwards: along((t, axis, { pick }) => slice(t, axis, undefined, undefined, -1 - pick(1, 2))),
	unbind: along((t, axis) => stack(unbind(t, axis).toReversed(), axis)),
	repeatInterleave: along((t, axis) => repeatInterleave(t, 2, axis)),
	flip: along((t, axis) => flip(t, [axis])),
	roll: along((t, axis, { pick }) => roll(t, pick(1, 7) - 3, axis)),
	expand: ({ a, pick }) => expand(unsqueeze(a, 0), [1 + pick(0, 3), ...a.shape]),
	squeeze: ({ a, pick }) => squeeze(unsqueeze(a, pick(0, a.rank + 1)), pick(0, a.rank + 1)),
	diagonal: ({ a, pick }) => diagonal(sized(a, [3, 2, 4]), { axis1: 0, axis2: 2, offset: pick(0, 4) - 2 }),
	split: along((t, axis, { pick }) => {
		const parts = split(t, 1 + pick(1, 3), axis);
		return cat(parts.toReversed(), axis);
	}),
	chunk: along((t, axis) => chunk(t, 2, axis)[0]),
	tril: ({ a, pick }) => (pick(0, 2) === 0 ? tril(matrix(a), pick(1, 3) - 1) : triu(matrix(a), pick(1, 3) - 1)),
};

const reductions: Readonly<Record<string, Op>> = {
	sum: along((t, axis, { pick }) => sum(t, [axis], { keepDim: pick(1, 2) === 0 })),
	mean: along((t, axis, { pick }) => (pick(1, 3) === 0 ? mean(t) : mean(t, [axis], { keepDim: true }))),
	amax: along((t, axis, { pick }) => (pick(1, 2) === 0 ? amax(t, [axis]) : amin(t, [axis]))),
	prod: along((t, axis) => prod(tanh(t), [axis])),
	cumprod: along((t, axis, { pick }) => cumprod(tanh(t), axis, { reverse: pick(1, 2) === 0, exclusive: pick(2, 2) === 0 })),
	cummax: along((t, axis) => cummax(t, axis).values),
	norm: along((t, axis, { pick }) => norm(tanh(t), axis, { p: [1, 2, 3, Number.POSITIVE_INFINITY][pick(1, 4)] })),
	quantile: along((t, axis, { pick }) => quantile(t, pick(1, 5) / 4, axis)),
	std: along((t, axis) => std(add(t, square(t)), [axis], { correction: 0, keepDim: true })),
	variance: along((t, axis) => variance(t, [axis], { correction: 0 })),
	logsumexp: along((t, axis) => logsumexp(t, [axis])),
	cumsum: along((t, axis, { pick }) => cumsum(t, axis, { reverse: pick(1, 2) === 0, exclusive: pick(2, 2) === 0 })),
	softmax: along((t, axis) => softmax(t, axis)),
	logSoftmax: along((t, axis) => logSoftmax(t, axis)),
};

const arithmetic: Readonly<Record<string, Op>> = {
	add: ({ a, b }) => add(a, sized(b, a.shape)),
	addRow: ({ a, b }) => add(matrix(a), sized(b, [4])),
	addColumn: ({ a, b }) => sub(matrix(a), sized(b, [3, 1])),
	outer: ({ a, b }) => mul(sized(a, [4, 1]), sized(b, [1, 5])),
	mulScaled: ({ a, given: { s } }) => mul(a, s),
	addScaled: ({ a, b, pick }) => addScaled(a, sized(b, a.shape), pick(0, 5) / 2),
	mul: ({ a, b }) => bounded(mul(a, sized(b, a.shape))),
	div: ({ a, b }) => div(a, addScaled(full(a.device, [], 1), square(sized(b, a.shape)), 1)),
	maximum: ({ a, b, pick }) => (pick(0, 2) === 0 ? maximum : minimum)(a, sized(b, a.shape)),
	atan2: ({ a, b }) => atan2(a, add(square(sized(b, a.shape)), full(a.device, [], 1))),
	logaddexp: ({ a, b }) => logaddexp(a, sized(b, a.shape)),
	geglu: ({ a, b }) => geglu(a, sized(b, a.shape)),
	remainder: ({ a }) => remainder(a, full(a.device, [], 0.75)),
	where: ({ a, b }) => where(gt(a, sized(b, a.shape)), tanh(a), mul(sized(b, a.shape), 0.5)),
	maskedFill: ({ a, pick }) => maskedFill(a, lt(a, full(a.device, [], pick(0, 3) - 1)), 0.5),
	unary: ({ a, pick }) =>
		[
			tanh,
			(t: Tensor) => exp(tanh(t)),
			sin,
			sigmoid,
			gelu,
			silu,
			erf,
			softplus,
			abs,
			relu,
			floor,
			(t: Tensor) => sqrt(add(square(t), full(t.device, [], 0.5))),
			(t: Tensor) => log1p(square(t)),
			(t: Tensor) => clamp(t, { min: -0.75, max: 0.5 }),
		][pick(0, 14)](a),
	bf16: throughTypes("bf16", "f32"),
	i32: throughTypes("i32", "f32"),
	u8: throughTypes("u8", "f32"),
	bool: throughTypes("bool", "f32"),
};

const indexing: Readonly<Record<string, Op>> = {
	sort: along((t, axis, { pick }) => sort(t, { axis, descending: pick(1, 2) === 0 }).values),
	topk: along((t, axis, { pick }) => topk(t, 1 + pick(1, t.shape[axis]), { axis }).values),
	argmax: ({ a }) => cast(argmax(sized(a, [3, 5]), 1), "f32"),
	sortIndices: ({ a, b }) => {
		const t = sized(a, [6]);
		return gather(sized(b, [6]), 0, sort(t).indices);
	},
	gather: ({ a, given: { ids } }) => finite(gather(sized(a, [5]), 0, ids)),
	gatherRows: ({ a, given: { ids } }) => finite(gather(sized(a, [2, 6]), 1, expand(unsqueeze(ids, 0), [2, 4]))),
	scatterAdd: ({ a, b, given: { ids } }) => scatterAdd(sized(a, [5]), 0, ids, sized(b, [4])),
	scatter: ({ a, b, given: { ids } }) => scatter(sized(a, [5]), 0, ids, sized(b, [4])),
	indexAdd: ({ a, b, given: { ids } }) => indexAdd(sized(a, [5, 2]), 0, ids, sized(b, [4, 2])),
	index: ({ a, given: { ids } }) => finite(index(sized(a, [3, 4, 2]), [ids, ids])),
	indexPut: ({ a, b, given: { ids }, pick }) => indexPut(sized(a, [3, 4]), [ids], sized(b, [4, 4]), { accumulate: pick(0, 2) === 0 }),
	indexSelect: ({ a, given: { ids } }) => finite(indexSelect(sized(a, [3, 4]), 0, ids)),
	takeRows: ({ a, given: { ids } }) => finite(takeRows(sized(a, [5, 2]), ids)),
	embedding: ({ given: { ids, t } }) => finite(embedding(ids, t)),
	ownTable: ({ a, given: { ids } }) => finite(embedding(ids, sized(a, [6, 3]))),
};

const products: Readonly<Record<string, Op>> = {
	linear: ({ a, given: { w } }) => bounded(linear(sized(a, [2, 6]), w)),
	linearVector: ({ a, given: { w } }) => linear(sized(a, [6]), w),
	ownWeight: ({ a, b }) => bounded(linear(sized(a, [3, 5]), sized(b, [7, 5]))),
	matmul: ({ a, b, pick }) => bounded(matmul(sized(a, pick(0, 2) === 0 ? [3, 4] : [2, 3, 4]), sized(b, [4, 5]))),
	matmulShared: ({ a, given: { t } }) => matmul(sized(a, [2, 7]), t),
	einsum: ({ a, b, pick }) => {
		const equation = EQUATIONS[pick(0, EQUATIONS.length)];
		const operands = equation.includes(",") ? [sized(a, [4, 4]), sized(b, [4, 4])] : [sized(a, [4, 3])];
		return bounded(einsum(equation, ...operands));
	},
	layerNorm: ({ a, given: { v }, pick }) => layerNorm(sized(a, [2, 6]), pick(0, 2) === 0 ? {} : { weight: v, bias: v }),
	rmsNorm: ({ a, b, given: { v }, pick }) => rmsNorm(sized(a, [2, 6]), pick(0, 2) === 0 ? v : sized(b, [6]), { offset: 1 }),
	rope: ({ a, b }) => rope(sized(a, [2, 3, 4]), sin(sized(b, [3, 2])), tanh(sized(a, [3, 2]))),
	attention: ({ a, b, pick }) => {
		const [q, k] = [sized(a, [2, 3, 4]), sized(b, [2, 3, 4])];
		const mask = gt(sized(b, [3, 3]), full(a.device, [], -0.5));
		const forms = [{}, { isCausal: true }, { isCausal: true, window: 2, softcap: 1.5 }, { mask }];
		return scaledDotProductAttention(q, k, tanh(q), forms[pick(0, forms.length)]);
	},
	crossEntropy: ({ a, given: { ids }, pick }) => {
		const labels = maskedFill(ids, lt(ids, full(a.device, [], 0, "i32")), -100);
		return finite(crossEntropy(sized(a, [4, 6]), labels, { reduction: pick(0, 2) === 0 ? "none" : "sum" }));
	},
	linearCrossEntropy: ({ a, b, given: { ids, t }, pick }) =>
		finite(linearCrossEntropy(sized(a, [4, 4]), pick(0, 2) === 0 ? t : sized(b, [7, 4]), ids, { softcap: pick(1, 2) * 2 })),
};

const control: Readonly<Record<string, Op>> = {
	checkpoint: ({ a, given }) => checkpoint((u) => smooth(u, given), [sized(a, [2, 6])]),
	customVjp: ({ a, b }) => {
		const f = customVjp({
			name: "own",
			forward: (u, o) => {
				const value = tanh(mul(u, o));
				return { value, saved: [u, o, value] };
			},
			backward: (dy, [u, o, y]) => {
				const slope = sub(dy, mul(dy, square(y)));
				return [mul(slope, o), mul(slope, u)];
			},
		});
		return f(a, sized(b, a.shape));
	},
	gradient: ({ a, given }) => bounded(grad((u: Tensor) => sum(square(smooth(u, given))))(sized(a, [2, 6]))),
	vjp: ({ a, b, given }) => bounded(vjp((u) => smooth(u, given), [sized(a, [2, 6])], sized(b, [2, 4])).grads[0]),
	dropout: ({ a, given: { key }, pick }) => dropout(a, [0.25, 0.5, 0][pick(0, 3)], key.fold(pick(1, 5))),
	scope: ({ a, b }) => a.device.scope(() => sub(mul(a, a), sized(b, a.shape))),
};

/** Every operation that a random program may call, by name. */
export const OPS: Readonly<Record<string, Op>> = { ...shapes, ...reductions, ...arithmetic, ...indexing, ...products, ...control };
