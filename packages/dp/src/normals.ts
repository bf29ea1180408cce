/**
 * Fills `out` with independent standard normals from `words`, four of 32 bits for two normals: Box–Muller in float64 from 53-bit uniforms, so
 * |z| ≤ 8.57 and the tail mass lost is 1e-17. The same work for every value: no rejection, so time tells nothing about the noise. Its text
 * runs in workers: it stands alone.
 */
export function normalsFrom(words: Uint32Array, out: Float64Array): void {
	for (let i = 0, w = 0; i < out.length; i += 2, w += 4) {
		const u = ((words[w] >>> 5) * 0x4000000 + (words[w + 1] >>> 6)) * 2 ** -53;
		const v = ((words[w + 2] >>> 5) * 0x4000000 + (words[w + 3] >>> 6)) * 2 ** -53;
		const radius = Math.sqrt(-2 * Math.log(1 - u));
		const angle = 2 * Math.PI * v;
		out[i] = radius * Math.cos(angle);
		if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle);
	}
}
