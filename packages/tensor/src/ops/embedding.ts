import { bytesPerElement } from "../dtype.ts";
import { definePrimitive, type NdArray, type Primitive } from "../primitive.ts";
import { sampleOffset } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";

/** No id is negative. */
export const NO_PADDING = -1;

export interface EmbeddingOptions {
	/** Row of the table that receives no gradient. */
	readonly paddingIdx?: number;
}

/** Rows of a table that fit one storage binding. */
function rowsPerBinding(table: Tensor): number {
	const width = table.shape[table.rank - 1] * bytesPerElement[table.dtype];
	return Math.max(1, Math.floor(table.device.gpu.limits.maxStorageBufferBindingSize / width) - 1);
}

export const QUIET_NAN = 0x7fc00000;

/** One dispatch a run of rows: writes only the results whose id lies in it, so that any table size works. */
function forward(table: Tensor, ids: Tensor, D: number, V: number): Tensor {
	const { device } = table;
	const y = device.empty([...ids.shape, D]);
	const flat = contiguous(ids);
	const samples = table.rank === 3 ? table.shape[0] : 1;
	const step = table.rank === 3 ? V : Math.min(V, rowsPerBinding(table));
	const sampleStride = table.rank === 3 ? table.strides[0] : 0;
	const [sv, sd] = table.strides.slice(-2);
	for (let first = 0; first < V; first += step) {
		const count = Math.min(step, V - first);
		const shard =
			step === V ? table : table.alias({ shape: [count, D], strides: table.strides, offset: table.offset + first * sv, perSample: false });
		device.run(
			`embedding/${table.dtype}`,
			() => ({
				params: { n: "u32", D: "u32", share: "u32", sb: "u32", sv: "u32", sd: "u32", first: "i32", count: "i32", V: "i32", nan: "u32" },
				buffers: {
					table: { dtype: table.dtype, access: "read" },
					ids: { dtype: "i32", access: "read" },
					y: { dtype: "f32", access: "write" },
				},
				workgroup: [64, 1, 1],
				body: `
if (index >= p.n) { return; }
let row = index / p.D;
let known = ids_at(row);
let id = known - p.first;
if (known < 0 || known >= p.V) {
  y_set(index, bitcast<f32>(p.nan));
} else if (id >= 0 && id < p.count) {
  y_set(index, table_at((row / p.share) * p.sb + u32(id) * p.sv + (index % p.D) * p.sd));
}`,
			}),
			[shard, flat, y],
			[y.size, D, Math.max(1, ids.size / samples), sampleStride, sv, sd, first, count, V, QUIET_NAN],
			y.size,
		);
	}
	return y;
}

/**
 * dTable[b, v] = sum of dy over the positions of sample b whose id is v, in order: one invocation a table row.
 * Nothing for v = paddingIdx.
 */
export function scatterRows(dy: Tensor, ids: Tensor, shape: readonly number[], paddingIdx: number): Tensor {
	const { device } = dy;
	const [V, D] = shape.slice(-2);
	const groups = shape.length === 3 ? shape[0] : 1;
	const out = device.empty(shape);
	device.run(
		"embedding/scatter",
		() => ({
			params: { n: "u32", D: "u32", V: "u32", share: "u32", padding: "i32" },
			buffers: {
				dy: { dtype: "f32", access: "read" },
				ids: { dtype: "i32", access: "read" },
				out: { dtype: "f32", access: "write" },
			},
			workgroup: [32, 1, 1],
			body: `
if (index >= p.n) { return; }
let v = i32(index % p.V);
let start = (index / p.V) * p.share;
let at = index * p.D;
for (var d = 0u; d < p.D; d++) { out_set(at + d, 0.0); }
if (v == p.padding) { return; }
for (var t = start; t < start + p.share; t++) {
  if (ids_at(t) == v) {
    for (var d = 0u; d < p.D; d++) { out_set(at + d, out_at(at + d) + dy_at(t * p.D + d)); }
  }
}`,
		}),
		[contiguous(dy), contiguous(ids), out],
		[groups * V, D, V, ids.size / groups, paddingIdx],
		groups * V,
	);
	return out;
}

type EmbeddingAttrs = { paddingIdx: number };

export const embeddingPrimitive: Primitive<EmbeddingAttrs> = definePrimitive<EmbeddingAttrs>({
	name: "embedding",
	signature: "table[B?, V, D], ids[...] -> y[..., D]",
	dtypes: { table: ["f32", "bf16"], ids: ["i32"] },
	attrs: { paddingIdx: NO_PADDING },
	forward: ({ inputs: { table, ids }, axes: { V, D } }) => [forward(table, ids, D, V)],
	grad: {
		table: {
			saves: ["ids"],
			again: "none",
			rule: ({ dy, ids }, { paddingIdx }, { shape, perSample }) =>
				dy.device.scope(() => scatterRows(dy, ids, shape, paddingIdx)).alias({ perSample }),
		},
		ids: "none",
	},
	reference: ({ table, ids }) => {
		const d = table.shape[table.shape.length - 1];
		const data = new Float64Array(ids.data.length * d);
		ids.data.forEach((id, i) => {
			const from = sampleOffset(table, 2, i, ids.data.length) + id * d;
			data.set(table.data.subarray(from, from + d), i * d);
		});
		return [{ data, shape: [...ids.shape, d] } satisfies NdArray];
	},
	test: { bound: { why: "copies values" }, domains: { ids: { belowAxis: "V" } } },
});

/**
 * Rows of a table: y[..., :] = table[ids[...], :]. table[V, D] (or [B, V, D], one table a sample; f32 or bf16),
 * ids i32; an id outside 0..V-1 gives NaN. The gradient adds rows up in a fixed order, and leaves row `paddingIdx` at 0.
 * Tables larger than one storage binding are read in several passes.
 */
export function embedding(ids: Tensor, table: Tensor, { paddingIdx = NO_PADDING }: EmbeddingOptions = {}): Tensor {
	return embeddingPrimitive.apply([table, ids], { paddingIdx })[0];
}
