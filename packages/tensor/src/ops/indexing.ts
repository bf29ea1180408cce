import type { DType } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import type { NdArray } from "../reference.ts";
import { normalizeAxis, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { ge, logicalOr, lt, maskedFill } from "./binary.ts";
import { packed } from "./contiguous.ts";
import { full, zeros } from "./create.ts";
import { QUIET_NAN } from "./embedding.ts";
import { expand } from "./expand.ts";
import { transpose } from "./view.ts";

type NoAttrs = Record<string, never>;
const VALUES: readonly DType[] = ["f32", "i32", "u32", "bool"];

/** Calls `f(row, k, id)` for each index of each row. */
function eachIndex(index: NdArray, f: (row: number, at: number, id: number) => void): void {
	const K = index.shape[index.shape.length - 1];
	index.data.forEach((id, at) => {
		f(Math.floor(at / K), at, id);
	});
}

export const gatherKernel = defineKernel("gather", ({ dtype }: { dtype: DType }) => {
	const outside = dtype === "f32" ? "bitcast<f32>(p.nan)" : `${dtype === "i32" ? "i32" : "u32"}(0)`;
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

export const scatterAddKernel = defineKernel("scatterAdd", {
	params: { n: "u32", N: "u32", K: "u32", share: "u32", rx: "u32", ri: "u32", rs: "u32" },
	buffers: { x: reads("f32"), ids: reads("i32"), src: reads("f32"), y: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let record = index / p.share;
let own = index % p.share;
let at = own / p.N * p.K;
let place = i32(own % p.N);
var acc = x_at(record * p.rx + own);
for (var k = 0u; k < p.K; k++) {
  if (ids_at(record * p.ri + at + k) == place) { acc += src_at(record * p.rs + at + k); }
}
y_set(index, acc);`,
});

/** True where an index is none of 0..n-1. */
const outside = (index: Tensor, n: number): Tensor =>
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
			rule: ({ dy, index }, _, { shape }) => scatterAddPrimitive.apply([zeros(dy.device, shape), index, dy])[0],
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

export const scatterAddPrimitive: Primitive<NoAttrs> = definePrimitive<NoAttrs>({
	name: "scatterAdd",
	signature: "x[..., N], index[..., K], src[..., K] -> y[..., N]",
	dtypes: { index: ["i32"] },
	attrs: {},
	forward: ({ runtime, inputs, axes: { N, K } }) => {
		const [x, ids, src] = [packed(inputs.x), packed(inputs.index), packed(inputs.src)];
		const y = runtime.empty(x.shape);
		const strides = { rx: x.strides[0], ri: ids.strides[0], rs: src.strides[0] };
		scatterAddKernel.run({ x, ids, src, y }, { n: y.size, N, K, share: recordSize(y), ...strides }, y.size);
		return [y];
	},
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

/** Moves an axis of each operand last, runs `f`, and moves the axis of the result back. */
function onLast(op: string, axis: number, operands: readonly Tensor[], f: (operands: Tensor[]) => Tensor): Tensor {
	const [{ rank, shape }] = operands;
	const at = normalizeAxis(op, axis, rank);
	const odd = operands.find((t) => t.rank !== rank || t.shape.some((d, i) => i !== at && d !== shape[i]));
	if (odd !== undefined) {
		throw new ShapeError("shape/index", `${op}: ${showShape(shape)} and ${showShape(odd.shape)} differ beside axis ${axis}`, { op });
	}
	return transpose(f(operands.map((t) => transpose(t, at, -1))), at, -1);
}

/**
 * Values picked along an axis, torch's gather: `y[..., k, ...] = x[..., index[..., k, ...], ...]`. index is i32, of x's shape
 * beside the axis; y has the shape of index. x is f32, i32, u32 or bool. An index outside, negative ones too, gives NaN (0 for
 * whole numbers, false for bool) and no gradient. The gradient is `scatterAdd`.
 * @throws ShapeError when the shapes differ beside the axis.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export const gather = (x: Tensor, axis: number, index: Tensor): Tensor =>
	onLast("gather", axis, [x, index], (operands) => gatherPrimitive.apply(operands)[0]);

/**
 * x with src added at the positions in index (i32) along an axis, several at one place in their order; a new tensor. index and
 * src have one shape, that of x beside the axis. Indices outside, negative ones too, add nothing. Takes time in proportion to
 * the product of the extents of x and index along the axis.
 * @throws ShapeError when the shapes of index and src differ, or that of x beside the axis.
 * @throws DTypeError unless x and src are f32 and index is i32.
 * @throws ValueError when `axis` is out of range.
 */
export const scatterAdd = (x: Tensor, axis: number, index: Tensor, src: Tensor): Tensor =>
	onLast("scatterAdd", axis, [x, index, src], (operands) => scatterAddPrimitive.apply(operands)[0]);

/**
 * Entries of x along an axis, by their numbers in ids (i32, one axis): torch's index_select. x is f32, i32, u32 or bool. An id
 * outside, a negative one too, gives NaN (0 for whole numbers, false for bool) and no gradient.
 * @throws ShapeError unless ids have one axis.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export function indexSelect(x: Tensor, axis: number, ids: Tensor): Tensor {
	if (ids.rank !== 1)
		throw new ShapeError("shape/index", `indexSelect: ids ${showShape(ids.shape)} must have one axis`, { op: "indexSelect" });
	const at = normalizeAxis("indexSelect", axis, x.rank);
	const moved = transpose(x, at, -1);
	const index = expand(ids, [...moved.shape.slice(0, -1), ids.size]);
	return transpose(gatherPrimitive.apply([moved, index])[0], at, -1);
}
