import { contiguous, defineKernel, definePrimitive, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";

export const clipFactorsKernel = defineKernel("dp/clipFactors", {
	params: { n: "u32", clip: "f32", gamma: "f32", most: "f32", perGrid: "f32", unit: "f32" },
	buffers: { squares: reads("f32"), weights: reads("f32"), factors: writes("f32"), norms: writes("f32") },
	workgroup: 16,
	body: wgsl`
if (index >= p.n) { return; }
let sum = squares_at(index);
let norm = sqrt(sum);
let factor = select(-1.0, min(p.most, p.clip / max(norm + p.gamma, 1e-30)) * p.perGrid, isFinite(sum));
factors_set(index, select(0.0, factor, weights_at(index) > 0.0));
norms_set(index, norm * p.unit);`,
});

/** Attributes of `dp.clipFactors`. */
export type ClipFactors = {
	/** C, in multiples of the unit. */
	readonly clip: number;
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
 * Factor of each record, in grid steps: min(most, clip / (norm + gamma)) perGrid where its weight is above 0 (no weight counts for more than one
 * record), else 0; and its norm, in multiples of `unit`. A norm that is not finite gives −1; it is recognised by its bits, since WGSL may
 * assume that NaN and infinity do not occur.
 */
export const clipFactorsPrimitive: Primitive<ClipFactors> = definePrimitive({
	name: "dp.clipFactors",
	signature: "squares![B], weights![B] -> factors[B], norms[B]",
	attrs: { clip: 1, gamma: 0, most: 1, perGrid: 8, unit: 4 },
	forward: ({ runtime, inputs, axes: { B }, attrs }) => {
		const [squares, weights] = [contiguous(inputs.squares), contiguous(inputs.weights)];
		const [factors, norms] = [runtime.empty([1, B]), runtime.empty([1, B])];
		clipFactorsKernel.run({ squares, weights, factors, norms }, { n: B, ...attrs }, B);
		return [factors, norms];
	},
	grad: { squares: "none", weights: "none" },
	reference: ({ squares, weights }, { clip, gamma, most, perGrid, unit }) => {
		const norms = squares.data.map(Math.sqrt);
		const factorOf = (n: number): number => (Number.isFinite(n) ? Math.min(most, clip / Math.max(n + gamma, 1e-30)) * perGrid : -1);
		return [
			{ data: norms.map((n, i) => (weights.data[i] > 0 ? factorOf(n) : 0)), shape: squares.shape },
			{ data: norms.map((n) => n * unit), shape: squares.shape },
		];
	},
	test: {
		bound: { ulp: 12, why: "a root and a quotient" },
		variants: [{ gamma: 0.01, most: 1e30 }],
		domains: { squares: { range: [0, 4] }, weights: { whole: [0, 3] } },
	},
});
