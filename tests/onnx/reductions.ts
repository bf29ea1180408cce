import * as t from "@hushgrad/tensor";
import { attribute, type Call, flag, fromEnd, number, type Operator, type Operators, range, single } from "./call.ts";

type Tensor = t.Tensor;
type Reduce = (x: Tensor, axes: readonly number[] | undefined, options: t.ReduceOptions) => Tensor;

/** Axes from the second input, or from the attribute of older versions; none means all unless the node says otherwise. */
function axesOf(call: Call): readonly number[] | undefined {
	const axes = call.numbers(1) ?? attribute<readonly number[]>(call, "axes", []);
	return axes.length > 0 || flag(call, "noop_with_empty_axes") ? axes : undefined;
}

/** The extreme of no values is the least, or greatest, number of the type: one more along an axis that has none. */
const extreme =
	(reduce: typeof t.amax, empty: number): Reduce =>
	(x, axes, options) => {
		const reduced = axes?.map((a) => fromEnd(a, x.rank)) ?? range(0, x.rank);
		const pairs = x.shape.map((d, i): [number, number] => [0, d === 0 && reduced.includes(i) ? 1 : 0]);
		const value = x.dtype === "bool" ? Number(empty > 0) : empty;
		return reduce(t.pad(x, pairs, { value }), axes, options);
	};

const over =
	(reduce: Reduce): Operator =>
	(call) =>
		reduce(call.inputs[0], axesOf(call), { keepDim: flag(call, "keepdims", 1) });

/** Position of the extreme; the last of several is the first of the reversed axis. */
const position =
	(find: typeof t.argmax): Operator =>
	(call) => {
		const [x] = call.inputs;
		const axis = fromEnd(number(call, "axis", 0), x.rank);
		const keepDim = flag(call, "keepdims", 1);
		if (!flag(call, "select_last_index")) return find(x, axis, { keepDim });
		const fromLast = find(t.flip(x, [axis]), axis, { keepDim });
		return t.sub(t.full(x.device, [], x.shape[axis] - 1, "i32"), fromLast);
	};

function hardmax(call: Call): Tensor {
	const [x] = call.inputs;
	const axis = fromEnd(number(call, "axis", -1), x.rank);
	const places = t.reshape(
		t.arange(x.device, 0, x.shape[axis], 1, "i32"),
		range(0, x.rank).map((i) => (i === axis ? x.shape[axis] : 1)),
	);
	return t.cast(t.eq(t.argmax(x, axis, { keepDim: true }), places), x.dtype);
}

function topk(call: Call): Tensor[] {
	const { values, indices } = t.topk(call.inputs[0], single(call, 1, 1), {
		axis: number(call, "axis", -1),
		largest: flag(call, "largest", 1),
	});
	return [values, indices];
}

export const reductions: Operators = {
	ArgMax: position(t.argmax),
	ArgMin: position(t.argmin),
	CumProd: (call) => t.cumprod(call.inputs[0], single(call, 1, 0), { reverse: flag(call, "reverse"), exclusive: flag(call, "exclusive") }),
	CumSum: (call) => t.cumsum(call.inputs[0], single(call, 1, 0), { reverse: flag(call, "reverse"), exclusive: flag(call, "exclusive") }),
	Hardmax: hardmax,
	ReduceL1: over((x, axes, options) => t.sum(t.abs(x), axes, options)),
	ReduceL2: over((x, axes, options) => t.sqrt(t.sum(t.square(x), axes, options))),
	ReduceLogSum: over((x, axes, options) => t.log(t.sum(x, axes, options))),
	ReduceLogSumExp: over(t.logsumexp),
	ReduceMax: over(extreme(t.amax, Number.NEGATIVE_INFINITY)),
	ReduceMean: over(t.mean),
	ReduceMin: over(extreme(t.amin, Number.POSITIVE_INFINITY)),
	ReduceProd: over(t.prod),
	ReduceSum: over(t.sum),
	ReduceSumSquare: over((x, axes, options) => t.sum(t.square(x), axes, options)),
	TopK: topk,
};
