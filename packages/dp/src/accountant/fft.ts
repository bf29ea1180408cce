/** Transforms `re` + i·`im` in place. */
export type Transform = (re: Float64Array, im: Float64Array) => void;

/**
 * The discrete Fourier transform of `size` points (a power of two), Σ_k x_k·e^(−2πi·jk/size), float64, in place. The inverse is
 * the same with `re` and `im` exchanged, divided by `size`.
 *
 * Its own, and radix 2, because what the accountant adds for round-off is a bound on exactly these operations
 * (`FFT_ERROR_PER_STAGE`); a package would be a dependency of the guarantee.
 */
export function fft(size: number): Transform {
	const cos = new Float64Array(size / 2);
	const sin = new Float64Array(size / 2);
	for (let k = 0; k < size / 2; k++) {
		cos[k] = Math.cos((2 * Math.PI * k) / size);
		sin[k] = -Math.sin((2 * Math.PI * k) / size);
	}
	return (re, im) => {
		reverseBits(re, im);
		for (let half = 1; half < size; half *= 2) {
			const stride = size / (2 * half);
			for (let start = 0; start < size; start += 2 * half) {
				for (let k = 0; k < half; k++) {
					const i = start + k;
					const j = i + half;
					const c = cos[k * stride];
					const s = sin[k * stride];
					const x = re[j] * c - im[j] * s;
					const y = re[j] * s + im[j] * c;
					re[j] = re[i] - x;
					im[j] = im[i] - y;
					re[i] += x;
					im[i] += y;
				}
			}
		}
	};
}

/**
 * Bound on the error of one output after one of the log₂(size) stages, relative to Σ|x_k|: √5·u of a complex product (Brent,
 * Percival, Zimmermann 2007), 2u of its factor (sine and cosine to 1 ulp), u of the sum; u = 2⁻⁵³.
 */
export const FFT_ERROR_PER_STAGE = (Math.sqrt(5) + 3) * 2 ** -53;

function reverseBits(re: Float64Array, im: Float64Array): void {
	const size = re.length;
	for (let i = 1, j = 0; i < size; i++) {
		let bit = size >> 1;
		for (; j & bit; bit >>= 1) j ^= bit;
		j ^= bit;
		if (i >= j) continue;
		const x = re[i];
		const y = im[i];
		re[i] = re[j];
		im[i] = im[j];
		re[j] = x;
		im[j] = y;
	}
}
