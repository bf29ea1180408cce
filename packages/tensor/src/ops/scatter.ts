import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { ShapeError, ValueError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { named } from "../named.ts";
import { definePrimitive } from "../primitive.ts";
import { broadcastShapes, normalizeAxis, type Shape, sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { add, eq, logicalOr, lt, maximum, mul, where } from "./binary.ts";
import { cast } from "./cast.ts";
import { contiguous } from "./contiguous.ts";
import { arange, full, ones } from "./create.ts";
import { expand } from "./expand.ts";
import { cutTo, gather, gatherPrimitive, indexAxis, indexSelect, onLast, outside, scatterAdd, widened } from "./indexing.ts";
import { takeRowsGradPrimitive } from "./takeRows.ts";
import { movedim, reshape, transpose, unsqueeze } from "./view.ts";

export const lastPlaceKernel = defineKernel("lastPlace", {
	params: { n: "u32", N: "u32", K: "u32" },
	buffers: { ids: reads("i32"), places: writes("i32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let at = index / p.N * p.K;
let own = i32(index % p.N);
var place = -1;
for (var k = 0u; k < p.K; k++) { if (ids_at(at + k) == own) { place = i32(k); } }
places_set(index, place);`,
});

/** For each n in 0..N−1 the last k with index_k = n, or −1: the writer that wins where several write to one place. */
export const lastPlacePrimitive = definePrimitive<{ N: number }>({
	name: "lastPlace",
	signature: "index[..., K] -> places[..., N]",
	dtypes: { index: ["i32"] },
	attrs: { N: 6 },
	forward: ({ runtime, inputs, axes: { K }, attrs: { N } }) => {
		const ids = contiguous(inputs.index);
		const places = runtime.empty(ids.shape.with(-1, N), "i32");
		lastPlaceKernel.run({ ids, places }, { n: places.size, N, K }, places.size);
		return [places];
	},
	grad: { index: "none" },
	reference: ({ index }, { N }) => {
		const K = index.shape[index.shape.length - 1];
		const shape = index.shape.with(-1, N);
		const data = new Float64Array(sizeOf(shape)).fill(-1);
		index.data.forEach((id, at) => {
			if (id >= 0 && id < N) data[Math.floor(at / K) * N + id] = at % K;
		});
		return [{ data, shape }];
	},
	test: { bound: { why: "a position" }, domains: { index: { whole: [-1, 7] } } },
});

const VALUES: readonly DType[] = [...FLOATS, ...INTEGERS, "bool"];
const scalar = (x: Tensor, value: number, dtype: DType = "i32"): Tensor => full(x.device, [], value, dtype);

/** Runs `f` in a type that `where` takes. */
const asNumbers = (x: Tensor, src: Tensor, f: (x: Tensor, src: Tensor) => Tensor): Tensor =>
	x.dtype === "bool" ? cast(f(cast(x, "u32"), cast(src, "u32")), "bool") : f(x, src);

/**
 * x with the values of src, or one number, at the positions in index (i32) along an axis; a new tensor: torch's scatter. Where
 * several go to one place the last of them stays, and it alone has a gradient. index may be smaller than src, of which the first
 * elements are then taken, and than x beside the axis. Indices outside, negative ones too, change nothing. x and src are of one
 * type, or both floats: f32, f16, i32, u32 or bool. Takes time in proportion to the product of the extents of x and index along
 * the axis.
 * @throws ShapeError when the ranks differ or index is larger than src, or than x beside the axis.
 * @throws DTypeError for other types, or an index that is not i32.
 * @throws ValueError when `axis` is out of range, or x's type does not hold the number.
 */
export const scatter = named("scatter", scattered);

function scattered(x: Tensor, axis: number, index: Tensor, src: Tensor | number): Tensor {
	checkType("scatter", x, VALUES);
	expects("scatter", { index, src }, { index: "tensor", src: "value" });
	if (typeof src !== "number") checkType("scatter", src, VALUES, "src");
	const values = typeof src === "number" ? expand(scalar(x, src, x.dtype), index.shape) : src;
	const at = indexAxis("scatter", x, axis, index, values);
	const wide = widened(x, at, index, cutTo(values, index.shape, -1));
	if (wide.ids.size === 0 || x.size === 0) return reshape(x, x.shape);
	return asNumbers(x, wide.values, (y, s) =>
		onLast(at, [y, wide.ids, s], ([rows, ids, own]) => {
			const places = lastPlacePrimitive.apply([ids], { N: rows.shape[rows.rank - 1] })[0];
			return where(lt(places, scalar(x, 0)), rows, gatherPrimitive.apply([own, maximum(places, scalar(x, 0))])[0]);
		}),
	);
}

/** x as rows along one axis, with what brings rows back. */
function asRows(x: Tensor, axis: number): { readonly rows: Tensor; readonly back: (rows: Tensor) => Tensor } {
	const front = movedim(x, axis, 0);
	const rows = reshape(front, [front.shape[0], sizeOf(front.shape.slice(1))]);
	return { rows, back: (y) => movedim(reshape(y, front.shape), 0, axis) };
}

/** rows [T, D] with src [P, D] added at the rows that ids [P] name. */
function addRows(rows: Tensor, ids: Tensor, src: Tensor): Tensor {
	if (rows.dtype === "f32" && src.dtype === "f32") return add(rows, takeRowsGradPrimitive.apply([src, ids], { T: rows.shape[0] })[0]);
	const [x, s] = [transpose(rows), transpose(src)];
	return transpose(scatterAdd(x, 1, expand(ids, s.shape), s));
}

/** rows [T, D] with src [P, D] in place of the rows that ids [P] name. */
function putRows(rows: Tensor, ids: Tensor, src: Tensor): Tensor {
	if (ids.size === 0 || rows.size === 0) return rows;
	const places = lastPlacePrimitive.apply([ids], { N: rows.shape[0] })[0];
	const chosen = indexSelect(src, 0, maximum(places, scalar(rows, 0)));
	return where(unsqueeze(lt(places, scalar(rows, 0)), -1), rows, chosen);
}

/**
 * x with entries of src added to those that ids (i32, one axis) name along an axis; several to one in their order; a new tensor:
 * torch's index_add. src has x's shape, with as many entries along the axis as there are ids. Ids outside, negative ones too, add
 * nothing. x and src are both f32, f16 (added in f32), i32 or u32.
 * @throws ShapeError unless ids have one axis and src fits.
 * @throws DTypeError for other types.
 * @throws ValueError when `axis` is out of range.
 */
export const indexAdd = named("indexAdd", addedAt);

function addedAt(x: Tensor, axis: number, ids: Tensor, src: Tensor): Tensor {
	expects("indexAdd", { x, ids, src }, { x: "tensor", ids: "tensor", src: "tensor" });
	const at = normalizeAxis("indexAdd", axis, x.rank);
	if (ids.rank !== 1 || !sameShape(src.shape, x.shape.with(at, ids.size))) {
		throw new ShapeError("shape/index", `indexAdd: x ${showShape(x.shape)}, ids ${showShape(ids.shape)}, src ${showShape(src.shape)}`, {
			op: "indexAdd",
			hint: "ids have one axis, and src has x's shape with their number on the axis",
		});
	}
	const { rows, back } = asRows(x, at);
	return back(addRows(rows, ids, asRows(src, at).rows));
}

/** Indices that count from the end when negative. */
const wrapped = (index: Tensor, n: number): Tensor => where(lt(index, scalar(index, 0)), add(index, scalar(index, n)), index);

/** The first axes of x as one, the indices that address it (−1 outside), and the shape that they broadcast to. */
function addressed(op: string, x: Tensor, indices: readonly Tensor[]): { rows: Tensor; ids: Tensor; shape: readonly number[] } {
	expects(op, { x, indices }, { x: "tensor", indices: "tensors" });
	if (indices.length === 0) {
		throw new ValueError("index/indices", `${op}: needs a list of index tensors, one for each of the first axes`, { op });
	}
	indices.forEach((t, i) => {
		checkType(op, t, ["i32"], `index ${i}`);
	});
	if (indices.length > x.rank) {
		throw new ShapeError("shape/index", `${op}: ${indices.length} indices for ${showShape(x.shape)}`, { op });
	}
	const shape = broadcastShapes(op, ...indices.map((t) => t.shape));
	const extents = x.shape.slice(0, indices.length);
	const [first, ...rest] = indices.map((t, i) => ({ at: wrapped(t, extents[i]), extent: extents[i] }));
	const out = rest.reduce((any, { at, extent }) => logicalOr(any, outside(at, extent)), outside(first.at, first.extent));
	const flat = rest.reduce((row, { at, extent }) => add(mul(row, scalar(x, extent)), at), first.at);
	const ids = where(out, scalar(x, -1), flat);
	const rows = reshape(x, [sizeOf(extents), sizeOf(x.shape.slice(indices.length))]);
	return { rows, ids: reshape(expand(ids, shape), [sizeOf(shape)]), shape };
}

/**
 * Entries of x by coordinates, numpy's `x[i, j, …]` of index arrays: indices, one i32 tensor for each of the first axes, broadcast
 * to one shape, which stands in place of those axes in the result. Negative ones count from the end; outside they give NaN (0 for
 * whole numbers, false for bool) and no gradient. x is f32, f16, i32, u32 or bool.
 * @throws ShapeError for more indices than axes, or when they do not broadcast.
 * @throws DTypeError for other types, or indices that are not i32.
 * @throws ValueError without an index.
 */
export const index = named("index", entriesAt);

function entriesAt(x: Tensor, indices: readonly Tensor[]): Tensor {
	const { rows, ids, shape } = addressed("index", x, indices);
	return reshape(indexSelect(rows, 0, ids), [...shape, ...x.shape.slice(indices.length)]);
}

/** Options of `indexPut`. */
export interface IndexPutOptions {
	/** Add to what is there; false when left out. */
	readonly accumulate?: boolean | undefined;
}

/**
 * x with values at coordinates, numpy's `x[i, j, …] = values` and torch's index_put, as a new tensor. Indices as of `index`; values
 * broadcast to what `index` would give. Negative indices count from the end; those outside change nothing. Where several go to one
 * place the last stays, and it alone has a gradient; with `accumulate` all are added. x and values are of one type, or both floats:
 * f32, f16, i32, u32 or, unless added, bool.
 * @throws ShapeError for more indices than axes, or when indices or values do not broadcast.
 * @throws DTypeError for other types, or indices that are not i32.
 * @throws ValueError without an index.
 */
export const indexPut = named("indexPut", putAt);

function putAt(x: Tensor, indices: readonly Tensor[], values: Tensor, options: IndexPutOptions = {}): Tensor {
	const { accumulate = false } = optionsOf("indexPut", options, { accumulate: "flag?" });
	checkType("indexPut", x, accumulate ? VALUES.filter((d) => d !== "bool") : VALUES);
	expects("indexPut", { values }, { values: "tensor" });
	const { rows, ids, shape } = addressed("indexPut", x, indices);
	const target = [...shape, ...x.shape.slice(indices.length)];
	if (!sameShape(broadcastShapes("indexPut", values.shape, target), target)) {
		throw new ShapeError("shape/index", `indexPut: values ${showShape(values.shape)} do not broadcast to ${showShape(target)}`, {
			op: "indexPut",
		});
	}
	const src = reshape(expand(values, target), [ids.size, rows.shape[1]]);
	return reshape(accumulate ? addRows(rows, ids, src) : asNumbers(rows, src, (y, s) => putRows(y, ids, s)), x.shape);
}

/**
 * Values picked along an axis, numpy's take_along_axis and torch's take_along_dim: as `gather`, but x and index (i32) broadcast
 * beside the axis, and negative indices count from the end.
 * @throws ShapeError when the ranks differ or the other axes do not broadcast.
 * @throws DTypeError unless x is f32, f16, i32, u32 or bool, and index i32.
 * @throws ValueError when `axis` is out of range.
 */
export const takeAlongAxis = named("takeAlongAxis", takenAlong);

function takenAlong(x: Tensor, indices: Tensor, axis: number): Tensor {
	const op = "takeAlongAxis";
	checkType(op, x, VALUES);
	checkType(op, indices, ["i32"], "indices");
	const at = normalizeAxis(op, axis, x.rank);
	if (indices.rank !== x.rank) {
		throw new ShapeError("shape/index", `${op}: x ${showShape(x.shape)} and indices ${showShape(indices.shape)} differ in rank`, { op });
	}
	const common = broadcastShapes(op, x.shape.with(at, 1), indices.shape.with(at, 1));
	const spread = (t: Tensor): Tensor => expand(t, common.with(at, t.shape[at]) as Shape);
	return gather(spread(x), at, spread(wrapped(indices, x.shape[at])));
}

/**
 * Elements of x by their numbers in row-major order, in the shape of indices (i32): torch's take. Negative numbers count from the
 * end; outside they give NaN (0 for whole numbers, false for bool) and no gradient. x is f32, f16, i32, u32 or bool.
 * @throws DTypeError for other types.
 */
export const take = named("take", taken);

function taken(x: Tensor, indices: Tensor): Tensor {
	checkType("take", x, VALUES);
	checkType("take", indices, ["i32"], "indices");
	const { rows, ids } = addressed("take", reshape(x, [x.size]), [indices]);
	return reshape(indexSelect(rows, 0, ids), indices.shape);
}

/**
 * A row of zeros with a one at the place that each of ids (i32) names: `[...]` → `[..., classes]`, f32 when `dtype` is left out. An
 * id outside gives zeros alone. torch's one_hot, of a number of classes. No gradient.
 * @throws DTypeError unless ids are i32.
 * @throws ValueError unless `classes` is a whole number of 0 or more.
 */
export const oneHot = named("oneHot", oneHots);

function oneHots(ids: Tensor, classes: number, dtype: DType = "f32"): Tensor {
	checkType("oneHot", ids, ["i32"], "ids");
	expects("oneHot", { classes }, { classes: "count" });
	return cast(eq(unsqueeze(ids, -1), arange(ids.device, 0, classes, 1, "i32")), dtype);
}

/**
 * How often each number of 0..length − 1 occurs in x (i32, any shape), i32 `[length]`; or, with `weights` of x's shape (f32, f16,
 * i32 or u32), the sum of the weights of each. Others are not counted. torch's bincount, of a length that the data cannot change.
 * The gradient by the weights is `gather`.
 * @throws ShapeError when weights have another shape.
 * @throws DTypeError for other types.
 * @throws ValueError unless `length` is a whole number of 0 or more.
 */
export const bincount = named("bincount", counted);

function counted(x: Tensor, length: number, weights?: Tensor): Tensor {
	checkType("bincount", x, ["i32"]);
	expects("bincount", { length }, { length: "count" });
	const values = weights ?? ones(x.device, x.shape, "i32");
	checkType("bincount", values, [...FLOATS, ...INTEGERS], "weights");
	if (!sameShape(values.shape, x.shape)) {
		throw new ShapeError("shape/index", `bincount: x ${showShape(x.shape)}, weights ${showShape(values.shape)}`, { op: "bincount" });
	}
	const none = full(x.device, [length], 0, values.dtype);
	return scatterAdd(none, 0, reshape(x, [x.size]), reshape(values, [x.size]));
}
