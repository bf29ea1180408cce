import {
	type BufferSpec,
	contiguous,
	defineKernel,
	definePrimitive,
	type NdArray,
	type ParamType,
	type Primitive,
	reads,
	wgsl,
	writes,
} from "@hushgrad/tensor/author";

const PARAMS = { n: "u32", K: "u32", C: "u32", gamma: "f32", most: "f32", perGrid: "f32", unit: "f32" } as const;

/** `alike`: all groups are clipped to one norm, a number. */
export const clipFactorsKernel = defineKernel("dp/clipFactors", ({ alike }: { alike: boolean }) => ({
	params: { ...PARAMS, ...(alike && { clip: "f32" as const }) } as Readonly<Record<string, ParamType>>,
	buffers: {
		...{ parts: reads("f32"), weights: reads("f32"), factors: writes("f32"), norms: writes("f32") },
		...(alike ? {} : { clips: reads("f32") }),
	} as Readonly<Record<string, BufferSpec>>,
	workgroup: 16,
	helpers: wgsl`fn square(i: u32) -> f32 {
  var sum = vec2f();
  for (var at = i * p.C; at < (i + 1u) * p.C; at++) { sum = added(sum, parts_at(at), p.n >> 31u); }
  return sum.x;
}`,
	body: wgsl`
if (index >= p.n) { return; }
var own = 0.0;
var sum = 0.0;
for (var k = 0u; k < p.K; k++) {
  own = square(index * p.K + k);
  sum += own;
}
for (var k = 0u; k < p.K; k++) {
  let i = index * p.K + k;
  if (p.K > 1u) { own = square(i); }
  let scaled = min(p.most, ${alike ? "p.clip" : "clips_at(k)"} / max(sqrt(own) + p.gamma, 1e-30)) * p.perGrid;
  let factor = select(-1.0, scaled, isFinite(sum));
  factors_set(i, select(0.0, factor, weights_at(index) > 0.0));
}
norms_set(index, sqrt(sum) * p.unit);`,
}));

/** Attributes of `dp.clipFactors`. */
export type ClipFactors = {
	/** Added to a norm, in multiples of the unit. */
	readonly gamma: number;
	/** What a factor is at most. */
	readonly most: number;
	/** Grid steps in a gradient of 1. */
	readonly perGrid: number;
	/** The unit of the norms. */
	readonly unit: number;
};

type Alike = ClipFactors & { readonly clip: number };

/** Of K groups with norms of their own, an operand, or all with one, an attribute. */
function defineFactors<A extends ClipFactors>(
	name: string,
	alike: boolean,
	attrs: A,
	clipOf: (attrs: A, clips: NdArray, k: number) => number,
): Primitive<A> {
	return definePrimitive<A, string>({
		name,
		signature: `parts![B, K, C], weights![B]${alike ? "" : ", clips![K]"} -> factors[B, K], norms[B]`,
		attrs,
		forward: ({ runtime, inputs, axes: { B, K, C }, attrs }) => {
			const given = Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, contiguous(x)]));
			const [factors, norms] = [runtime.empty([1, B, K]), runtime.empty([1, B])];
			clipFactorsKernel.of({ alike }).run({ ...given, factors, norms }, { n: B, K, C, ...attrs }, B);
			return [factors, norms];
		},
		grad: { parts: "none", weights: "none", ...(alike ? {} : { clips: "none" }) },
		reference: ({ parts, weights, clips }, attrs) => {
			const { gamma, most, perGrid, unit } = attrs;
			const [B, K, C] = parts.shape;
			const squares = Float64Array.from({ length: B * K }, (_, i) => parts.data.subarray(i * C, (i + 1) * C).reduce((s, v) => s + v, 0));
			const sums = Float64Array.from({ length: B }, (_, b) => squares.subarray(b * K, (b + 1) * K).reduce((s, v) => s + v, 0));
			const factorOf = (square: number, clip: number): number =>
				Math.min(most, clip / Math.max(Math.sqrt(square) + gamma, 1e-30)) * perGrid;
			const factors = squares.map((square, i) => {
				const b = Math.floor(i / K);
				if (weights.data[b] <= 0) return 0;
				return Number.isFinite(sums[b]) ? factorOf(square, clipOf(attrs, clips, i % K)) : -1;
			});
			return [
				{ data: factors, shape: [B, K] },
				{ data: sums.map((s) => Math.sqrt(s) * unit), shape: [B] },
			];
		},
		test: {
			bound: { ulp: 14, why: "sums, a root and a quotient" },
			variants: [{ gamma: 0.01, most: 1e30 } as Partial<A>],
			domains: { parts: { range: [0, 4] }, weights: { whole: [0, 3] }, ...(alike ? {} : { clips: { range: [0.1, 2] as const } }) },
			sizes: { K: [1, 3, 5], C: [1, 3, 256, 257, 1024] },
			nonEmpty: ["K"],
		},
	});
}

const ATTRS: ClipFactors = { gamma: 0, most: 1, perGrid: 8, unit: 4 };

/**
 * Factors of each record, one for each of K groups of coordinates, in grid steps: min(most, clip / (norm + gamma)) perGrid with the norm over
 * the group, the root of the sum of its C parts, where its weight is above 0 (no weight counts for more than one record), else 0; and its norm over all groups, in multiples
 * of `unit`. A record whose norm is not finite has −1 in every group; it is recognised by its bits, since WGSL may assume that NaN and
 * infinity do not occur.
 */
export const clipFactorsPrimitive: Primitive<ClipFactors> = defineFactors("dp.clipFactors", false, ATTRS, (_, clips, k) => clips.data[k]);

/** The same where all groups are clipped to one norm, `clip`. */
export const clipFactorsAlikePrimitive: Primitive<Alike> = defineFactors<Alike>(
	"dp.clipFactors.alike",
	true,
	{ ...ATTRS, clip: 0.75 },
	({ clip }) => clip,
);
