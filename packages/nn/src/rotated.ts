import type { NdArray } from "@hushgrad/tensor/author";

/** Rows of x [H, K], rotated by row t of the tables [P, K/2], in float64. */
export function rotated(x: NdArray, cos: NdArray, sin: NdArray, t: number): Float64Array {
	const K = x.shape[1];
	const J = K / 2;
	return x.data.map((v, i) => {
		const d = i % K;
		const at = t * J + (d % J);
		return v * cos.data[at] + (d < J ? -x.data[i + J] : x.data[i - J]) * sin.data[at];
	});
}
