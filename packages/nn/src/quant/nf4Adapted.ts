import { add, linear, matmul, mul, ShapeError } from "@hushgrad/tensor";
import {
	definePrimitive,
	gemm,
	linearGrad,
	type NdArray,
	type Physical,
	type Primitive,
	rowProduct,
	sizeOf,
	summed,
} from "@hushgrad/tensor/author";
import { kept, type LowRankAttrs, lowOf, lowRankDropoutGradPlusPrimitive, lowRankGradPlusPrimitive, referenceLow } from "../lowRank.ts";
import { RANK_SIZES, referenceUpdate, referenceUpdateGrad, updateGrad, updateOf } from "../updated.ts";
import { decoded, isByRow, type NF4Attrs, rowTimesWeight } from "./nf4.kernel.ts";
import { DTYPES, FROZEN, nf4LinearGrad, PARTS, referenceRows, referenceWeight, rowsTimes, TEST } from "./nf4Linear.ts";

const CODED = ["codes", "scales", "nested", "map"] as const;
const NF4: NF4Attrs = { n: 8, k: 16, offset: 0.5, rounded: 0 };
const TESTED = {
	sizes: { ...TEST.sizes, ...RANK_SIZES },
	domains: { ...TEST.domains, keys: { bits: true } },
	nonEmpty: ["R"],
} as const;

type Attrs = NF4Attrs & LowRankAttrs;

/** From the gradient g of low b^T: h = g b and db = g^T low, and the weight that stands beside it, in f32. */
export const nf4AdaptedGradPrimitive = definePrimitive<NF4Attrs>({
	name: "nf4Adapted.dlow",
	signature: `g[..., N], low[..., R], b[N, R], ${PARTS} -> h[..., R], db[N, R], w[N, K]`,
	dtypes: DTYPES,
	attrs: NF4,
	forward: ({ inputs: { g, low, b, ...parts }, attrs }) => {
		const weight = decoded(parts, attrs);
		return [...updateGrad({ g, low, b }, weight), weight.w];
	},
	grad: { g: "missing", low: "missing", b: "missing", ...FROZEN },
	reference: ({ g, low, b, ...parts }, attrs) => [
		...referenceUpdateGrad({ g, low, b }),
		{ data: referenceWeight(parts, attrs), shape: [attrs.n, attrs.k] },
	],
	test: { bound: { abs: 2e-4, why: "sums of up to 729 products of size 4" }, ...TESTED },
});

/** y and low of records of a single row, whose weight is not written. */
export function adaptedRow({ b, ...inputs }: Readonly<Record<string, Physical>>, attrs: Attrs): [y: Physical, low: Physical] {
	const low = lowOf(inputs, attrs);
	const y = rowTimesWeight(inputs.x, inputs, attrs);
	const { low: rows, up } = updateOf(low, b);
	gemm(rows, up, { view: y, batchStride: attrs.n, accumulate: true });
	return [y, low];
}

/**
 * A linear map by a weight W in four bits, and LoRA on it: y = x W^T + low b^T with low = scale dropout(x) a^T, which is for the gradient of
 * b; with `adds` plus a tensor like y. Two kernels: one makes low and writes W in f32, the other multiplies. Of the gradients three: by low and b, with W; by x; by x through
 * low, and by a.
 */
function defineAdapted(name: string, { drops, adds }: { readonly drops: boolean; readonly adds: boolean }): Primitive<Attrs> {
	const own = drops ? ["keys"] : [];
	return definePrimitive<Attrs, string>({
		name,
		signature: `x[..., K], ${PARTS}, a[R, K], b[N, R]${drops ? ", keys[2]" : ""}${adds ? ", plus[..., N]" : ""} -> y[..., N], low[..., R]`,
		dtypes: { ...DTYPES, ...(drops && { keys: ["u32"] }) },
		attrs: { ...NF4, scale: 0.5, p: 0.25, stream: 0 },
		check: (_, { n, k }, { N, K }) => {
			if (K !== k) throw new ShapeError("nf4/width", `${name}: x has ${K} features, the weight takes ${k}`, { op: name });
			if (N !== n) throw new ShapeError("nf4/width", `${name}: b is for ${N} features, the weight gives ${n}`, { op: name });
		},
		forward: ({ inputs: { b, plus, ...inputs }, attrs }) => {
			const { x } = inputs;
			if (!adds && isByRow(sizeOf(x.shape.slice(1, -1)), attrs)) return adaptedRow({ ...inputs, b }, attrs);
			const weight = decoded(inputs, attrs);
			const low = lowOf(inputs, attrs, weight);
			return [rowsTimes(x, weight.w.transpose(), { plus, update: updateOf(low, b) }), low];
		},
		grad: {
			x: {
				saves: [...CODED, "a", "b", ...own],
				rule: ({ dy, a, b, keys, ...given }, attrs, _, arrived) => {
					const { n, k, offset, rounded, ...branch } = attrs;
					const [dx] = summed(nf4LinearGrad, [dy, ...CODED.map((part) => given[part])], arrived, { n, k, offset, rounded });
					return add(dx, kept(matmul(mul(matmul(dy, b), attrs.scale), a), keys, branch));
				},
			},
			...FROZEN,
			a: {
				saves: ["b", "x", ...own],
				rule: ({ dy, b, x, keys }, attrs, operand) => rowProduct(mul(matmul(dy, b), attrs.scale), kept(x, keys, attrs), operand),
			},
			// `low` is for all gradients together: a constant, in which nothing could be differentiated.
			b: {
				saves: ["low", "x", "a", ...own],
				rule: ({ dy, x, a, keys }, attrs, operand) => rowProduct(dy, mul(linear(kept(x, keys, attrs), a), attrs.scale), operand),
			},
			...(drops && { keys: "none" }),
			...(adds && { plus: { saves: [], rule: ({ dy }) => dy } }),
		},
		together: ({ dy, x, a, b, low, keys, ...given }, { n, k, offset, rounded, ...branch }, _, arrived) => {
			const [h, db, w] = nf4AdaptedGradPrimitive.apply([dy, low, b, ...CODED.map((part) => given[part])], { n, k, offset, rounded });
			const [before] = summed(linearGrad, [dy, w], arrived.x);
			const [dx, da] =
				keys === undefined
					? lowRankGradPlusPrimitive.apply([h, x, a, before], branch)
					: lowRankDropoutGradPlusPrimitive.apply([h, x, a, keys, before], branch);
			return { x: dx, a: da, b: db, ...(adds && { plus: dy }) };
		},
		reference: ({ x, a, b, keys, plus, ...parts }, attrs) => {
			const w = referenceWeight(parts, attrs);
			const low: NdArray = {
				data: referenceLow({ x, a, ...(keys && { keys }) }, attrs),
				shape: [...x.shape.slice(0, -1), a.shape[0]],
			};
			const y = referenceRows(x, attrs.n, (j, q) => w[j * attrs.k + q]);
			const update = referenceUpdate(low, b);
			return [{ data: y.data.map((v, i) => v + update[i] + (plus?.data[i] ?? 0)), shape: y.shape }, low];
		},
		test: { bound: { abs: 5e-4, why: "sums of up to 12 numbers of size 100, each of 16 products" }, ...TESTED },
	});
}

export const nf4AdaptedPrimitive = defineAdapted("nf4Adapted", { drops: false, adds: false });
export const nf4AdaptedDropoutPrimitive = defineAdapted("nf4AdaptedDropout", { drops: true, adds: false });
export const nf4AdaptedPlusPrimitive = defineAdapted("nf4Adapted.plus", { drops: false, adds: true });
export const nf4AdaptedDropoutPlusPrimitive = defineAdapted("nf4AdaptedDropout.plus", { drops: true, adds: true });
