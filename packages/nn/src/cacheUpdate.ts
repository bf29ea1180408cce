import { ShapeError, type Tensor } from "@hushgrad/tensor";
import { contiguous, defineKernel, definePrimitive, type NdArray, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { rotated } from "./rotated.ts";

export const cacheUpdateKernel = defineKernel("cacheUpdate", {
	params: { n: "u32", G: "u32", S: "i32", J: "u32", V: "u32" },
	buffers: {
		k: reads("f32"),
		v: reads("f32"),
		cos: reads("f32"),
		sin: reads("f32"),
		at: reads("i32"),
		keys: writes("f32"),
		values: writes("f32"),
	},
	workgroup: 64,
	body: wgsl`
let t = at_at(0u);
if (index >= p.n || t < 0 || t >= p.S) { return; }
let row = u32(t);
if (index < p.G * p.J) {
  let group = index / p.J;
  let j = index % p.J;
  let source = group * 2u * p.J + j;
  let lo = k_at(source);
  let hi = k_at(source + p.J);
  let c = cos_at(row * p.J + j);
  let s = sin_at(row * p.J + j);
  let to = (group * u32(p.S) + row) * 2u * p.J + j;
  keys_set(to, lo * c - hi * s);
  keys_set(to + p.J, hi * c + lo * s);
}
if (index < p.G * p.V) { values_set((index / p.V * u32(p.S) + row) * p.V + index % p.V, v_at(index)); }`,
});

export const cacheUpdatePrimitive: Primitive = definePrimitive({
	name: "cacheUpdate",
	signature: "k![G, K], v![G, V], cos![P, J], sin![P, J], at![1], keys![G, S, K], values![G, S, V] -> keys[G, S, K], values[G, S, V]",
	dtypes: { at: ["i32"] },
	attrs: {},
	check: (_, __, axes) => checkTables("cacheUpdate", axes),
	forward: ({ inputs: { keys, values, ...read }, axes: { G, S, J, V } }) => {
		const [k, v, cos, sin, at] = [read.k, read.v, read.cos, read.sin, read.at].map(contiguous);
		const n = G * Math.max(J, V);
		cacheUpdateKernel.run({ k, v, cos, sin, at, keys, values }, { n, G, S, J, V }, n);
		return [];
	},
	grad: { k: "none", v: "none", cos: "none", sin: "none", at: "none", keys: "none", values: "none" },
	reference: ({ k, v, cos, sin, at, keys, values }) => {
		const [t] = at.data;
		const [G, S] = keys.shape;
		const put = (all: NdArray, rows: ArrayLike<number>): NdArray => {
			const width = all.shape[2];
			const data = all.data.slice();
			if (t < 0 || t >= S) return { ...all, data };
			for (let g = 0; g < G; g++) for (let i = 0; i < width; i++) data[(g * S + t) * width + i] = rows[g * width + i];
			return { ...all, data };
		};
		return [put(keys, rotated(k, cos, sin, t)), put(values, v.data)];
	},
	test: {
		bound: { abs: 2e-6, why: "two products of size 4 and their sum" },
		domains: { at: { whole: [-1, 5] } },
		sizes: { K: [2, 6, 8], J: [1, 3, 4], S: [5, 3, 1], P: [5, 9, 6] },
	},
});

/** @throws ShapeError unless the tables of angles are for heads of this width, and have a row for each that the cache has. */
export function checkTables(op: string, { K, J, S, P }: Readonly<Record<"K" | "J" | "S" | "P", number>>): void {
	if (K === 2 * J && S <= P) return;
	throw new ShapeError("cache/tables", `${op}: tables of angles [${P}, ${J}] for ${S} keys of ${K} numbers`, {
		op,
		hint: "the tables have a row for every position, and half as many columns as a head",
	});
}

/** Keys and values of one layer with room for S tokens, and the place of the one that is read. */
export interface Placement {
	/** Keys, rotated by their positions: f32 `[G, S, K]`. */
	readonly keys: Tensor;
	/** Values: f32 `[G, S, V]`. */
	readonly values: Tensor;
	/** Position of the token: i32 `[1]`, from 0 to below S. */
	readonly at: Tensor;
	/** Cosines of the rotary angles by position: f32 `[P, K/2]`, P at least S. */
	readonly cos: Tensor;
	/** Their sines. */
	readonly sin: Tensor;
}

/**
 * Rotates the keys of one token by its position (see `rope`) and writes them, and its values, in place into a cache: k f32 `[G, K]`, v f32
 * `[G, V]`. The position is read on the device, so that a captured step can take a new one; outside 0..S−1 nothing is written. transformers'
 * StaticCache.update.
 * @throws ShapeError when shapes do not fit, or the tables have fewer rows than the cache; DTypeError for other types; ValueError for a
 * cache that is traced, a view with gaps, or of one record.
 */
export function cacheUpdate(k: Tensor, v: Tensor, { keys, values, at, cos, sin }: Placement): void {
	cacheUpdatePrimitive.apply([k, v, cos, sin, at, keys, values]);
}
