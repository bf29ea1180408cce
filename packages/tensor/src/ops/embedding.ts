import { bytesPerElement, type DType } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { QUIET_NAN } from "../gpu/prelude.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { byRows } from "../rowRules.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { eq, logicalOr, maskedFill, sub } from "./binary.ts";
import { contiguous, materialize, packed } from "./contiguous.ts";
import { full, zeroed } from "./create.ts";
import { outside } from "./indexing.ts";
import { foldRecords } from "./records.ts";
import { rowsAtOnce } from "./turns.ts";
import { unsqueeze } from "./view.ts";

/** No id is negative. */
export const NO_PADDING = -1;

/** Options of `embedding`. */
export interface EmbeddingOptions {
	/** Row of the table that receives no gradient, a negative one from the end; none when left out. It is read like any other. */
	readonly paddingIdx?: number | undefined;
}

/**
 * Writes only the results whose id lies in this run of rows of the table; each record has `share` ids. With `lanes` 4 a column is a
 * vector. An invocation has one column and goes from row to row.
 */
export const embeddingKernel = defineKernel("embedding", ({ dtype, lanes }: { dtype: DType; lanes: 1 | 4 }) => ({
	params: {
		rows: "u32",
		D: "u32",
		step: "u32",
		share: "u32",
		si: "u32",
		sb: "u32",
		sv: "u32",
		sd: "u32",
		first: "i32",
		count: "i32",
		V: "i32",
		nan: "u32",
	},
	buffers: { table: reads(dtype, lanes), ids: reads("i32"), y: writes("f32", lanes) },
	workgroup: 64,
	body: wgsl`
let column = index % p.D;
let first = index / p.D;
if (first >= p.step) { return; }
for (var row = first; row < p.rows; row += p.step) {
  var record = 0u;
  if (p.share < p.rows) { record = row / p.share; }
  let known = ids_at(record * p.si + row - record * p.share);
  let id = known - p.first;
  if (known < 0 || known >= p.V) {
    y_set${lanes === 4 ? "4" : ""}(row * p.D + column, ${lanes === 4 ? "vec4f" : ""}(bitcast<f32>(p.nan)));
  } else if (id >= 0 && id < p.count) {
    y_set${lanes === 4 ? "4" : ""}(row * p.D + column, table_at${lanes === 4 ? "4" : ""}(record * p.sb + u32(id) * p.sv + column * p.sd));
  }
}`,
}));

/**
 * By the place of an id: the next place of its group with the same id, −1 for none. `kind`, 0 before, becomes 1 where a place with the same
 * id precedes, and 2 where the id is for no row. Reads as many ids as lie between equal ones, sixteen at a time, which are the same for
 * all invocations of a workgroup.
 */
export const linksKernel = defineKernel("embedding/links", {
	params: { n: "u32", V: "u32", share: "u32", padding: "i32" },
	buffers: { ids: reads("i32", 4), kind: writes("i32"), next: writes("i32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let v = ids_at4(index / 4u)[index % 4u];
if (v < 0 || v >= i32(p.V) || v == p.padding) {
  kind_set(index, 2);
  return;
}
let end = index / p.share * p.share + p.share;
var found = end;
for (var t = (wid.y * nwg.x + wid.x) * 64u; t < end && found == end; t += 16u) {
  for (var j = 0u; j < 16u; j += 4u) {
    let place = vec4u(t + j) + vec4u(0u, 1u, 2u, 3u);
    let same = ids_at4((t + j) / 4u) == vec4i(v);
    let hit = select(vec4u(end), place, same & (place > vec4u(index)));
    found = min(found, min(min(hit.x, hit.y), min(hit.z, hit.w)));
  }
}
next_set(index, select(-1, i32(found), found < end));
if (found < end) { kind_set(found, 1); }`,
});

/** A column of a first place, an invocation's, is the sum over the places with its id, in order. */
export const scatterRowsKernel = defineKernel("embedding/scatter", ({ lanes }: { lanes: 1 | 4 }) => {
	const [four, zero] = lanes === 4 ? ["4", "vec4f()"] : ["", "0.0"];
	return {
		params: { rows: "u32", D: "u32", step: "u32", V: "u32", share: "u32" },
		buffers: { dy: reads("f32", lanes), ids: reads("i32"), kind: reads("i32"), next: reads("i32"), out: writes("f32", lanes) },
		workgroup: 64,
		body: wgsl`
let column = index % p.D;
let first = index / p.D;
if (first >= p.step) { return; }
for (var place = first; place < p.rows; place += p.step) {
  if (kind_at(place) != 0) { continue; }
  var sum = ${zero};
  for (var t = i32(place); t >= 0; t = next_at(u32(t))) { sum += dy_at${four}(u32(t) * p.D + column); }
  out_set${four}((place / p.share * p.V + u32(ids_at(place))) * p.D + column, sum);
}`,
	};
});

/** Rows of a table, one for all records, that fit one storage binding. */
function rowsPerBinding({ runtime, shape, dtype }: Physical): number {
	const width = shape[2] * bytesPerElement[dtype];
	return Math.max(1, Math.floor(runtime.gpu.limits.maxStorageBufferBindingSize / width) - 1);
}

/** Rows of a table [B, V, D] by ids [B, ...]: one dispatch a run of rows of it, at least one, so that any size works. */
export function rowsOfTable(table: Physical, given: Physical): Physical {
	const [B, V, D] = table.shape;
	const [sb, sv, sd] = table.strides;
	const ids = packed(given);
	const y = table.runtime.empty([...ids.shape, D]);
	const step = Math.max(1, B > 1 && sb !== 0 ? V : Math.min(V, rowsPerBinding(table)));
	const share = Math.max(1, sizeOf(ids.shape.slice(1)));
	const lanes = sd === 1 && [D, sb, sv, table.offset].every((v) => v % 4 === 0) ? 4 : 1;
	const rows = sizeOf(ids.shape);
	const columns = D / lanes;
	const atOnce = rowsAtOnce(rows, columns);
	const strides = { si: ids.strides[0], sb: sb / lanes, sv: sv / lanes, sd };
	const same = { rows, D: columns, step: atOnce, share, ...strides, V, nan: QUIET_NAN };
	let first = 0;
	do {
		const count = Math.min(step, V - first);
		const run = table.view({ shape: [B, count, D], strides: table.strides, offset: table.offset + first * sv });
		embeddingKernel.of({ dtype: table.dtype, lanes }).run({ table: run, ids, y }, { ...same, first, count }, columns * atOnce);
		first += step;
	} while (first < V);
	return y;
}

/**
 * out[g, v] = sum of dy[g, i] over the i with ids[g, i] = v, in order; 0 for v = padding. ids has `share` numbers in
 * each group g, `shape` is that of all groups together and ends in [V, D].
 */
export function scatterRows(dy: Physical, ids: Physical, shape: readonly number[], share: number, padding: number): Physical {
	const [V, D] = shape.slice(-2);
	const { runtime } = dy;
	const out = zeroed(runtime, shape);
	const own = ids.offset % 4 === 0 ? contiguous(ids) : materialize(ids);
	const [kind, next] = [zeroed(runtime, own.shape, "i32"), runtime.empty(own.shape, "i32")];
	linksKernel.run({ ids: own, kind, next }, { n: own.size, V, share, padding }, own.size);
	const given = contiguous(dy);
	const lanes = D % 4 === 0 && given.offset % 4 === 0 ? 4 : 1;
	const step = rowsAtOnce(own.size, D / lanes);
	const sizes = { rows: own.size, D: D / lanes, step, V, share };
	scatterRowsKernel.of({ lanes }).run({ dy: given, ids: own, kind, next, out }, sizes, sizes.D * step);
	return out;
}

type TableAttrs = { V: number; paddingIdx: number };

/** dTable[v] = sum of dy over the positions whose id is v, in order; 0 for v = paddingIdx. */
export const embeddingGradPrimitive: Primitive<TableAttrs> = definePrimitive<TableAttrs>({
	name: "embedding.dTable",
	signature: "dy[..., D], ids[...] -> dTable[V, D]",
	dtypes: { ids: ["i32"] },
	attrs: { V: 7, paddingIdx: NO_PADDING },
	forward: ({ inputs: { dy, ids }, B, axes: { D }, attrs: { V, paddingIdx } }) => [
		scatterRows(dy, ids, [B, V, D], sizeOf(ids.shape.slice(1)), paddingIdx),
	],
	grad: {
		dy: {
			saves: ["ids"],
			rule: ({ dy: g, ids }, { V, paddingIdx }) => {
				const isLost = logicalOr(outside(ids, V), eq(ids, full(ids.device, [], paddingIdx, "i32")));
				return maskedFill(embeddingPrimitive.apply([g, ids])[0], unsqueeze(isLost, -1), 0);
			},
		},
		ids: "none",
	},
	reference: ({ dy, ids }, { V, paddingIdx }) => {
		const d = dy.shape[dy.shape.length - 1];
		const data = new Float64Array(V * d);
		ids.data.forEach((v, i) => {
			if (v < 0 || v >= V || v === paddingIdx) return;
			for (let k = 0; k < d; k++) data[v * d + k] += dy.data[i * d + k];
		});
		return [{ data, shape: [V, d] }];
	},
	test: {
		domains: { ids: { whole: [-1, 8] }, dy: { range: [-1, 1] } },
		variants: [{ paddingIdx: 2 }],
		bound: { abs: 1e-4, why: "sums of about 35 values of size 1, each rounded: 35^2 * 2^-24" },
	},
});

type EmbeddingAttrs = { paddingIdx: number };

export const embeddingPrimitive: Primitive<EmbeddingAttrs> = definePrimitive<EmbeddingAttrs>({
	name: "embedding",
	signature: "table[V, D], ids[...] -> y[..., D]",
	dtypes: { table: ["f32", "bf16"], ids: ["i32"] },
	attrs: { paddingIdx: NO_PADDING },
	forward: ({ inputs: { table, ids } }) => [rowsOfTable(table, ids)],
	grad: {
		table: {
			saves: ["ids"],
			rule: ({ dy, ids }, { paddingIdx }, operand) =>
				embeddingGradPrimitive.apply(foldRecords(operand, [dy, ids]), { V: operand.shape[0], paddingIdx })[0],
		},
		ids: "none",
	},
	reference: ({ table, ids }) => {
		const d = table.shape[1];
		const data = new Float64Array(ids.data.length * d);
		ids.data.forEach((id, i) => {
			data.set(table.data.subarray(id * d, (id + 1) * d), i * d);
		});
		return [{ data, shape: [...ids.shape, d] }];
	},
	test: { bound: { why: "copies values" }, domains: { ids: { belowAxis: "V" } } },
});

byRows(embeddingPrimitive, {
	table: ({ dy, ids }, { paddingIdx }, operand, { from, to }) => {
		const [g, known] = foldRecords(operand, [dy, ids]);
		return embeddingGradPrimitive.apply([g, sub(known, from)], { V: to - from, paddingIdx: paddingIdx - from })[0];
	},
});

/**
 * Rows of a table: `y[..., :] = table[ids[...], :]`. ids i32 `[...]`, table `[V, D]` (f32 or bf16) → f32 `[..., D]`; an id
 * outside 0..V−1 gives NaN and no gradient. The gradient adds rows up in a fixed order, in time proportional to V + n min(n, V)
 * for n ids, and leaves row `paddingIdx` at 0. Tables larger than one storage binding are read in parts.
 * @throws DTypeError for another table, or ids that are not i32.
 * @throws ShapeError unless the table has two axes.
 * @throws ValueError when `paddingIdx` is no row of the table.
 */
export function embedding(ids: Tensor, table: Tensor, options: EmbeddingOptions = {}): Tensor {
	expects("embedding", { ids, table }, { ids: "tensor", table: "tensor" });
	const { paddingIdx } = optionsOf("embedding", options, { paddingIdx: "number?" });
	const rows = table.shape[0];
	if (paddingIdx === undefined) return embeddingPrimitive.apply([table, ids])[0];
	const padding = paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
	if (!Number.isInteger(padding) || padding < 0 || padding >= rows) {
		throw new ValueError("embedding/padding", `embedding: paddingIdx ${paddingIdx} is no row of a table of ${rows}`, { op: "embedding" });
	}
	return embeddingPrimitive.apply([table, ids], { paddingIdx: padding })[0];
}
