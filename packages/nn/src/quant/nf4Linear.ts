import { ShapeError } from "@hushgrad/tensor";
import {
	contiguous,
	defineKernel,
	definePrimitive,
	defineSumming,
	gemm,
	type NdArray,
	type Physical,
	type Primitive,
	packed,
	reads,
	reshaped,
	type Summing,
	summed,
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
type Parts = Readonly<Record<string, Physical>>;

/**
 * Eight weights an invocation: code value times block scale, where the scale is fl(fl(map[q] nested) + offset). `words >> 31u` is 0 in a
 * way that no compiler knows: so none fuses multiply and add.
 */
export const nf4DequantizeKernel = defineKernel("nf4/dequantize", {
	params: { words: "u32", rounded: "u32", offset: "f32" },
	buffers: { q: reads("u32"), scales: reads("u32"), nested: reads("f32"), map: reads("f32"), y: writes("f32", 4) },
	workgroup: 64,
	helpers: wgsl`const CODE = array<f32, 16>(${[...NF4_CODE].map((c) => (`${c}`.includes(".") ? `${c}` : `${c}.0`)).join(", ")});
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
fn rounded4(v: vec4f) -> vec4f { return vec4f(rounded(v.x), rounded(v.y), rounded(v.z), rounded(v.w)); }`,
	body: wgsl`
if (index >= p.words) { return; }
let word = q_at(index);
let block = index / ${NF4_BLOCK / 8}u;
let code8 = (scales_at(block >> 2u) >> (8u * (block & 3u))) & 255u;
let product = bitcast<u32>(map_at(code8) * nested_at(block / ${NESTED_BLOCK}u));
let scale = bitcast<f32>(product ^ (p.words >> 31u)) + p.offset;
var code = CODE;
let lo = vec4u(word >> 4u, word, word >> 12u, word >> 8u) & vec4u(15u);
let hi = vec4u(word >> 20u, word >> 16u, word >> 28u, word >> 24u) & vec4u(15u);
y_set4(2u * index, rounded4(vec4f(code[lo.x], code[lo.y], code[lo.z], code[lo.w]) * scale));
y_set4(2u * index + 1u, rounded4(vec4f(code[hi.x], code[hi.y], code[hi.z], code[hi.w]) * scale));`,
});

/** The weight in f32 [1, n, k]: code value times block scale, rounded to its type; equal to the host's bit for bit. */
function dequantize(parts: Parts, { n, k, offset, rounded }: NF4Attrs): Physical {
	const { runtime } = parts.codes;
	const [q, scales, nested, map] = [parts.codes, parts.scales, parts.nested, parts.map].map(packed);
	const y = runtime.empty([1, n, k]);
	const words = (n * k) / 8;
	nf4DequantizeKernel.run({ q, scales, nested, map, y }, { words, rounded, offset }, words);
	return y;
}

/** x [B, ..., K] times w [1, K, N], and `plus`, where it is given: all rows of all records in one product. */
function rowsTimes(x: Physical, w: Physical, plus?: Physical): Physical {
	const [B, ...shape] = x.shape;
	const N = w.shape[2];
	const rows = reshaped(x, [shape.slice(0, -1).reduce((n, d) => n * d, 1), shape[shape.length - 1]]);
	const view = x.runtime.empty([...x.shape.slice(0, -1), N]);
	const target = { view, batchStride: rows.shape[1] * N, accumulate: false, plus: plus && contiguous(plus) };
	return gemm(rows, w.broadcast([B, ...w.shape.slice(1)]), target, rows.shape[1]);
}

const FROZEN = { codes: "none", scales: "none", nested: "none", map: "none" } as const;
const TEST = {
	bound: { abs: 2e-5, why: "sums of 16 products of size 4" },
	sizes: { K: [16], N: [8], C: [16], S: [1], M: [1] },
	domains: { codes: { bits: true }, scales: { bits: true }, nested: { range: [0.1, 2] }, map: { range: [-1, 1] } },
} as const;
const DTYPES = { codes: ["u32"], scales: ["u32"] } as const;
const PARTS = "codes![C], scales![S], nested![M], map![256]";

/** In float64, for `rounded` 0 only: rounding is no smooth function, and the golden vectors test it. */
function referenceWeight(v: Readonly<Record<string, NdArray>>, { n, k, offset }: NF4Attrs): Float64Array {
	const out = new Float64Array(n * k);
	for (let i = 0; i < out.length; i++) {
		const byte = Math.floor(v.codes.data[i >> 3] / 2 ** (8 * ((i >> 1) & 3))) & 255;
		const block = Math.floor(i / NF4_BLOCK);
		const q = Math.floor(v.scales.data[block >> 2] / 2 ** (8 * (block & 3))) & 255;
		const absmax = v.map.data[q] * v.nested.data[Math.floor(block / NESTED_BLOCK)] + offset;
		out[i] = NF4_CODE[i % 2 === 0 ? byte >> 4 : byte & 15] * absmax;
	}
	return out;
}

/** rows[i, j] = sum over q of x[i, q] w(j, q). */
function referenceRows(x: NdArray, columns: number, w: (column: number, q: number) => number): NdArray {
	const width = x.shape[x.shape.length - 1];
	const rows = x.data.length / width;
	const data = new Float64Array(rows * columns);
	for (let i = 0; i < rows; i++) {
		for (let j = 0; j < columns; j++) for (let q = 0; q < width; q++) data[i * columns + j] += x.data[i * width + q] * w(j, q);
	}
	return { data, shape: [...x.shape.slice(0, -1), columns] };
}

export const nf4LinearPrimitive: Primitive<NF4Attrs> = definePrimitive<NF4Attrs>({
	name: "nf4Linear",
	signature: `x[..., K], ${PARTS} -> y[..., N]`,
	dtypes: DTYPES,
	attrs: { n: 8, k: 16, offset: 0.5, rounded: 0 },
	check: (_, { k }, { K }) => {
		if (K !== k) throw new ShapeError("nf4/width", `nf4Linear: x has ${K} features, the weight takes ${k}`, { op: "nf4Linear" });
	},
	forward: ({ inputs: { x, ...parts }, attrs }) => [rowsTimes(x, dequantize(parts, attrs).transpose())],
	grad: {
		x: {
			saves: ["codes", "scales", "nested", "map"],
			rule: ({ dy, codes, scales, nested, map }, attrs, _, arrived) =>
				summed(nf4LinearGrad, [dy, codes, scales, nested, map], arrived, attrs)[0],
		},
		...FROZEN,
	},
	reference: ({ x, ...parts }, attrs) => {
		const w = referenceWeight(parts, attrs);
		return [referenceRows(x, attrs.n, (j, q) => w[j * attrs.k + q])];
	},
	test: TEST,
});

const nf4LinearGrad: Summing<NF4Attrs> = defineSumming({
	name: "nf4Linear.dx",
	signature: `dy[..., N], ${PARTS} -> dx[..., K]`,
	dtypes: DTYPES,
	attrs: { n: 8, k: 16, offset: 0.5, rounded: 0 },
	forward: ({ inputs: { dy, ...parts }, attrs }, plus) => [rowsTimes(dy, dequantize(parts, attrs), plus)],
	grad: {
		dy: {
			saves: ["codes", "scales", "nested", "map"],
			rule: ({ dy, codes, scales, nested, map }, attrs) => nf4LinearPrimitive.apply([dy, codes, scales, nested, map], attrs)[0],
		},
		...FROZEN,
	},
	reference: ({ dy, ...parts }, attrs) => {
		const w = referenceWeight(parts, attrs);
		return [referenceRows(dy, attrs.k, (j, q) => w[q * attrs.k + j])];
	},
	test: TEST,
});
export const { alone: nf4LinearGradPrimitive, plus: nf4LinearGradPlusPrimitive } = nf4LinearGrad;

export const nf4DequantizePrimitive: Primitive<NF4Attrs> = definePrimitive<NF4Attrs>({
	name: "nf4Dequantize",
	signature: `${PARTS} -> w[N, K]`,
	dtypes: DTYPES,
	attrs: { n: 8, k: 16, offset: 0.5, rounded: 0 },
	forward: ({ inputs, attrs }) => [dequantize(inputs, attrs)],
	grad: FROZEN,
	reference: (parts, attrs) => [{ data: referenceWeight(parts, attrs), shape: [attrs.n, attrs.k] }],
	test: TEST,
});
