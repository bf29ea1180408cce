import { ShapeError } from "@hushgrad/tensor";
import {
	contiguous,
	definePrimitive,
	defineSumming,
	type GemmTarget,
	gemm,
	type NdArray,
	type Physical,
	type Primitive,
	reshaped,
	type Summing,
	sizeOf,
	summed,
} from "@hushgrad/tensor/author";
import { NESTED_BLOCK } from "./doubleQuant.ts";
import { dequantize, factorOf, isByRow, type NF4Attrs, rowTimesWeight } from "./nf4.kernel.ts";
import { NF4_BLOCK, NF4_CODE } from "./nf4.ts";

/** x [B, ..., K] times w [1, K, N], and what is added to it: all rows of all records in one product. */
export function rowsTimes(x: Physical, w: Physical, { plus, update }: Pick<GemmTarget, "plus" | "update"> = {}): Physical {
	const [B, ...shape] = x.shape;
	const N = w.shape[2];
	const rows = reshaped(x, [shape.slice(0, -1).reduce((n, d) => n * d, 1), shape[shape.length - 1]]);
	const view = x.runtime.empty([...x.shape.slice(0, -1), N]);
	const target = { view, batchStride: rows.shape[1] * N, accumulate: false, plus: plus && contiguous(plus), update };
	return gemm(rows, w.broadcast([B, ...w.shape.slice(1)]), target, rows.shape[1]);
}

export const FROZEN = { codes: "none", scales: "none", nested: "none", map: "none" } as const;
export const TEST = {
	bound: { abs: 2e-5, why: "sums of 16 products of size 4" },
	sizes: { K: [16], N: [8], C: [16], S: [1], M: [1] },
	domains: { codes: { bits: true }, scales: { bits: true }, nested: { range: [0.1, 2] }, map: { range: [-1, 1] } },
} as const;
export const DTYPES = { codes: ["u32"], scales: ["u32"] } as const;
export const PARTS = "codes![C], scales![S], nested![M], map![256]";

/** In float64, for `rounded` 0 only: rounding is no smooth function, and the golden vectors test it. */
export function referenceWeight(v: Readonly<Record<string, NdArray>>, { n, k, offset }: NF4Attrs): Float64Array {
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
export function referenceRows(x: NdArray, columns: number, w: (column: number, q: number) => number): NdArray {
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
	forward: ({ inputs: { x, ...parts }, attrs }) => {
		const rows = sizeOf(x.shape.slice(1, -1));
		return [isByRow(rows, attrs) ? rowTimesWeight(x, parts, attrs) : rowsTimes(x, factorOf(parts, attrs).transpose())];
	},
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

export const nf4LinearGrad: Summing<NF4Attrs> = defineSumming({
	name: "nf4Linear.dx",
	signature: `dy[..., N], ${PARTS} -> dx[..., K]`,
	dtypes: DTYPES,
	attrs: { n: 8, k: 16, offset: 0.5, rounded: 0 },
	forward: ({ inputs: { dy, ...parts }, attrs }, plus) => [rowsTimes(dy, factorOf(parts, attrs), { plus })],
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
