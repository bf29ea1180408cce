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

export const XYZW = ["x", "y", "z", "w"];
export const FOUR = [0, 1, 2, 3];
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const of4 = (make: (i: number) => string): string => `vec4f(${FOUR.map(make).join(", ")})`;

/** Numbers that place operands: strides of two leading axes, of the heads that share keys (`r`), of rows (`t`), and within a row (`i`). */
export const placed = (...names: readonly string[]): Readonly<Record<string, ParamType>> =>
	Object.fromEntries(names.flatMap((n) => ["0", "1", "r", "t", "i"].map((s) => [`${n}${s}`, "u32"])));

/** Ends of loops, given as numbers: of constants compilers unroll them, which takes a software driver seconds. */
const ENDS = { across: "u32", deep: "u32", each: "u32" } as const;
export const SIZES: Readonly<Record<string, ParamType>> = {
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
export const SCORING: Readonly<Record<string, ParamType>> = { causal: "u32", window: "u32", offset: "u32", scale: "f32", cap: "f32" };

/** Where the matrix of an operand begins, at the leading entry (c0, c1) and head r. */
export const base = (name: string, r = "r"): string => `let ${name}Base = c0 * p.${name}0 + c1 * p.${name}1 + ${r} * p.${name}r;`;

/** WGSL of `NAME_four(at, d, n)`: numbers d to d + 3 of the row of n that begins at `at`; 0 behind its end. */
export const four = (name: string, wide: boolean): string =>
	wide
		? `fn ${name}_four(at: u32, d: u32, n: u32) -> vec4f { if (d >= n) { return vec4f(); } return ${name}_at4((at + d) >> 2u); }`
		: `fn ${name}_one(at: u32, d: u32, n: u32) -> f32 { if (d >= n) { return 0.0; } return ${name}_at(at + d * p.${name}i); }
fn ${name}_four(at: u32, d: u32, n: u32) -> vec4f { return ${of4((i) => `${name}_one(at, d + ${i}u, n)`)}; }`;

export const HELPERS = wgsl`
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
export function tileOf(x: number) {
	const y = LANES / x;
	const [rows, columns] = [4 * y, 4 * x];
	// One apart, so that fours of a row fall into different banks.
	const [rowStep, columnStep] = [rows + 1, columns + 1];
	return { x, y, rows, columns, rowStep, columnStep, length: Math.max(DEEP * (rowStep + columnStep), columns * y) };
}
type Tile = ReturnType<typeof tileOf>;

/** The tile and the head of a workgroup, its place in it, and what its four rows are (`own`), the last for those behind the end. */
export const place = ({ x, rows }: Tile, extent: string, heads: string): string => wgsl`
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

/**
 * WGSL that multiplies: `INTO0` to `INTO3` are the products of the invocation's 4 rows with each of its 4 columns, from `base` on. The next
 * fours are asked for before those that lie in `area` are multiplied.
 */
export function multiply(into: string, { rows: a, columns: b, width }: Factors, ends: readonly [string, string], tile: Tile): string {
	const { x, rows, columns, rowStep, columnStep } = tile;
	const turns = (name: string, count: number, start: string, end: string, to: string) =>
		upTo(Math.ceil((count * DEEP) / LANES)).map((turn) => {
			const n = `((lane + ${turn * LANES}u) / ${DEEP}u)`;
			const at = `${name}Base + min(${start} + ${n}, p.${end} - 1u) * p.${name}t`;
			const place = `area[${to} + ${n}]`;
			const isAll = (turn + 1) * LANES <= count * DEEP;
			const next = `next_${name}${turn}`;
			return {
				ask: `let ${next} = ${name}_four(${at}, d + 4u * (lane % ${DEEP}u), p.${width});`,
				put: `${isAll ? "" : `if (lane < ${count * DEEP - turn * LANES}u) `}{ ${place} = ${next}; }`,
			};
		});
	const all = [
		...turns(a, rows, "row0", ends[0], `lane % ${DEEP}u * ${rowStep}u`),
		...turns(b, columns, "base", ends[1], `${DEEP * rowStep}u + lane % ${DEEP}u * ${columnStep}u`),
	];
	return wgsl`
${FOUR.map((i) => `var ${into}${i} = vec4f();`).join(" ")}
for (var d = 0u; ; d += ${4 * DEEP}u) {
  ${all.map(({ ask }) => ask).join("\n  ")}
  if (d > 0u) {
    for (var f = 0u; f < min(p.deep, (p.${width} + ${4 * DEEP + 3}u - d) / 4u); f++) {
      ${FOUR.map((r) => `let a${r} = area[f * ${rowStep}u + 4u * ty + ${r}u];`).join(" ")}
      ${FOUR.map((i) => `let b${i} = area[${DEEP * rowStep}u + f * ${columnStep}u + tx + ${x * i}u];`).join(" ")}
      ${FOUR.map((i) => `${into}${i} += ${of4((r) => `dot(a${r}, b${i})`)};`).join("\n      ")}
    }
  }
  if (d >= p.${width}) { break; }
  workgroupBarrier();
  ${all.map(({ put }) => put).join("\n  ")}
  workgroupBarrier();
}`;
}

/** A sum over the columns: the name of its registers, the operand whose rows are added by weight, and fours that an invocation has. */
export interface Sum {
	readonly name: string;
	readonly of: string;
	readonly width: string;
	readonly fours: number;
}

export const registers = ({ name, fours }: Sum): string[] => FOUR.flatMap((r) => upTo(fours).map((c) => `${name}${r}_${c}`));
export const declare = (sum: Sum): string =>
	registers(sum)
		.map((register) => `var ${register} = vec4f();`)
		.join(" ");

/**
 * WGSL that adds rows of an operand by the weights in `area`, from column `begin` to `end4`. All four rows of the invocation have a weight from
 * `beginAll` to `endAll`; elsewhere a weight of 0 hides what is not a number.
 */
export function accumulate({ name, of, width, fours }: Sum, { x, columns }: Tile, masked: boolean): string {
	const load = (j: number) => wgsl`let w${j} = area[ty * ${columns}u + n + ${j}u - base];
    ${upTo(fours)
			.map((c) => `let v${j}_${c} = ${of}_four(${of}Base + (n + ${j}u) * p.${of}t, 4u * (tx + ${x * c}u), p.${width});`)
			.join(" ")}`;
	const add = (j: number, make = (weight: string, value: string) => `${weight} * ${value}`): string =>
		FOUR.flatMap((r) => upTo(fours).map((c) => `${name}${r}_${c} += ${make(`w${j}.${XYZW[r]}`, `v${j}_${c}`)};`)).join(" ");
	const one = `${load(0)} ${add(0, (w, v) => `select(${w} * ${v}, vec4f(), ${w} == 0.0)`)} n++;`;
	const four = wgsl`if (n >= beginAll && n + 4u <= min(endAll, nEnd)) {
    ${FOUR.map((j) => load(j)).join("\n    ")}
    ${FOUR.map((j) => add(j)).join("\n    ")}
    n += 4u;
    continue;
  }`;
	return wgsl`
{
  var n = max(begin, base);
  let nEnd = min(end4, base + ${columns}u);
  while (n < nEnd) {
  ${masked ? "" : four}
  ${one}
  }
}`;
}

/** WGSL that writes a sum to its rows; `value` makes the number stored of register and row. */
export function write(
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
export const joined = (value: string, into: string, count: string, { x }: Tile): string => wgsl`
part[lane] = ${value};
workgroupBarrier();
var ${into} = vec4f();
for (var j = 0u; j < min(p.across, ${count}); j++) { ${into} += part[ty * ${x}u + j]; }`;

/** What a kernel takes beside its own: buffers of queries, keys, values and mask, and how the others are read and written. */
export function buffersOf({ wide, mask }: AttentionVariant) {
	const lanes = wide ? 4 : 1;
	const operands: Readonly<Record<string, BufferSpec>> = {
		...{ q: reads("f32", lanes), k: reads("f32", lanes), v: reads("f32", lanes) },
		...(mask ? { mask: reads("f32") } : {}),
	};
	return { operands, given: reads("f32", lanes), result: writes("f32", lanes) };
}

/** WGSL of the bounds of the columns that the invocation's rows see: any of them, and all; where columns are keys, also each. */
export const bounds = (first: "firstKey" | "firstQuery", end: "endKey" | "endQuery"): string => wgsl`
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
export function eachColumn({ mask, x }: AttentionVariant, { columns }: Tile, turned: boolean, body: string): string {
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
