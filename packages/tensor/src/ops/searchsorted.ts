import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { expects } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { named } from "../named.ts";
import { definePrimitive } from "../primitive.ts";
import { sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkSame, checkType } from "./arguments.ts";
import { eq, logicalAnd, lt } from "./binary.ts";
import { packed } from "./contiguous.ts";
import { gather } from "./indexing.ts";
import { orderKey, sortPrimitive } from "./sort.ts";
import { reshape } from "./view.ts";

const NUMBERS: readonly DType[] = [...FLOATS, ...INTEGERS];

export const searchsortedKernel = defineKernel("searchsorted", ({ dtype, right }: { dtype: DType; right: boolean }) => ({
	params: { n: "u32", N: "u32", K: "u32", share: "u32", rs: "u32", rv: "u32" },
	buffers: { sorted: reads(dtype), v: reads(dtype), places: writes("i32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let record = index / p.share;
let own = index % p.share;
let row = record * p.rs + own / p.K * p.N;
let key = ${orderKey(dtype, "v_at(record * p.rv + own)").code};
var lo = 0u;
var hi = p.N;
while (lo < hi) {
  let mid = (lo + hi) / 2u;
  let k = ${orderKey(dtype, "sorted_at(row + mid)").code};
  if (k < key${right ? " || k == key" : ""}) { lo = mid + 1u; } else { hi = mid; }
}
places_set(index, i32(lo));`,
}));

export const searchsortedPrimitive = definePrimitive<{ right: boolean }>({
	name: "searchsorted",
	signature: "sorted[..., N], values[..., K] -> places[..., K]",
	dtypes: { sorted: NUMBERS, values: NUMBERS },
	attrs: { right: false },
	check: ({ sorted, values }) => checkSame("searchsorted", { sorted, values }),
	forward: ({ runtime, inputs, axes: { N, K }, attrs: { right } }) => {
		const [sorted, v] = [packed(inputs.sorted), packed(inputs.values)];
		const places = runtime.empty(v.shape, "i32");
		const share = Math.max(1, sizeOf(v.shape.slice(1)));
		const params = { n: places.size, N, K: Math.max(1, K), share, rs: sorted.strides[0], rv: v.strides[0] };
		searchsortedKernel.of({ dtype: v.dtype, right }).run({ sorted, v, places }, params, places.size);
		return [places];
	},
	grad: { sorted: "none", values: "none" },
	reference: ({ sorted, values }, { right }) => {
		const [N, K] = [sorted, values].map(({ shape }) => shape[shape.length - 1]);
		const key = (v: number): number => (Number.isNaN(v) ? Number.POSITIVE_INFINITY : v);
		const place = (row: number, v: number): number => {
			let [lo, hi] = [0, N];
			while (lo < hi) {
				const mid = (lo + hi) >> 1;
				const k = key(sorted.data[row * N + mid]);
				if (k < v || (right && k === v)) lo = mid + 1;
				else hi = mid;
			}
			return lo;
		};
		return [{ data: values.data.map((v, i) => place(Math.floor(i / K), key(v))), shape: values.shape }];
	},
	test: { bound: { why: "a position" }, variants: [{ right: true }], domains: { sorted: { whole: [-2, 2] }, values: { whole: [-2, 2] } } },
});

/** Options of `searchsorted` and `bucketize`. */
export interface SearchsortedOptions {
	/** Behind equal ones; before them when left out. */
	readonly right?: boolean | undefined;
}

/** Places in rows that are checked, under the names that the function has for its operands. */
function places(op: string, operands: Readonly<Record<string, Tensor>>, { right = false }: SearchsortedOptions = {}): Tensor {
	for (const name in operands) checkType(op, operands[name], NUMBERS, name);
	checkSame(op, operands);
	const [sorted, values] = Object.values(operands);
	if (sorted.rank === 1) {
		const flat = searchsortedPrimitive.apply([sorted, reshape(values, [values.size])], { right })[0];
		return reshape(flat, values.shape);
	}
	if (sorted.rank === 0 || !sameShape(sorted.shape.slice(0, -1), values.shape.slice(0, -1))) {
		const text = `${op}: sorted ${showShape(sorted.shape)} and values ${showShape(values.shape)} differ before the last axis`;
		throw new ShapeError("shape/index", text, { op, hint: "sorted may also be one row for all values" });
	}
	return searchsortedPrimitive.apply([sorted, values], { right })[0];
}

/**
 * Where values would stand in sorted rows (upwards along the last axis): the number of elements below each, or, `right`, of those
 * that are not above it; i32 in the shape of values. sorted has one axis, or the shape of values but for the last axis. NaN counts as
 * the largest. By binary search; of rows that are not sorted the result is some place. Both f32, f16, i32 or u32. No gradient.
 * @throws ShapeError when the axes before the last differ.
 * @throws DTypeError for other types, or two types.
 */
export const searchsorted = named("searchsorted", (sorted: Tensor, values: Tensor, options: SearchsortedOptions = {}): Tensor => {
	expects("searchsorted", { sorted, values, options }, { sorted: "tensor", values: "tensor", options: "options" });
	return places("searchsorted", { sorted, values }, options);
});

/**
 * The number of the bucket that each element of x lies in, i32 in x's shape: i where boundaries_(i−1) < x ≤ boundaries_i, or, `right`,
 * boundaries_(i−1) ≤ x < boundaries_i; boundaries (one axis) go upwards. torch's bucketize. Types as of `searchsorted`. No gradient.
 * @throws ShapeError unless boundaries have one axis.
 * @throws DTypeError for other types, or two types.
 */
export const bucketize = named("bucketize", (x: Tensor, boundaries: Tensor, options: SearchsortedOptions = {}): Tensor => {
	expects("bucketize", { x, boundaries, options }, { x: "tensor", boundaries: "tensor", options: "options" });
	if (boundaries.rank !== 1) {
		throw new ShapeError("shape/index", `bucketize: boundaries ${showShape(boundaries.shape)} must have one axis`, { op: "bucketize" });
	}
	return places("bucketize", { boundaries, x }, options);
});

/**
 * Whether each element of x is among those of `elements` (any shape), bool in x's shape: torch's and numpy's isin. NaN is among none.
 * Sorts the elements. Both f32, f16, i32 or u32. No gradient.
 * @throws DTypeError for other types, or two types.
 */
export const isin = named("isin", (x: Tensor, elements: Tensor): Tensor => {
	expects("isin", { x, elements }, { x: "tensor", elements: "tensor" });
	checkType("isin", elements, NUMBERS, "elements");
	const sorted = sortPrimitive.apply([reshape(elements, [elements.size])])[0];
	const at = reshape(places("isin", { elements: sorted, x }), [x.size]);
	const found = eq(reshape(gather(sorted, 0, at), x.shape), x);
	return logicalAnd(found, lt(reshape(at, x.shape), elements.size));
});
