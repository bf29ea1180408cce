import {
	contiguous,
	copyInto,
	defineKernel,
	type ParamType,
	type Physical,
	packed,
	type Runtime,
	reads,
	stackedViews,
	wgsl,
	writes,
} from "@hushgrad/tensor/author";
import type { FloatDType } from "../safetensors/convert.ts";
import { NESTED_BLOCK } from "./doubleQuant.ts";
import { NF4_BLOCK, NF4_CODE } from "./nf4.ts";

/** The types that a weight may have had, by the number that an attribute gives them. */
export const ROUNDED_TO: readonly FloatDType[] = ["F32", "BF16", "F16"];

export type NF4Attrs = { n: number; k: number; offset: number; rounded: number };

/** The parts of a weight as kernels see them. */
export type Parts = Readonly<Record<string, Physical>>;

/** Weights of one shape that stand one after the other, or a single one. */
export type WeightCount = 1 | 2 | 3;

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** What a kernel takes for the differences of the scales of so many weights: `offset`, and `offset1` and so on for those behind it. */
const offsetParams = (count: WeightCount): Readonly<Record<string, "f32">> =>
	Object.fromEntries(upTo(count).map((j) => [j === 0 ? "offset" : `offset${j}`, "f32"]));

/** WGSL of the number of weight j among those of the others. */
const chosenOf = (name: string, count: WeightCount): string =>
	upTo(count)
		.slice(1)
		.reduce((rest, j) => `select(${rest}, p.${name}${j}, j == ${j}u)`, `p.${name}`);

/**
 * WGSL of what a weight is: code value times block scale, rounded, where the scale is fl(fl(map[q] nested) + offset). `zero` is 0 in a way
 * that no compiler knows: so none fuses multiply and add. Blocks are those of weight j.
 */
const weights = (
	count: WeightCount,
): string => wgsl`const CODE = array<f32, 16>(${[...NF4_CODE].map((c) => (`${c}`.includes(".") ? `${c}` : `${c}.0`)).join(", ")});
fn toF16(x: f32) -> f32 {
  let b = bitcast<u32>(x);
  let size = b & 0x7fffffffu;
  if (size >= 0x477ff000u) { return bitcast<f32>((b & 0x80000000u) | 0x7f800000u); }
  if (size >= 0x38800000u) { return bitcast<f32>((b + 0xfffu + ((b >> 13u) & 1u)) & 0xffffe000u); }
  if (size < 0x33000000u) { return bitcast<f32>(b & 0x80000000u); }
  let shift = 126u - (size >> 23u);
  let digits = (size & 0x7fffffu) | 0x800000u;
  let kept = (digits + (1u << (shift - 1u)) - 1u + ((digits >> shift) & 1u)) >> shift;
  return select(1.0, -1.0, b != size) * (f32(kept) * 0x1p-24);
}
fn rounded(x: f32) -> f32 {
  if (p.rounded == 1u) { return bitcast<f32>(bf16Of(x) << 16u); }
  if (p.rounded == 2u) { return toF16(x); }
  return x;
}
fn rounded4(v: vec4f) -> vec4f { return vec4f(rounded(v.x), rounded(v.y), rounded(v.z), rounded(v.w)); }
fn scaleOf(block: u32, zero: u32, j: u32) -> f32 {
  let code8 = (scales_at(${count === 1 ? "" : "j * p.scaleWords + "}(block >> 2u)) >> (8u * (block & 3u))) & 255u;
  let product = bitcast<u32>(map_at(${count === 1 ? "" : "256u * j + "}code8) * nested_at(${count === 1 ? "" : "j * p.nestedScales + "}block / ${NESTED_BLOCK}u));
  return bitcast<f32>(product ^ zero) + ${chosenOf("offset", count)};
}
fn lowCodes(word: u32) -> vec4u { return vec4u(word >> 4u, word, word >> 12u, word >> 8u) & vec4u(15u); }
fn highCodes(word: u32) -> vec4u { return vec4u(word >> 20u, word >> 16u, word >> 28u, word >> 24u) & vec4u(15u); }`;

/** WGSL of four of sixteen values, by their numbers: for most drivers a look-up in an array is a walk through memory. */
const CHOSEN = wgsl`
fn either(v: vec4f, isOdd: vec4<bool>, isThird: vec4<bool>) -> vec4f {
  return select(select(vec4f(v.x), vec4f(v.y), isOdd), select(vec4f(v.z), vec4f(v.w), isOdd), isThird);
}
fn chosen(c: vec4u, v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f) -> vec4f {
  let a = (c & vec4u(1u)) != vec4u(0u);
  let b = (c & vec4u(2u)) != vec4u(0u);
  let low = select(either(v0, a, b), either(v1, a, b), (c & vec4u(4u)) != vec4u(0u));
  let high = select(either(v2, a, b), either(v3, a, b), (c & vec4u(4u)) != vec4u(0u));
  return select(low, high, (c & vec4u(8u)) != vec4u(0u));
}`;

const CODES = [0, 4, 8, 12].map((i) => `vec4f(CODE[${i}], CODE[${i + 1}], CODE[${i + 2}], CODE[${i + 3}])`).join(", ");

/** WGSL that writes the eight weights of a word. */
const decode = (count: WeightCount): string => wgsl`fn decode(i: u32) {
  let word = q_at(i);
  ${count === 1 ? "let j = 0u;" : `let j = i / (p.words / ${count}u);`}
  let scale = scaleOf((i${count === 1 ? "" : ` - j * (p.words / ${count}u)`}) / ${NF4_BLOCK / 8}u, p.words >> 31u, j);
  let lo = lowCodes(word);
  let hi = highCodes(word);
  w_set4(2u * i, rounded4(chosen(lo, ${CODES}) * scale));
  w_set4(2u * i + 1u, rounded4(chosen(hi, ${CODES}) * scale));
}`;

/** What a kernel writes: so many weights, in f32, or in bf16 where that holds them. */
export type Written = {
	readonly count: WeightCount;
	readonly bf16: boolean;
};

/**
 * What a kernel takes to write weights to `w`, beside other work: word after word of eight codes. `words(first, step)` is WGSL of
 * every step-th from the first on.
 */
export const decoding = ({ count, bf16 }: Written) => ({
	params: {
		...{ words: "u32", rounded: "u32", ...offsetParams(count) },
		...(count > 1 && { scaleWords: "u32", nestedScales: "u32" }),
	} as Readonly<Record<string, ParamType>>,
	buffers: { q: reads("u32"), scales: reads("u32"), nested: reads("f32"), map: reads("f32"), w: writes(bf16 ? "bf16" : "f32", 4) },
	helpers: `${weights(count)}\n${CHOSEN}\n${decode(count)}`,
	words: (first: string, step: string): string => `for (var i = ${first}; i < p.words; i += ${step}) { decode(i); }`,
});

/** Eight weights an invocation. */
export const nf4DequantizeKernel = defineKernel("nf4/dequantize", (written: Written) => ({
	params: decoding(written).params,
	buffers: decoding(written).buffers,
	workgroup: 64,
	helpers: decoding(written).helpers,
	body: wgsl`
if (index < p.words) { decode(index); }`,
}));

/** What a kernel is given to write weights that stand one after the other. */
interface Writing extends Readonly<Written> {
	readonly buffers: Readonly<Record<string, Physical>>;
	readonly numbers: Readonly<Record<string, number>>;
}

/** Weights of one shape that kernels are to write, `w` [count, n, k]: all at once, or one by one where their parts lie apart. */
export interface Decoded {
	readonly w: Physical;
	readonly writings: readonly Writing[];
}

/**
 * Whether products take weights in bf16, which were rounded to it: units for matrices multiply f16, of which one holds such a number, and two an
 * f32.
 */
const takesBf16 = ({ device }: Runtime, attrs: readonly NF4Attrs[]): boolean =>
	device.matrices !== undefined && attrs.every(({ rounded }) => rounded === ROUNDED_TO.indexOf("BF16"));

/** The weight as a product takes it, [1, n, k], and what writes it. */
export const decoded = (parts: Parts, attrs: NF4Attrs): Decoded => decodedTogether([parts], [attrs]);

/** Weights of one shape as products take them, [count, n, k], and what writes them. */
export const decodedTogether = (all: readonly Parts[], attrs: readonly NF4Attrs[]): Decoded =>
	decodedIn(takesBf16(all[0].codes.runtime, attrs), all, attrs);

function decodedIn(bf16: boolean, all: readonly Parts[], attrs: readonly NF4Attrs[]): Decoded {
	const { n, k, rounded } = attrs[0];
	const { runtime } = all[0].codes;
	const w = runtime.empty([all.length, n, k], bf16 ? "bf16" : "f32");
	const words = (n * k) / 8;
	const lists = (["codes", "scales", "nested", "map"] as const).map((name) => all.map((parts) => packed(parts[name])));
	const whole = attrs.every((a) => a.rounded === rounded) ? lists.map(sideBySide) : [];
	const [q, scales, nested, map] = whole;
	if (q === undefined || scales === undefined || nested === undefined || map === undefined) {
		const writings = all.map((_, j): Writing => {
			const [q, scales, nested, map] = lists.map((list) => list[j]);
			const own = w.view({ shape: [1, n, k], offset: w.offset + j * n * k });
			return {
				...{ count: 1, bf16 },
				buffers: { q, scales, nested, map, w: own },
				numbers: { words, rounded: attrs[j].rounded, offset: attrs[j].offset },
			};
		});
		return { w, writings };
	}
	const count = all.length as WeightCount;
	const offsets = Object.fromEntries(attrs.map(({ offset }, j) => [j === 0 ? "offset" : `offset${j}`, offset]));
	const sizes = count === 1 ? {} : { scaleWords: scales.size / count, nestedScales: nested.size / count };
	const numbers = { words: count * words, rounded, ...offsets, ...sizes };
	return { w, writings: [{ count, bf16, buffers: { q, scales, nested, map, w }, numbers }] };
}

/** Flat views that follow each other in memory, as one; undefined where they do not. */
function sideBySide(views: readonly Physical[]): Physical | undefined {
	const whole = stackedViews(views.map((v) => v.view({ shape: v.shape.slice(1) })));
	return whole?.isContiguous ? whole : undefined;
}

/** Most workgroups that write a weight beside other work, and buffers that a kernel binds which does both. */
const [MOST, BUFFERS] = [2048, 10];

/** A grid of workgroups, and what their kernel takes to write a weight as well. */
export interface Beside {
	/** Weights that the grid writes, and whether in bf16. */
	readonly decodes: 0 | WeightCount;
	readonly bf16: boolean;
	readonly buffers: Readonly<Record<string, Physical>>;
	readonly numbers: Readonly<Record<string, number>>;
	readonly grid: readonly [number, number, number];
}

/**
 * Has a weight written, where there is one: by more workgroups of a grid, each of so many lanes, or, where the device binds too few buffers
 * or workgroups share nothing, by a kernel of its own.
 */
export function beside({ device, gpu }: Runtime, grid: Beside["grid"], lanes: number, weight: Decoded | undefined): Beside {
	const writings = weight?.writings ?? [];
	if (writings.length !== 1 || device.plan === "cpu" || gpu.limits.maxStorageBuffersPerShaderStage < BUFFERS) {
		for (const writing of writings) write(writing);
		return { decodes: 0, bf16: false, buffers: {}, numbers: {}, grid };
	}
	const [{ count, bf16, buffers, numbers }] = writings;
	const [others, y, z] = grid;
	const groups = Math.ceil(Math.min(MOST, Math.ceil(numbers.words / lanes)) / (y * z));
	return { decodes: count, bf16, buffers, numbers: { ...numbers, others }, grid: [others + groups, y, z] };
}

/** The weight in f32 [1, n, k]: code value times block scale, rounded to its type; equal to the host's bit for bit. */
export const dequantize = (parts: Parts, attrs: NF4Attrs): Physical => written(decodedIn(false, [parts], [attrs]));

/** The same as a product takes it. */
export const factorOf = (parts: Parts, attrs: NF4Attrs): Physical => written(decoded(parts, attrs));

function written({ w, writings }: Decoded): Physical {
	for (const writing of writings) write(writing);
	return w;
}

function write({ count, bf16, buffers, numbers }: Writing): void {
	nf4DequantizeKernel.of({ count, bf16 }).run(buffers, numbers, numbers.words);
}

/** Invocations that share a result: as many as have a block of it or more each, but for the shortest rows. */
type RowLanes = 1 | 32 | 128;

const rowLanes = (k: number): RowLanes => (k > 32 * NF4_BLOCK ? 128 : 32);

/** WGSL of a result that an invocation makes by itself: it makes of each block the sixteen values that its codes may have. */
const ROW_ALONE = wgsl`
if (index >= p.rows) { return; }
let blocks = p.k / ${NF4_BLOCK}u;
let first = index % p.n * blocks;
let start = index / p.n * (p.k / 4u);
var acc = 0.0;
for (var b = 0u; b < blocks; b++) {
  let scale = scaleOf(first + b, p.rows >> 31u, 0u);
  ${[0, 1, 2, 3].map((i) => `let v${i} = vec4f(${[0, 1, 2, 3].map((j) => `rounded(CODE[${4 * i + j}] * scale)`).join(", ")});`).join("\n  ")}
  var sum = vec4f(0.0);
  for (var w = 0u; w < ${NF4_BLOCK / 8}u; w++) {
    let word = q_at((first + b) * ${NF4_BLOCK / 8}u + w);
    let at = start + b * ${NF4_BLOCK / 4}u + 2u * w;
    sum += chosen(lowCodes(word), v0, v1, v2, v3) * x_at4(at);
    sum += chosen(highCodes(word), v0, v1, v2, v3) * x_at4(at + 1u);
  }
  acc += (sum.x + sum.y) + (sum.z + sum.w);
}
y_set(index, acc);`;

/** WGSL of a result of so many invocations. */
const rowTogether = (lanes: number): string => {
	const values = (of: string): string => `rounded4(vec4f(${["x", "y", "z", "w"].map((c) => `codes[${of}.${c}]`).join(", ")}) * scale)`;
	return wgsl`
let row = wid.y * nwg.x + wid.x;
if (row >= p.rows) { return; }
if (lane < 16u) { codes[lane] = CODE[lane]; }
workgroupBarrier();
let words = p.k / 8u;
let first = row % p.n * words;
let start = row / p.n * (p.k / 4u);
var sum = vec4f();
for (var w = lane; w < words; w += ${lanes}u) {
  let word = q_at(first + w);
  let scale = scaleOf((first + w) / ${NF4_BLOCK / 8}u, p.rows >> 31u, 0u);
  let low = lowCodes(word);
  let high = highCodes(word);
  sum += ${values("low")} * x_at4(start + 2u * w);
  sum += ${values("high")} * x_at4(start + 2u * w + 1u);
}
parts[lane] = (sum.x + sum.y) + (sum.z + sum.w);
for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
  workgroupBarrier();
  if (lane < half) { parts[lane] += parts[lane + half]; }
}
if (lane == 0u) { y_set(row, parts[0]); }`;
};

/**
 * x [rows / n, k] times the weight [n, k], one result an invocation, or one a workgroup. An invocation by itself makes of each block the sixteen values
 * that its codes may have; the terms of a block are added four by four, and the blocks after it. Those of a workgroup read words side by side,
 * each every so-many-th, look codes up in its memory, add what they find four by four, and join it by halves.
 */
export const nf4RowKernel = defineKernel("nf4/row", ({ lanes }: { lanes: RowLanes }) => ({
	params: { rows: "u32", n: "u32", k: "u32", rounded: "u32", offset: "f32" },
	buffers: {
		...{ x: reads("f32", 4), q: reads("u32"), scales: reads("u32"), nested: reads("f32"), map: reads("f32") },
		y: writes("f32"),
	},
	workgroup: lanes === 1 ? 16 : lanes,
	shared: lanes === 1 ? undefined : { parts: { type: "f32" as const, length: lanes }, codes: { type: "f32" as const, length: 16 } },
	helpers: `${weights(1)}\n${lanes === 1 ? CHOSEN : ""}`,
	body: lanes === 1 ? ROW_ALONE : rowTogether(lanes),
}));

/** Whether records of so many rows are multiplied row by row, without a weight in f32: where they are one row, of whole blocks. */
export const isByRow = (rows: number, { k }: Pick<NF4Attrs, "k">): boolean => rows === 1 && k % NF4_BLOCK === 0;

/** The same values in order, and from a multiple of four on. */
function inFours(t: Physical): Physical {
	if (t.offset % 4 === 0) return contiguous(t);
	const own = t.runtime.empty(t.shape, t.dtype);
	copyInto(t, own);
	return own;
}

/** x [B, ..., K] times the weight [N, K], row by row. */
export function rowTimesWeight(given: Physical, parts: Parts, { n, k, offset, rounded }: NF4Attrs): Physical {
	const { runtime } = given;
	const x = inFours(given);
	const [q, scales, nested, map] = [parts.codes, parts.scales, parts.nested, parts.map].map(packed);
	const y = runtime.empty([...x.shape.slice(0, -1), n]);
	const lanes = runtime.device.plan === "cpu" ? 1 : rowLanes(k);
	nf4RowKernel.of({ lanes }).run({ x, q, scales, nested, map, y }, { rows: y.size, n, k, rounded, offset }, y.size * lanes, 2 * k * y.size);
	return y;
}
