import { contiguous, defineKernel, definePrimitive, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { PART, treeCode } from "./tree.ts";

export const clipFactorsKernel = defineKernel("dp/clipFactors", {
	params: { n: "u32", K: "u32", C: "u32", gamma: "f32", most: "f32", perGrid: "f32", unit: "f32" },
	buffers: { parts: reads("f32"), weights: reads("f32"), clips: reads("f32"), factors: writes("f32"), norms: writes("f32") },
	workgroup: 16,
	helpers: `fn term(i: u32) -> f32 { return parts_at(i); }${treeCode(1)}
fn square(i: u32) -> f32 {
  let end = (i + 1u) * p.C;
  var sums = vec4f(0.0);
  var last = 0u;
  for (var start = i * p.C; start < end; start += ${PART}u) {
    sums[last] = treeOf(start, min(start + ${PART}u, end));
    last++;
  }
  return (sums.x + sums.y) + (sums.z + sums.w);
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
  let scaled = min(p.most, clips_at(k) / max(sqrt(own) + p.gamma, 1e-30)) * p.perGrid;
  let factor = select(-1.0, scaled, isFinite(sum));
  factors_set(i, select(0.0, factor, weights_at(index) > 0.0));
}
norms_set(index, sqrt(sum) * p.unit);`,
});

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

/**
 * Factors of each record, one for each of K groups of coordinates, in grid steps: min(most, clip / (norm + gamma)) perGrid with the norm over
 * the group, the root of the sum of its C parts, at most 1024, where its weight is above 0 (no weight counts for more than one record), else 0; and its norm over all groups, in multiples
 * of `unit`. A record whose norm is not finite has −1 in every group; it is recognised by its bits, since WGSL may assume that NaN and
 * infinity do not occur.
 */
export const clipFactorsPrimitive: Primitive<ClipFactors> = definePrimitive({
	name: "dp.clipFactors",
	signature: "parts![B, K, C], weights![B], clips![K] -> factors[B, K], norms[B]",
	attrs: { gamma: 0, most: 1, perGrid: 8, unit: 4 },
	forward: ({ runtime, inputs, axes: { B, K, C }, attrs }) => {
		const [parts, weights, clips] = [inputs.parts, inputs.weights, inputs.clips].map(contiguous);
		const [factors, norms] = [runtime.empty([1, B, K]), runtime.empty([1, B])];
		clipFactorsKernel.run({ parts, weights, clips, factors, norms }, { n: B, K, C, ...attrs }, B);
		return [factors, norms];
	},
	grad: { parts: "none", weights: "none", clips: "none" },
	reference: ({ parts, weights, clips }, { gamma, most, perGrid, unit }) => {
		const [B, K, C] = parts.shape;
		const squares = Float64Array.from({ length: B * K }, (_, i) => parts.data.subarray(i * C, (i + 1) * C).reduce((s, v) => s + v, 0));
		const sums = Float64Array.from({ length: B }, (_, b) => squares.subarray(b * K, (b + 1) * K).reduce((s, v) => s + v, 0));
		const factorOf = (square: number, clip: number): number => Math.min(most, clip / Math.max(Math.sqrt(square) + gamma, 1e-30)) * perGrid;
		const factors = squares.map((square, i) => {
			const b = Math.floor(i / K);
			if (weights.data[b] <= 0) return 0;
			return Number.isFinite(sums[b]) ? factorOf(square, clips.data[i % K]) : -1;
		});
		return [
			{ data: factors, shape: [B, K] },
			{ data: sums.map((s) => Math.sqrt(s) * unit), shape: [B] },
		];
	},
	test: {
		bound: { ulp: 14, why: "sums, a root and a quotient" },
		variants: [{ gamma: 0.01, most: 1e30 }],
		domains: { parts: { range: [0, 4] }, weights: { whole: [0, 3] }, clips: { range: [0.1, 2] } },
		sizes: { K: [1, 3, 5], C: [1, 3, 256, 257, 1024] },
		nonEmpty: ["K"],
	},
});
