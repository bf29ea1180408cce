import { type DType, FLOATS, INTEGERS, wgslScalar } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { expects } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { QUIET_NAN } from "../gpu/prelude.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { named } from "../named.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import type { NdArray } from "../reference.ts";
import { normalizeAxis, type Shape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf, checkSame, checkType } from "./arguments.ts";
import { ge, logicalOr, lt, maskedFill } from "./binary.ts";
import { cast } from "./cast.ts";
import { packed } from "./contiguous.ts";
import { full, zeros } from "./create.ts";
import { expand } from "./expand.ts";
import { pad } from "./pad.ts";
import { type Reduction, stepOf } from "./reduceInner.ts";
import { slice } from "./slice.ts";
import { reshape, transpose } from "./view.ts";

type NoAttrs = Record<string, never>;
const VALUES: readonly DType[] = [...FLOATS, ...INTEGERS, "bool"];

/** Calls `f(row, k, id)` for each index of each row. */
function eachIndex(index: NdArray, f: (row: number, at: number, id: number) => void): void {
	const K = index.shape[index.shape.length - 1];
	index.data.forEach((id, at) => {
		f(Math.floor(at / K), at, id);
	});
}

export const gatherKernel = defineKernel("gather", ({ dtype }: { dtype: DType }) => {
	const outside = wgslScalar[dtype] === "f32" ? "bitcast<f32>(p.nan)" : `${wgslScalar[dtype]}(0)`;
	return {
		params: { n: "u32", N: "u32", K: "u32", share: "u32", rx: "u32", ri: "u32", nan: "u32" },
		buffers: { x: reads(dtype), ids: reads("i32"), y: writes(dtype) },
		workgroup: 64,
		body: wgsl`
if (index >= p.n) { return; }
let record = index / p.share;
let at = index % p.share;
let id = ids_at(record * p.ri + at);
if (id < 0 || u32(id) >= p.N) { y_set(index, ${outside}); return; }
y_set(index, x_at(record * p.rx + at / p.K * p.N + u32(id)));`,
	};
});

/** What is in a place and goes there, reduced in order. */
export const scatterKernel = defineKernel("scatter", ({ kind, dtype }: { kind: Reduction; dtype: DType }) => ({
	params: { n: "u32", N: "u32", K: "u32", share: "u32", rx: "u32", ri: "u32", rs: "u32" },
	buffers: { x: reads(dtype), ids: reads("i32"), src: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let record = index / p.share;
let own = index % p.share;
let at = own / p.N * p.K;
let place = i32(own % p.N);
var acc = x_at(record * p.rx + own);
for (var k = 0u; k < p.K; k++) {
  if (ids_at(record * p.ri + at + k) != place) { continue; }
  let v = src_at(record * p.rs + at + k);
  acc = ${stepOf(kind, wgslScalar[dtype]).step("acc", "v")};
}
y_set(index, acc);`,
}));

/** True where an index is none of 0..n-1. */
export const outside = (index: Tensor, n: number): Tensor =>
	logicalOr(lt(index, full(index.device, [], 0, "i32")), ge(index, full(index.device, [], n, "i32")));

/** Number of elements of one record. */
const recordSize = ({ shape }: Physical): number => Math.max(1, sizeOf(shape.slice(1)));

export const gatherPrimitive: Primitive<NoAttrs> = definePrimitive<NoAttrs>({
	name: "gather",
	signature: "x[..., N], index[..., K] -> y[..., K]",
	dtypes: { x: VALUES, index: ["i32"] },
	attrs: {},
	forward: ({ runtime, inputs, axes: { N, K } }) => {
		const [x, ids] = [packed(inputs.x), packed(inputs.index)];
		const y = runtime.empty(ids.shape, x.dtype);
		const params = { n: y.size, N, K: Math.max(1, K), share: recordSize(y), rx: x.strides[0], ri: ids.strides[0], nan: QUIET_NAN };
		gatherKernel.of({ dtype: x.dtype }).run({ x, ids, y }, params, y.size);
		return [y];
	},
	grad: {
		x: {
			saves: ["index"],
			rule: ({ dy, index }, _, { shape }) => scatterAddPrimitive.apply([zeros(dy.device, shape), index, cast(dy, "f32")])[0],
		},
		index: "none",
	},
	reference: ({ x, index }) => {
		const N = x.shape[x.shape.length - 1];
		const data = new Float64Array(index.data.length);
		eachIndex(index, (row, at, id) => {
			data[at] = x.data[row * N + id];
		});
		return [{ data, shape: index.shape }];
	},
	test: { bound: { why: "copies values" }, domains: { index: { belowAxis: "N" } } },
});

/** x [..., N] with src [..., K] reduced into the places that ids [..., K] name. */
export function scattered(kind: Reduction, ...operands: [x: Physical, ids: Physical, src: Physical]): Physical {
	const [x, ids, src] = operands.map(packed);
	const y = x.runtime.empty(x.shape, x.dtype);
	const [N, K] = [x, ids].map(({ shape }) => shape[shape.length - 1]);
	const params = { n: y.size, N, K, share: recordSize(y), rx: x.strides[0], ri: ids.strides[0], rs: src.strides[0] };
	scatterKernel.of({ kind, dtype: x.dtype }).run({ x, ids, src, y }, params, y.size);
	return y;
}

export const scatterAddPrimitive: Primitive<NoAttrs> = definePrimitive<NoAttrs>({
	name: "scatterAdd",
	signature: "x[..., N], index[..., K], src[..., K] -> y[..., N]",
	dtypes: { x: ["f32", ...INTEGERS], index: ["i32"], src: ["f32", ...INTEGERS] },
	attrs: {},
	check: ({ x, src }) => checkSame("scatterAdd", { x, src }),
	forward: ({ inputs: { x, index, src } }) => [scattered("sum", x, index, src)],
	grad: {
		x: { saves: [], rule: ({ dy }) => dy },
		src: {
			saves: ["index"],
			rule: ({ dy, index }) => maskedFill(gatherPrimitive.apply([dy, index])[0], outside(index, dy.shape[dy.rank - 1]), 0),
		},
		index: "none",
	},
	reference: ({ x, index, src }) => {
		const N = x.shape[x.shape.length - 1];
		const data = x.data.slice();
		eachIndex(index, (row, at, id) => {
			data[row * N + id] += src.data[at];
		});
		return [{ data, shape: x.shape }];
	},
	test: { bound: { abs: 4e-6, why: "sums of up to 9 values of size 2 and one more" }, domains: { index: { belowAxis: "N" } } },
});

/** Moves an axis of each operand last, runs `f`, and moves the axis of the result back. A scalar counts as a vector of one. */
export function onLast(axis: number, operands: readonly Tensor[], f: (operands: Tensor[]) => Tensor): Tensor {
	if (operands[0].rank === 0) return reshape(f(operands.map((t) => reshape(t, [1]))), []);
	return transpose(f(operands.map((t) => transpose(t, axis, -1))), axis, -1);
}

/** Where an index of this shape is used along an axis of x; torch's rule: beside that axis it may be smaller than x. */
export function indexAxis(op: string, x: Tensor, axis: number, index: Tensor, src: Tensor = index): number {
	expects(op, { x, index, src }, { x: "tensor", index: "tensor", src: "tensor" });
	const at = axisOf(op, axis, x);
	const fits = (t: Tensor, free: number): boolean => t.rank === index.rank && index.shape.every((d, i) => i === free || d <= t.shape[i]);
	if (fits(x, at) && fits(src, -1)) return at;
	const shown = [x, index, ...(src === index ? [] : [src])].map((t) => showShape(t.shape)).join(", ");
	throw new ShapeError("shape/index", `${op}: ${shown} do not fit along axis ${axis}`, {
		op,
		hint: "index may be smaller than x beside the axis, and than src on all axes, but not larger",
	});
}

/** The first elements of t along all axes but one (−1: along all), as many as the shape has. */
export const cutTo = (t: Tensor, shape: Shape, axis: number): Tensor =>
	shape.reduce((y, d, i) => (i === axis || d === y.shape[i] ? y : slice(y, i, 0, d)), t);

/**
 * Values picked along an axis, torch's gather: `y[..., k, ...] = x[..., index[..., k, ...], ...]`. index is i32, beside the axis of
 * x's extents or smaller; y has the shape of index. x is f32, f16, i32, u32 or bool. An index outside, negative ones too, gives NaN
 * (0 for whole numbers, false for bool) and no gradient. The gradient is `scatterAdd`.
 * @throws ShapeError when the ranks differ or index is larger beside the axis.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export function gather(x: Tensor, axis: number, index: Tensor): Tensor {
	const at = indexAxis("gather", x, axis, index);
	return onLast(at, [cutTo(x, index.shape, at), index], (operands) => gatherPrimitive.apply(operands)[0]);
}

/**
 * x with src added at the positions in index (i32) along an axis, several at one place in their order; a new tensor: torch's
 * scatter_add. index may be smaller than src, of which the first elements are then taken, and than x beside the axis. Indices
 * outside, negative ones too, add nothing. x and src are both f32, f16 (added in f32), i32 or u32 (which wrap around). Takes time
 * in proportion to the product of the extents of x and index along the axis.
 * @throws ShapeError when the ranks differ or index is larger than src, or than x beside the axis.
 * @throws DTypeError for other types, or an index that is not i32.
 * @throws ValueError when `axis` is out of range.
 */
export function scatterAdd(x: Tensor, axis: number, index: Tensor, src: Tensor): Tensor {
	expects("scatterAdd", { src }, { src: "tensor" });
	const at = indexAxis("scatterAdd", x, axis, index, src);
	if (x.dtype === "f16" && src.dtype === "f16") return cast(scatterAdd(cast(x, "f32"), at, index, cast(src, "f32")), "f16");
	const { ids, values } = widened(x, at, index, cutTo(src, index.shape, -1));
	return onLast(at, [x, ids, values], (operands) => scatterAddPrimitive.apply(operands)[0]);
}

/** index and values with x's extents beside the axis: the new ones point nowhere. */
export function widened(x: Tensor, axis: number, index: Tensor, values: Tensor): { readonly ids: Tensor; readonly values: Tensor } {
	const pairs = index.shape.map((d, i) => [0, i === axis ? 0 : x.shape[i] - d] as const);
	if (pairs.every(([, more]) => more === 0)) return { ids: index, values };
	return { ids: pad(index, pairs, { value: -1 }), values: pad(values, pairs) };
}

/**
 * Entries of x along an axis, by their numbers in ids (i32, one axis): torch's index_select. x is f32, f16, i32, u32 or bool. An id
 * outside, a negative one too, gives NaN (0 for whole numbers, false for bool) and no gradient.
 * @throws ShapeError unless ids have one axis.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export const indexSelect = named("indexSelect", (x: Tensor, axis: number, ids: Tensor): Tensor => {
	checkType("indexSelect", x, VALUES);
	checkType("indexSelect", ids, ["i32"], "ids");
	if (ids.rank !== 1) {
		throw new ShapeError("shape/index", `indexSelect: ids ${showShape(ids.shape)} must have one axis`, { op: "indexSelect" });
	}
	const at = normalizeAxis("indexSelect", axis, x.rank);
	const moved = transpose(x, at, -1);
	const index = expand(ids, [...moved.shape.slice(0, -1), ids.size]);
	return transpose(gatherPrimitive.apply([moved, index])[0], at, -1);
});
