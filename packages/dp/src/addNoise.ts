import { contiguous, defineKernel, definePrimitive, reads, wgsl, writes } from "@hushgrad/tensor/author";

/** Whole numbers below 2⁵¹ in amount added to it are whole numbers in float64 too, and show in its bits as integers in two's complement. */
export const BITS_OFFSET = 2 ** 52 + 2 ** 51;
/** Upper word of the bits of `BITS_OFFSET`. */
const OFFSET_WORD = 0x43380000;

export const addNoiseKernel = defineKernel("dp/addNoise", {
	params: { n: "u32", scale: "f32" },
	buffers: { sum: reads("i32"), noise: reads("u32"), mean: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let s = sum_at(index);
let word = noise_at(2u * index);
let low = (word & 0x1fffffu) + (bitcast<u32>(s) & 0x1fffffu);
let high = bitcast<i32>(((noise_at(2u * index + 1u) - ${OFFSET_WORD}u) << 11u) | (word >> 21u)) + (s >> 21u) + i32(low >> 21u);
let steps = f32(high) * 2097152.0 + f32(low & 0x1fffffu);
mean_set(index, steps * 0x1p-22 * p.scale);`,
});

/**
 * mean = (sum + noise) 2⁻²² scale, in place: the sum in i32, the noise as bits of float64, low word first, of whole numbers to which
 * `BITS_OFFSET` was added. The sum of both is below 2⁵² in amount, and exact: the only rounding is that of its exact value to f32, and of
 * the product. So the result depends on sum + noise alone, and on neither of them.
 */
export const addNoisePrimitive = definePrimitive({
	name: "dp.addNoise",
	signature: "mean![N], sum![N], noise![N, 2] -> mean[N]",
	dtypes: { sum: ["i32"], noise: ["u32"] },
	attrs: { scale: 1 },
	forward: ({ inputs: { mean, sum, noise }, axes: { N }, attrs: { scale } }) => {
		addNoiseKernel.run({ mean, sum: contiguous(sum), noise: contiguous(noise) }, { n: N, scale }, N);
		return [];
	},
	grad: { mean: "none", sum: "none", noise: "none" },
	reference: ({ mean, sum, noise }, { scale }) => {
		const noiseAt = (i: number): number => (noise.data[2 * i + 1] - OFFSET_WORD) * 2 ** 32 + noise.data[2 * i];
		return [{ data: mean.data.map((_, i) => (sum.data[i] + noiseAt(i)) * 2 ** -22 * scale), shape: mean.shape }];
	},
	test: {
		bound: { ulp: 2, why: "a whole number to f32, a product" },
		domains: { sum: { whole: [-(2 ** 31), 2 ** 31 - 1] }, noise: { whole: [OFFSET_WORD - 2 ** 10, OFFSET_WORD + 2 ** 10] } },
		variants: [{ scale: 0.75 }],
	},
});
