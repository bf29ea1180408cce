import { defineKernel } from "../gpu/defineKernel.ts";
import { type BufferSpec, type ParamType, reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";

/*
 * Attention that holds no scores: a workgroup has a tile of rows, walks over the columns tile by tile, and makes weights of scores that
 * live as long as the tile. Rows are queries and columns keys, but for the gradients of keys and values, where it is the other way round.
 * Of a tile an invocation has 4 rows by 4 columns, the columns so far apart as there are invocations across; of what is summed over the
 * columns it has 4 rows by up to 2 fours. What a row gives depends on its own extents alone: neither on the tile nor on how many there are.
 */

/** Invocations of a workgroup. */
export const LANES = 128;
/** Fours along the width of a head that are multiplied at once. */
const DEEP = 4;

/** How wide heads may be. */
export const WIDEST = 256;

/** Invocations across a tile, and fours of a sum of so many numbers that each of them has. */
export const acrossOf = (width: number): 16 | 32 => (width <= 128 ? 16 : 32);
export const foursOf = (width: number, x: number): number => Math.max(1, Math.ceil(width / 4 / x));
/** The numbers that end loops. */
export const endsOf = (x: number) => ({ across: x, deep: DEEP, each: 4 });
/** Rows of a tile. */
export const rowsIn = (x: number): number => (4 * LANES) / x;

/** What the operands of attention are like. */
export type AttentionVariant = {
	/** All operands can be read in fours, and results be written so. */
	readonly wide: boolean;
	/** Numbers are added to the scores. */
	readonly mask: boolean;
	/** Invocations across a tile. */
	readonly x: 16 | 32;
};

const XYZW = ["x", "y", "z", "w"];
const FOUR = [0, 1, 2, 3];
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const of4 = (make: (i: number) => string): string => `vec4f(${FOUR.map(make).join(", ")})`;

/** Numbers that place operands: strides of two leading axes, of the heads that share keys (`r`), of rows (`t`), and within a row (`i`). */
const placed = (...names: readonly string[]): Readonly<Record<string, ParamType>> =>
	Object.fromEntries(names.flatMap((n) => ["0", "1", "r", "t", "i"].map((s) => [`${n}${s}`, "u32"])));

/** Ends of loops, given as numbers: of constants compilers unroll them, which takes a software driver seconds. */
const ENDS = { across: "u32", deep: "u32", each: "u32" } as const;
const SIZES: Readonly<Record<string, ParamType>> = {
	tiles: "u32",
	groups: "u32",
	z1: "u32",
	R: "u32",
	T: "u32",
	S: "u32",
	K: "u32",
	V: "u32",
	...ENDS,
};
const SCORING: Readonly<Record<string, ParamType>> = { causal: "u32", window: "u32", offset: "u32", scale: "f32", cap: "f32" };

/** Where the matrix of an operand begins, at the leading entry (c0, c1) and head r. */
const base = (name: string, r = "r"): string => `let ${name}Base = c0 * p.${name}0 + c1 * p.${name}1 + ${r} * p.${name}r;`;

/** WGSL of `NAME_four(at, d, n)`: numbers d to d + 3 of the row of n that begins at `at`; 0 behind its end. */
const four = (name: string, wide: boolean): string =>
	wide
		? `fn ${name}_four(at: u32, d: u32, n: u32) -> vec4f { if (d >= n) { return vec4f(); } return ${name}_at4((at + d) >> 2u); }`
		: `fn ${name}_one(at: u32, d: u32, n: u32) -> f32 { if (d >= n) { return 0.0; } return ${name}_at(at + d * p.${name}i); }
fn ${name}_four(at: u32, d: u32, n: u32) -> vec4f { return ${of4((i) => `${name}_one(at, d + ${i}u, n)`)}; }`;

const HELPERS = wgsl`
fn exp4(v: vec4f) -> vec4f { return ${of4((i) => `exp(v.${XYZW[i]})`)}; }
fn pick(i: u32, v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f) -> vec4f {
  if (i == 0u) { return v0; }
  if (i == 1u) { return v1; }
  if (i == 2u) { return v2; }
  return v3;
}
fn scores(products: vec4f) -> vec4f {
  let s = products * p.scale;
  if (p.cap == 0.0) { return s; }
  return p.cap * ${of4((i) => `tanh(s.${XYZW[i]} / p.cap)`)};
}
fn slopes(s: vec4f) -> vec4f {
  if (p.cap == 0.0) { return vec4f(p.scale); }
  let c = s / p.cap;
  return p.scale * (1.0 - c * c);
}
fn firstKey(t: u32) -> u32 { let end = t + p.offset + 1u; return select(0u, end - min(p.window, end), p.window > 0u); }
fn endKey(t: u32) -> u32 { return select(p.S, min(p.S, t + p.offset + 1u), p.causal == 1u); }
fn firstQuery(s: u32) -> u32 { return select(0u, s - min(s, p.offset), p.causal == 1u); }
fn endQuery(s: u32) -> u32 { return select(p.T, min(p.T, max(s + p.window, p.offset) - p.offset), p.window > 0u); }`;

/** How a tile lies in a workgroup. */
function tileOf(x: number) {
	const y = LANES / x;
	const [rows, columns] = [4 * y, 4 * x];
	// One apart, so that fours of a row fall into different banks.
	const [rowStep, columnStep] = [rows + 1, columns + 1];
	return { x, y, rows, columns, rowStep, columnStep, length: Math.max(DEEP * (rowStep + columnStep), columns * y) };
}
type Tile = ReturnType<typeof tileOf>;

/** The tile and the head of a workgroup, its place in it, and what its four rows are (`own`), the last for those behind the end. */
const place = ({ x, rows }: Tile, extent: string, heads: string): string => wgsl`
let group = wid.y * nwg.x + wid.x;
if (group >= p.groups) { return; }
let row0 = group % p.tiles * ${rows}u;
let head = group / p.tiles;
let z = head / ${heads};
let r = head % ${heads};
let c0 = z / p.z1;
let c1 = z % p.z1;
let tx = lane % ${x}u;
let ty = lane / ${x}u;
let first4 = row0 + 4u * ty;
let own = min(vec4u(first4, first4 + 1u, first4 + 2u, first4 + 3u), vec4u(p.${extent} - 1u));
let rowLast = min(row0 + ${rows}u, p.${extent}) - 1u;`;

/** Two matrices whose rows are multiplied: names of the operands, and the extents of the rows of both. */
interface Factors {
	readonly rows: string;
	readonly columns: string;
	readonly width: string;
}

/** WGSL that multiplies: `INTO0` to `INTO3` are the products of the invocation's 4 rows with each of its 4 columns, from `base` on. */
function multiply(into: string, { rows: a, columns: b, width }: Factors, ends: readonly [string, string], tile: Tile): string {
	const { x, rows, columns, rowStep, columnStep } = tile;
	const load = (name: string, count: number, start: string, end: string, to: string) => wgsl`
  for (var i = lane; i < ${count * DEEP}u; i += ${LANES}u) {
    let f = i % ${DEEP}u;
    let n = i / ${DEEP}u;
    area[${to} + n] = ${name}_four(${name}Base + min(${start} + n, p.${end} - 1u) * p.${name}t, d + 4u * f, p.${width});
  }`;
	return wgsl`
${FOUR.map((i) => `var ${into}${i} = vec4f();`).join(" ")}
for (var d = 0u; d < p.${width}; d += ${4 * DEEP}u) {
  workgroupBarrier();
  ${load(a, rows, "row0", ends[0], `f * ${rowStep}u`)}
  ${load(b, columns, "base", ends[1], `${DEEP * rowStep}u + f * ${columnStep}u`)}
  workgroupBarrier();
  for (var f = 0u; f < min(p.deep, (p.${width} - d + 3u) / 4u); f++) {
    ${FOUR.map((r) => `let a${r} = area[f * ${rowStep}u + 4u * ty + ${r}u];`).join(" ")}
    ${FOUR.map((i) => `let b${i} = area[${DEEP * rowStep}u + f * ${columnStep}u + tx + ${x * i}u];`).join(" ")}
    ${FOUR.map((i) => `${into}${i} += ${of4((r) => `dot(a${r}, b${i})`)};`).join("\n    ")}
  }
}`;
}

/** A sum over the columns: the name of its registers, the operand whose rows are added by weight, and fours that an invocation has. */
interface Sum {
	readonly name: string;
	readonly of: string;
	readonly width: string;
	readonly fours: number;
}

const registers = ({ name, fours }: Sum): string[] => FOUR.flatMap((r) => upTo(fours).map((c) => `${name}${r}_${c}`));
const declare = (sum: Sum): string =>
	registers(sum)
		.map((register) => `var ${register} = vec4f();`)
		.join(" ");

/**
 * WGSL that adds rows of an operand by the weights in `area`, from column `begin` to `end4`. All four rows of the invocation have a weight from
 * `beginAll` to `endAll`; elsewhere a weight of 0 hides what is not a number.
 */
function accumulate({ name, of, width, fours }: Sum, { x, columns }: Tile, masked: boolean): string {
	const add = (make: (weight: string, value: string) => string): string =>
		FOUR.flatMap((r) => upTo(fours).map((c) => `${name}${r}_${c} += ${make(`w.${XYZW[r]}`, `v${c}`)};`)).join(" ");
	const some = add((w, v) => `select(${w} * ${v}, vec4f(), ${w} == 0.0)`);
	const all = add((w, v) => `${w} * ${v}`);
	return wgsl`
for (var n = max(begin, base); n < min(end4, base + ${columns}u); n++) {
  let w = area[ty * ${columns}u + n - base];
  ${upTo(fours)
		.map((c) => `let v${c} = ${of}_four(${of}Base + n * p.${of}t, 4u * (tx + ${x * c}u), p.${width});`)
		.join(" ")}
  ${masked ? some : `if (n >= beginAll && n < endAll) { ${all} } else { ${some} }`}
}`;
}

/** WGSL that writes a sum to its rows; `value` makes the number stored of register and row. */
function write(
	to: string,
	sum: Sum,
	{ x }: Tile,
	extent: string,
	wide: boolean,
	value = (register: string, _: number) => register,
): string {
	const rows = FOUR.map((r) => {
		const fours = upTo(sum.fours).map((c) => {
			const v = value(`${sum.name}${r}_${c}`, r);
			const each = FOUR.map((i) => `if (d + ${i}u < p.${sum.width}) { ${to}_set(at + d + ${i}u, v.${XYZW[i]}); }`);
			const store = wide ? `${to}_set4((at + d) >> 2u, v);` : each.join(" ");
			return `{ let d = 4u * (tx + ${x * c}u); if (d < p.${sum.width}) { let v = ${v}; ${store} } }`;
		});
		return `if (first4 + ${r}u < p.${extent}) { let at = ${to}Base + (first4 + ${r}u) * p.${to}t; ${fours.join(" ")} }`;
	});
	return rows.join("\n");
}

/** WGSL of vec4 over the rows joined across the invocations of a row: the sum, in order. Those from number `count` on have 0. */
const joined = (value: string, into: string, count: string, { x }: Tile): string => wgsl`
part[lane] = ${value};
workgroupBarrier();
var ${into} = vec4f();
for (var j = 0u; j < min(p.across, ${count}); j++) { ${into} += part[ty * ${x}u + j]; }`;

/** What a kernel takes beside its own: buffers of queries, keys, values and mask, and how the others are read and written. */
function buffersOf({ wide, mask }: AttentionVariant) {
	const lanes = wide ? 4 : 1;
	const operands: Readonly<Record<string, BufferSpec>> = {
		...{ q: reads("f32", lanes), k: reads("f32", lanes), v: reads("f32", lanes) },
		...(mask ? { mask: reads("f32") } : {}),
	};
	return { operands, given: reads("f32", lanes), result: writes("f32", lanes) };
}

/** WGSL of the bounds of the columns that the invocation's rows see: any of them, and all; where columns are keys, also each. */
const bounds = (first: "firstKey" | "firstQuery", end: "endKey" | "endQuery"): string => wgsl`
let begin = ${first}(own.x);
let end4 = ${end}(own.w);
let beginAll = ${first}(own.w);
let endAll = ${end}(own.x);
${first === "firstKey" ? [first, end].map((f) => `let ${f}s = vec4u(${XYZW.map((i) => `${f}(own.${i})`).join(", ")});`).join(" ") : ""}`;

/**
 * WGSL that goes over the invocation's 4 columns one after the other, so that compilers have little to do: `at` is where the weights of
 * one lie, `s` its scores, and `seen` tells those that are not hidden; −∞ in the mask hides whatever score it meets. Rows are keys where
 * it is `turned`.
 */
function eachColumn({ mask, x }: AttentionVariant, { columns }: Tile, turned: boolean, body: string): string {
	const end = turned ? "p.T" : "p.S";
	const sees = turned
		? "(own >= vec4u(firstKey(column))) & (own < vec4u(endKey(column)))"
		: "(vec4u(column) >= firstKeys) & (vec4u(column) < endKeys)";
	const element = (r: number): string => {
		const [t, s] = turned ? ["column", `own.${XYZW[r]}`] : [`own.${XYZW[r]}`, "column"];
		return `mask_at(maskBase + ${t} * p.maskt + ${s} * p.maski)`;
	};
	return wgsl`
for (var i = 0u; i < min(p.each, (${end} - base + ${x - 1}u) / ${x}u); i++) {
  let at = ty * ${columns}u + tx + ${x}u * i;
  let column = min(base + tx + ${x}u * i, ${end} - 1u);
  let unmasked = scores(pick(i, s0, s1, s2, s3));
  ${mask ? `let m = ${of4(element)};` : ""}
  let s = unmasked${mask ? " + m" : ""};
  let seen = ${sees} & vec4<bool>(base + tx + ${x}u * i == column)${mask ? " & (bitcast<vec4u>(m) != vec4u(0xff800000u))" : ""};
  ${body}
}`;
}

/** The least number, which stands for what is hidden until weights are made. */
const LEAST = "-3.4028234663852886e38";

/** Rows of scores at once: y = softmax(scores) v, and of each row the log of the sum of exp(scores). */
export const attentionKernel = defineKernel("attention", (variant: AttentionVariant & { readonly fours: number }) => {
	const { wide, mask, x, fours } = variant;
	const tile = tileOf(x);
	const { operands, result } = buffersOf(variant);
	const masks = mask ? ["mask"] : [];
	const sum: Sum = { name: "acc", of: "v", width: "V", fours };
	return {
		params: { ...SIZES, ...SCORING, ...placed("q", "k", "v", "y"), ...placed(...masks) },
		buffers: { ...operands, y: result, lse: writes("f32") },
		workgroup: LANES,
		shared: { area: { type: "vec4f", length: tile.length }, part: { type: "vec4f", length: LANES } },
		helpers: [HELPERS, ...["q", "k", "v"].map((name) => four(name, wide))].join("\n"),
		body: wgsl`${place(tile, "T", "p.R")}
${["q", "y", ...masks].map((name) => base(name)).join(" ")} ${base("k", "0u")} ${base("v", "0u")}
${bounds("firstKey", "endKey")}
var top = vec4f(${LEAST});
var sum = vec4f();
${declare(sum)}
let end = endKey(rowLast);
for (var base = firstKey(row0) / ${tile.columns}u * ${tile.columns}u; base < end; base += ${tile.columns}u) {
  ${multiply("s", { rows: "q", columns: "k", width: "K" }, ["T", "S"], tile)}
  workgroupBarrier();
  var tileTop = top;
  ${eachColumn(variant, tile, false, `area[at] = select(vec4f(${LEAST}), s, seen); tileTop = max(tileTop, area[at]);`)}
  part[lane] = tileTop;
  workgroupBarrier();
  for (var j = 0u; j < min(p.across, p.S - base); j++) { tileTop = max(tileTop, part[ty * ${x}u + j]); }
  let shrink = exp4(top - tileTop);
  top = tileTop;
  sum *= shrink;
  for (var i = 0u; i < min(p.each, (p.S - base + ${x - 1}u) / ${x}u); i++) {
    let at = ty * ${tile.columns}u + tx + ${x}u * i;
    let s = area[at];
    let w = select(vec4f(), exp4(s - top), bitcast<vec4u>(s) != bitcast<vec4u>(vec4f(${LEAST})));
    sum += w;
    area[at] = w;
  }
  workgroupBarrier();
  ${registers(sum)
		.map((register) => `${register} *= shrink.${XYZW[Number(register["acc".length])]};`)
		.join(" ")}
  ${accumulate(sum, tile, mask)}
}
${joined("sum", "total", "p.S", tile)}
let live = bitcast<vec4u>(total) != vec4u();
${write("y", sum, tile, "T", wide, (register, r) => `select(vec4f(), ${register} / total.${XYZW[r]}, live.${XYZW[r]})`)}
if (tx == 0u) {
  ${FOUR.map((r) => {
		const value = `select(3.4028234663852886e38, top.${XYZW[r]} + log(total.${XYZW[r]}), live.${XYZW[r]})`;
		return `if (first4 + ${r}u < p.T) { lse_set(head * p.T + first4 + ${r}u, ${value}); }`;
	}).join("\n  ")}
}`,
	};
});

/**
 * dq = dz k, and of each row delta = sum(dy y), with dz = w (dy v^T - delta), w = exp(scores - lse), through the factor and the cap of the
 * scores.
 */
export const attentionQueryGradKernel = defineKernel("attention/dq", (variant: AttentionVariant & { readonly fours: number }) => {
	const { wide, mask, x, fours } = variant;
	const tile = tileOf(x);
	const { operands, given, result } = buffersOf(variant);
	const masks = mask ? ["mask"] : [];
	const sum: Sum = { name: "acc", of: "k", width: "K", fours };
	return {
		params: { ...SIZES, ...SCORING, ...placed("q", "k", "v", "y", "dy", "dq"), ...placed(...masks) },
		buffers: { ...operands, y: given, dy: given, lse: reads("f32"), dq: result, delta: writes("f32") },
		workgroup: LANES,
		shared: { area: { type: "vec4f", length: tile.length }, part: { type: "vec4f", length: LANES } },
		helpers: [HELPERS, ...["q", "k", "v", "y", "dy"].map((name) => four(name, wide))].join("\n"),
		body: wgsl`${place(tile, "T", "p.R")}
${["q", "y", "dy", "dq", ...masks].map((name) => base(name)).join(" ")} ${base("k", "0u")} ${base("v", "0u")}
${bounds("firstKey", "endKey")}
var dots = vec4f();
for (var d = 4u * tx; d < p.V; d += ${4 * x}u) {
  dots += ${of4((r) => `dot(dy_four(dyBase + own.${XYZW[r]} * p.dyt, d, p.V), y_four(yBase + own.${XYZW[r]} * p.yt, d, p.V))`)};
}
${joined("dots", "delta4", "(p.V + 3u) / 4u", tile)}
if (tx == 0u) {
  ${FOUR.map((r) => `if (first4 + ${r}u < p.T) { delta_set(head * p.T + first4 + ${r}u, delta4.${XYZW[r]}); }`).join("\n  ")}
}
let lse4 = ${of4((r) => `lse_at(head * p.T + own.${XYZW[r]})`)};
${declare(sum)}
let end = endKey(rowLast);
for (var base = firstKey(row0) / ${tile.columns}u * ${tile.columns}u; base < end; base += ${tile.columns}u) {
  ${multiply("s", { rows: "q", columns: "k", width: "K" }, ["T", "S"], tile)}
  ${multiply("g", { rows: "dy", columns: "v", width: "V" }, ["T", "S"], tile)}
  workgroupBarrier();
  ${eachColumn(variant, tile, false, `area[at] = select(vec4f(), exp4(s - lse4) * (pick(i, g0, g1, g2, g3) - delta4) * slopes(unmasked), seen);`)}
  workgroupBarrier();
  ${accumulate(sum, tile, mask)}
}
${write("dq", sum, tile, "T", wide)}`,
	};
});

/** dk = dz^T q and dv = w^T dy, over the queries of all heads that share the keys; dz and w as of dq, and delta from there. */
export const attentionKeyGradKernel = defineKernel(
	"attention/dkv",
	(variant: AttentionVariant & { readonly fours: number; readonly foursV: number }) => {
		const { wide, mask, x, fours, foursV } = variant;
		const tile = tileOf(x);
		const { operands, given, result } = buffersOf(variant);
		const masks = mask ? ["mask"] : [];
		const query = "(head * p.R + h) * p.T + column";
		const [ofK, ofV]: readonly Sum[] = [
			{ name: "acc", of: "q", width: "K", fours },
			{ name: "accV", of: "dy", width: "V", fours: foursV },
		];
		return {
			params: { ...SIZES, ...SCORING, ...placed("q", "k", "v", "dy", "dk", "dv"), ...placed(...masks) },
			buffers: { ...operands, dy: given, lse: reads("f32"), delta: reads("f32"), dk: result, dv: result },
			workgroup: LANES,
			shared: { area: { type: "vec4f", length: tile.length } },
			helpers: [HELPERS, ...["q", "k", "v", "dy"].map((name) => four(name, wide))].join("\n"),
			body: wgsl`${place(tile, "S", "1u")}
${["k", "v", "dk", "dv"].map((name) => base(name, "0u")).join(" ")}
${bounds("firstQuery", "endQuery")}
${declare(ofK)}
${declare(ofV)}
let end = endQuery(rowLast);
for (var h = 0u; h < p.R; h++) {
  ${["q", "dy", ...masks].map((name) => base(name, "h")).join(" ")}
  for (var base = firstQuery(row0) / ${tile.columns}u * ${tile.columns}u; base < end; base += ${tile.columns}u) {
    ${multiply("s", { rows: "k", columns: "q", width: "K" }, ["S", "T"], tile)}
    ${multiply("g", { rows: "v", columns: "dy", width: "V" }, ["S", "T"], tile)}
    workgroupBarrier();
    ${eachColumn(variant, tile, true, `area[at] = select(vec4f(), exp4(s - lse_at(${query})), seen);`)}
    workgroupBarrier();
    ${accumulate(ofV, tile, mask)}
    workgroupBarrier();
    ${eachColumn(variant, tile, true, `area[at] = select(vec4f(), area[at] * (pick(i, g0, g1, g2, g3) - delta_at(${query})) * slopes(unmasked), seen);`)}
    workgroupBarrier();
    ${accumulate(ofK, tile, mask)}
  }
}
${write("dk", ofK, tile, "S", wide)}
${write("dv", ofV, tile, "S", wide)}`,
		};
	},
);
