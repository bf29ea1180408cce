import type { DType } from "../dtype.ts";
import { PrivacyError, ShapeError } from "../errors.ts";
import { definePrimitive, type NdArray, type Primitive } from "../primitive.ts";
import { normalizeAxis, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { zeros } from "./create.ts";
import { QUIET_NAN } from "./embedding.ts";
import { expand } from "./expand.ts";
import { markSamples, transpose } from "./view.ts";

type NoAttrs = Record<string, never>;
const VALUES: readonly DType[] = ["f32", "i32", "u32", "bool"];

/** Calls `f(row, k, id)` for each index of each row. */
function eachIndex(index: NdArray, f: (row: number, at: number, id: number) => void): void {
	const K = index.shape[index.shape.length - 1];
	index.data.forEach((id, at) => {
		f(Math.floor(at / K), at, id);
	});
}

export const gatherPrimitive: Primitive<NoAttrs> = definePrimitive<NoAttrs>({
	name: "gather",
	signature: "x[..., N], index[..., K] -> y[..., K]",
	dtypes: { x: VALUES, index: ["i32"] },
	attrs: {},
	forward: ({ device, inputs, axes: { N, K } }) => {
		const [x, index] = [contiguous(inputs.x), contiguous(inputs.index)];
		const y = device.empty(index.shape, x.dtype);
		device.run(
			`gather/${x.dtype}`,
			() => ({
				params: { n: "u32", N: "u32", K: "u32", nan: "u32" },
				buffers: {
					x: { dtype: x.dtype, access: "read" },
					ids: { dtype: "i32", access: "read" },
					y: { dtype: x.dtype, access: "write" },
				},
				workgroup: [64, 1, 1],
				body: `
if (index >= p.n) { return; }
let id = ids_at(index);
if (id < 0 || u32(id) >= p.N) { y_set(index, ${x.dtype === "f32" ? "bitcast<f32>(p.nan)" : `${x.dtype === "i32" ? "i32" : "u32"}(0)`}); return; }
y_set(index, x_at(index / p.K * p.N + u32(id)));`,
			}),
			[x, index, y],
			[y.size, N, Math.max(1, K), QUIET_NAN],
			y.size,
		);
		return [y];
	},
	grad: {
		x: {
			saves: ["index"],
			rule: ({ dy, index }, _, { shape, perSample }) =>
				scatterAddPrimitive.apply([zeros(dy.device, shape).alias({ perSample }), index, dy])[0],
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
	forward: ({ device, inputs, axes: { N, K } }) => {
		const [x, index, src] = [contiguous(inputs.x), contiguous(inputs.index), contiguous(inputs.src)];
		const y = device.empty(x.shape);
		device.run(
			"scatterAdd",
			() => ({
				params: { n: "u32", N: "u32", K: "u32" },
				buffers: {
					x: { dtype: "f32", access: "read" },
					ids: { dtype: "i32", access: "read" },
					src: { dtype: "f32", access: "read" },
					y: { dtype: "f32", access: "write" },
				},
				workgroup: [64, 1, 1],
				body: `
if (index >= p.n) { return; }
let at = index / p.N * p.K;
let own = i32(index % p.N);
var acc = x_at(index);
for (var k = 0u; k < p.K; k++) { if (ids_at(at + k) == own) { acc += src_at(at + k); } }
y_set(index, acc);`,
			}),
			[x, index, src, y],
			[y.size, N, K],
			y.size,
		);
		return [y];
	},
	grad: {
		x: { saves: [], rule: ({ dy }) => dy },
		src: { saves: ["index"], rule: ({ dy, index }) => gatherPrimitive.apply([dy, index])[0] },
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
 * Values picked along an axis, torch's gather: y[..., k, ...] = x[..., index[..., k, ...], ...]. index is i32, of x's
 * shape beside the axis. An index outside gives NaN (0 for integers).
 */
export const gather = (x: Tensor, axis: number, index: Tensor): Tensor =>
	onLast("gather", axis, [x, index], (operands) => gatherPrimitive.apply(operands)[0]);

/**
 * x with src added at the positions in index (i32) along an axis, several at one place in their order. Indices outside
 * add nothing. Takes time in proportion to the product of the extents along the axis.
 */
export const scatterAdd = (x: Tensor, axis: number, index: Tensor, src: Tensor): Tensor =>
	onLast("scatterAdd", axis, [x, index, src], (operands) => scatterAddPrimitive.apply(operands)[0]);

/** Entries of x along an axis, by their numbers in ids (i32, one axis). An id outside gives NaN (0 for integers). */
export function indexSelect(x: Tensor, axis: number, ids: Tensor): Tensor {
	if (ids.rank !== 1)
		throw new ShapeError("shape/index", `indexSelect: ids ${showShape(ids.shape)} must have one axis`, { op: "indexSelect" });
	const at = normalizeAxis("indexSelect", axis, x.rank);
	if (x.perSample && at === 0) {
		throw new PrivacyError("privacy/mixes-samples", `indexSelect: axis 0 of ${showShape(x.shape)} is the sample axis`, {
			op: "indexSelect",
		});
	}
	const moved = transpose(x, at, -1);
	const repeated = expand(ids, [...moved.shape.slice(0, -1), ids.size]);
	const index = x.perSample ? markSamples(repeated) : repeated;
	return transpose(gatherPrimitive.apply([moved, index])[0], at, -1);
}
