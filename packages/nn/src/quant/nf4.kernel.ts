import { contiguous, copyInto, defineKernel, type Physical, packed, type Runtime, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { NESTED_BLOCK } from "./doubleQuant.ts";
import { NF4_BLOCK, NF4_CODE } from "./nf4.ts";

export type NF4Attrs = { n: number; k: number; offset: number; rounded: number };

/** The parts of a weight as kernels see them. */
export type Parts = Readonly<Record<string, Physical>>;

/**
 * WGSL of what a weight is: code value times block scale, rounded, where the scale is fl(fl(map[q] nested) + offset). `zero` is 0 in a way
 * that no compiler knows: so none fuses multiply and add.
 */
const WEIGHTS = wgsl`const CODE = array<f32, 16>(${[...NF4_CODE].map((c) => (`${c}`.includes(".") ? `${c}` : `${c}.0`)).join(", ")});
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
fn scaleOf(block: u32, zero: u32) -> f32 {
  let code8 = (scales_at(block >> 2u) >> (8u * (block & 3u))) & 255u;
  let product = bitcast<u32>(map_at(code8) * nested_at(block / ${NESTED_BLOCK}u));
  return bitcast<f32>(product ^ zero) + p.offset;
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
const DECODE = wgsl`fn decode(i: u32) {
  let word = q_at(i);
  let scale = scaleOf(i / ${NF4_BLOCK / 8}u, p.words >> 31u);
  let lo = lowCodes(word);
  let hi = highCodes(word);
  w_set4(2u * i, rounded4(chosen(lo, ${CODES}) * scale));
  w_set4(2u * i + 1u, rounded4(chosen(hi, ${CODES}) * scale));
}`;

/**
 * What a kernel takes to write a weight in f32 to `w`, beside other work: word after word of eight codes. `words(first, step)` is WGSL of
 * every step-th from the first on.
 */
export const decoding = {
	params: { words: "u32", rounded: "u32", offset: "f32" },
	buffers: { q: reads("u32"), scales: reads("u32"), nested: reads("f32"), map: reads("f32"), w: writes("f32", 4) },
	helpers: `${WEIGHTS}\n${CHOSEN}\n${DECODE}`,
	words: (first: string, step: string): string => `for (var i = ${first}; i < p.words; i += ${step}) { decode(i); }`,
} as const;

/** Eight weights an invocation. */
export const nf4DequantizeKernel = defineKernel("nf4/dequantize", {
	params: decoding.params,
	buffers: decoding.buffers,
	workgroup: 64,
	helpers: decoding.helpers,
	body: wgsl`
if (index < p.words) { decode(index); }`,
});

/** What a kernel that writes a weight is given, and the weight in f32 [1, n, k]. */
export function decoded(parts: Parts, { n, k, offset, rounded }: NF4Attrs) {
	const [q, scales, nested, map] = [parts.codes, parts.scales, parts.nested, parts.map].map(packed);
	const w = parts.codes.runtime.empty([1, n, k]);
	return { w, buffers: { q, scales, nested, map, w }, numbers: { words: (n * k) / 8, rounded, offset } };
}

/** A weight that a kernel is to write, and what it takes for that. */
export type Decoded = ReturnType<typeof decoded>;

/** Most workgroups that write a weight beside other work, and buffers that a kernel binds which does both. */
const [MOST, BUFFERS] = [2048, 10];

/** A grid of workgroups, and what their kernel takes to write a weight as well. */
export interface Beside {
	readonly decodes: boolean;
	readonly buffers: Readonly<Record<string, Physical>>;
	readonly numbers: Readonly<Record<string, number>>;
	readonly grid: readonly [number, number, number];
}

/**
 * Has a weight written, where there is one: by more workgroups of a grid, each of so many lanes, or, where the device binds too few buffers
 * or workgroups share nothing, by a kernel of its own.
 */
export function beside({ device, gpu }: Runtime, grid: Beside["grid"], lanes: number, weight: Decoded | undefined): Beside {
	if (weight === undefined) return { decodes: false, buffers: {}, numbers: {}, grid };
	const { buffers, numbers } = weight;
	if (device.plan === "cpu" || gpu.limits.maxStorageBuffersPerShaderStage < BUFFERS) {
		nf4DequantizeKernel.run(buffers, numbers, numbers.words);
		return { decodes: false, buffers: {}, numbers: {}, grid };
	}
	const [others, y, z] = grid;
	const groups = Math.ceil(Math.min(MOST, Math.ceil(numbers.words / lanes)) / (y * z));
	return { decodes: true, buffers, numbers: { ...numbers, others }, grid: [others + groups, y, z] };
}

/** The weight in f32 [1, n, k]: code value times block scale, rounded to its type; equal to the host's bit for bit. */
export function dequantize(parts: Parts, attrs: NF4Attrs): Physical {
	const { w, buffers, numbers } = decoded(parts, attrs);
	nf4DequantizeKernel.run(buffers, numbers, numbers.words);
	return w;
}

/**
 * One result an invocation, or one a workgroup of 32: of one row of x, and of each block the sixteen values that its codes may have. The
 * terms of a block are added four by four, and the blocks after it.
 */
export const nf4RowKernel = defineKernel("nf4/row", ({ lanes }: { lanes: 1 | 32 }) => ({
	params: { rows: "u32", n: "u32", k: "u32", rounded: "u32", offset: "f32" },
	buffers: {
		...{ x: reads("f32", 4), q: reads("u32"), scales: reads("u32"), nested: reads("f32"), map: reads("f32") },
		y: writes("f32"),
	},
	workgroup: lanes === 1 ? 16 : lanes,
	shared: lanes === 1 ? undefined : { parts: { type: "f32" as const, length: lanes } },
	helpers: `${WEIGHTS}\n${CHOSEN}`,
	body: wgsl`
let row = ${lanes === 1 ? "index" : "wid.y * nwg.x + wid.x"};
let own = ${lanes === 1 ? "0u" : "lane"};
if (row >= p.rows) { return; }
let blocks = p.k / ${NF4_BLOCK}u;
let first = row % p.n * blocks;
let start = row / p.n * (p.k / 4u);
var acc = 0.0;
for (var b = own; b < blocks; b += ${lanes}u) {
  let scale = scaleOf(first + b, p.rows >> 31u);
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
${
	lanes === 1
		? "y_set(row, acc);"
		: wgsl`parts[own] = acc;
for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
  workgroupBarrier();
  if (own < half) { parts[own] += parts[own + half]; }
}
if (own == 0u) { y_set(row, parts[0]); }`
}`,
}));

/** Whether records of so many rows are multiplied row by row, without a weight in f32: where they are one row, of whole blocks. */
export const isByRow = (rows: number, { k }: NF4Attrs): boolean => rows === 1 && k % NF4_BLOCK === 0;

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
	const lanes = runtime.device.plan === "cpu" ? 1 : 32;
	nf4RowKernel.of({ lanes }).run({ x, q, scales, nested, map, y }, { rows: y.size, n, k, rounded, offset }, y.size * lanes, 2 * k * y.size);
	return y;
}
