import { contiguous, defineKernel, definePrimitive, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";

export const clipFactorsKernel = defineKernel("dp/clipFactors", {
	params: { n: "u32", clip: "f32", perGrid: "f32", unit: "f32" },
	buffers: { squares: reads("f32"), weights: reads("f32"), factors: writes("f32"), norms: writes("f32") },
	workgroup: 16,
	body: wgsl`
if (index >= p.n) { return; }
let sum = squares_at(index);
let norm = sqrt(sum);
let factor = select(-1.0, min(1.0, p.clip / max(norm, 1e-30)) * p.perGrid, isFinite(sum));
factors_set(index, select(0.0, factor, weights_at(index) > 0.0));
norms_set(index, norm * p.unit);`,
});

/**
 * Factor of each record, in grid steps: min(1, clip / norm) perGrid where its weight is above 0 (no weight counts for more than one
 * record), else 0; and its norm, in multiples of `unit`. A norm that is not finite gives −1; it is recognised by its bits, since WGSL may
 * assume that NaN and infinity do not occur.
 */
export const clipFactorsPrimitive: Primitive<{ clip: number; perGrid: number; unit: number }> = definePrimitive({
	name: "dp.clipFactors",
	signature: "squares![B], weights![B] -> factors[B], norms[B]",
	attrs: { clip: 1, perGrid: 8, unit: 4 },
	forward: ({ runtime, inputs, axes: { B }, attrs }) => {
		const [squares, weights] = [contiguous(inputs.squares), contiguous(inputs.weights)];
		const [factors, norms] = [runtime.empty([1, B]), runtime.empty([1, B])];
		clipFactorsKernel.run({ squares, weights, factors, norms }, { n: B, ...attrs }, B);
		return [factors, norms];
	},
	grad: { squares: "none", weights: "none" },
	reference: ({ squares, weights }, { clip, perGrid, unit }) => {
		const norms = squares.data.map(Math.sqrt);
		const factorOf = (n: number): number => (Number.isFinite(n) ? Math.min(1, clip / Math.max(n, 1e-30)) * perGrid : -1);
		return [
			{ data: norms.map((n, i) => (weights.data[i] > 0 ? factorOf(n) : 0)), shape: squares.shape },
			{ data: norms.map((n) => n * unit), shape: squares.shape },
		];
	},
	test: {
		bound: { ulp: 12, why: "a root and a quotient" },
		domains: { squares: { range: [0, 4] }, weights: { whole: [0, 3] } },
	},
});
