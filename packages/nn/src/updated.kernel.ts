import { defineKernel, type ParamType, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { decodingOf } from "./lowRank.kernel.ts";
import type { WeightCount } from "./quant/nf4.kernel.ts";

/** Invocations of a workgroup. */
export const LANES = 128;
/** Rows of a workgroup that sums over columns. */
export const ROWS = 4;
/** Columns of a workgroup that sums over rows, each as wide as what is read at once, and invocations that share the rows of one. */
const COLUMNS = 16;
const PARTS = LANES / COLUMNS;

export type UpdatedVariant = {
	/** Numbers of rows, of columns and of ranks are read four at once. */
	readonly wide: boolean;
	/** Ranks of a workgroup; a multiple of four where `wide`. */
	readonly ranks: number;
	/** How many weights that are held in four bits workgroups beside the others write. */
	readonly decodes: 0 | WeightCount;
	/** Whether they write them in bf16. */
	readonly bf16: boolean;
};

const XYZW = "xyzw";
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Workgroups of a record that sum over columns, and those that sum over rows. */
export const groupsOf = (T: number, N: number, wide: boolean) => ({
	rowGroups: Math.ceil(T / ROWS),
	columnGroups: Math.ceil(N / (COLUMNS * (wide ? 4 : 1))),
});

/**
 * Of y = low B^T, from g = dy: h[t, r] = the sum over n of g[t, n] B[n, r], and db[n, r] = the sum over t of g[t, n] low[t, r], of each
 * record; of several such maps, one after the other. The first `rowGroups` workgroups of a record have ROWS rows each, the others COLUMNS
 * columns; they go along the records, and the ranks of one map after the other. What invocations found is added in their order.
 */
export const updatedBackKernel = defineKernel("updated/back", ({ wide, ranks, decodes, bf16 }: UpdatedVariant) => {
	const more = decodingOf(decodes, bf16);
	const V = wide ? "vec4f" : "f32";
	const step = wide ? 4 : 1;
	/** Parts of the ranks that are read at once; of a row, invocations side by side have them. */
	const parts = upTo(ranks / step);
	const abreast = Math.floor(LANES / parts.length);
	const [rows, columns] = [ROWS, step].map(upTo);
	const each = (of: (j: number, q: number) => string): string => columns.flatMap((j) => parts.map((q) => of(j, q))).join("\n  ");
	/** WGSL of part q of the ranks, of a row that begins at `row`; beyond the last they repeat it. */
	const ranksAt = (name: string, row: string, q: string): string =>
		wide ? `${name}_at4((${row} + r0) / 4u + ${q})` : `${name}_at(${row} + min(r0 + ${q}, p.R - 1u))`;
	const store = (name: string, row: string, q: string, value: string): string =>
		wide ? `${name}_set4((${row} + r0) / 4u + ${q}, ${value});` : `if (r0 + ${q} < p.R) { ${name}_set(${row} + r0 + ${q}, ${value}); }`;
	const found = step * parts.length;
	/** WGSL of the place of number i of those that an invocation found: side by side with what its neighbours found, in other banks of memory. */
	const foundAt = (i: number, lane: string): string => `found[${i * LANES}u + ${lane}]`;
	/** WGSL that adds up what an invocation has of each row, `step` columns side by side at once. */
	const along = wgsl`for (var n = ${step}u * own; n < p.N; n += ${step * abreast}u) {
    ${rows.map((i) => `let g${i} = ${wide ? `g_at4((e${i} + n) >> 2u)` : `g_at(e${i} + n)`};`).join(" ")}
    ${columns.map((j) => `let b${j} = ${ranksAt("b", `up + (n + ${j}u) * p.R`, "q")};`).join(" ")}
    ${columns.flatMap((j) => rows.map((i) => `s${i} += g${i}${wide ? `.${XYZW[j]}` : ""} * b${j};`)).join(" ")}
  }`;
	return {
		params: { T: "u32", N: "u32", R: "u32", us: "u32", bs: "u32", rowGroups: "u32", chunks: "u32", ...more.params } as Readonly<
			Record<string, ParamType>
		>,
		buffers: {
			...{ g: reads("f32", step), low: reads("f32", step), b: reads("f32", step) },
			...{ h: writes("f32", step), db: writes("f32", step) },
			...more.buffers,
		},
		workgroup: LANES,
		shared: { found: { type: V, length: LANES * Math.max(found, ROWS) } },
		helpers: more.helpers,
		body: wgsl`
${more.body(LANES)}
let record = wid.y;
let j = wid.z / p.chunks;
let r0 = (wid.z % p.chunks) * ${ranks}u;
let each = j * nwg.y + record;
let first = each * p.T;
let up = j * p.us + record * p.bs;
if (wid.x < p.rowGroups) {
  let t0 = wid.x * ${ROWS}u;
  let own = lane / ${parts.length}u;
  let q = lane % ${parts.length}u;
  ${rows.map((i) => `let e${i} = (first + min(t0 + ${i}u, p.T - 1u)) * p.N; var s${i} = ${V}();`).join("\n  ")}
  ${along}
  ${rows.map((i) => `${foundAt(i, "lane")} = s${i};`).join(" ")}
  workgroupBarrier();
  if (own < ${ROWS}u && t0 + own < p.T) {
    var sum = ${V}();
    for (var c = 0u; c < ${abreast}u; c++) { sum += found[own * ${LANES}u + c * ${parts.length}u + q]; }
    ${store("h", "(first + t0 + own) * p.R", "q", "sum")}
  }
  return;
}
let column = lane % ${COLUMNS}u;
let part = lane / ${COLUMNS}u;
let n = ((wid.x - p.rowGroups) * ${COLUMNS}u + column) * ${step}u;
let isInside = n < p.N;
${each((j, q) => `var d${j}_${q} = ${V}();`)}
for (var t = part; t < p.T && isInside; t += ${PARTS}u) {
  let own = ${wide ? "g_at4(((first + t) * p.N + n) / 4u)" : "g_at((first + t) * p.N + n)"};
  ${parts.map((q) => `let low${q} = ${ranksAt("low", "(first + t) * p.R", `${q}u`)};`).join(" ")}
  ${each((j, q) => `d${j}_${q} += ${wide ? `own.${XYZW[j]}` : "own"} * low${q};`)}
}
${each((j, q) => `${foundAt(j * parts.length + q, "lane")} = d${j}_${q};`)}
workgroupBarrier();
if (part > 0u || !isInside) { return; }
for (var other = column + ${COLUMNS}u; other < ${LANES}u; other += ${COLUMNS}u) {
  ${each((j, q) => `d${j}_${q} += ${foundAt(j * parts.length + q, "other")};`)}
}
${each((j, q) => store("db", `(each * p.N + n + ${j}u) * p.R`, `${q}u`, `d${j}_${q}`))}`,
	};
});
