/** Standard normal CDF to float64 accuracy (Marsaglia 2004: ½ + φ(x)·Σ x^(2k+1)/(2k+1)!!). */
export function normalCdf(x: number): number {
	if (x < -8) return 0;
	if (x > 8) return 1;
	let term = x;
	let sum = x;
	for (let k = 3; sum + term !== sum; k += 2) {
		term *= (x * x) / k;
		sum += term;
	}
	return 0.5 + (sum * Math.exp(-(x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

/** √n times the Kolmogorov–Smirnov distance of the values from the standard normal. P(> k) ≈ 2·exp(−2k²). */
export function kolmogorovSmirnov(values: Float64Array): number {
	const n = values.length;
	let distance = 0;
	values.toSorted().forEach((x, i) => {
		const p = normalCdf(x);
		distance = Math.max(distance, Math.abs((i + 1) / n - p), Math.abs(i / n - p));
	});
	return distance * Math.sqrt(n);
}

/** Mean of x^power. */
export function moment(values: Float64Array, power: number): number {
	return values.reduce((sum, x) => sum + x ** power, 0) / values.length;
}

/** Mean of the products of two samples of zero mean and unit variance, times √n: a standard normal if they are independent. */
export function correlation(a: Float64Array, b: Float64Array): number {
	return a.reduce((sum, x, i) => sum + x * b[i], 0) / Math.sqrt(a.length);
}

/** Σ (observed − expected)²/expected. */
export function chiSquare(observed: readonly number[], expected: readonly number[]): number {
	return observed.reduce((sum, count, i) => sum + (count - expected[i]) ** 2 / expected[i], 0);
}

/** Upper quantile of χ² by Wilson–Hilferty; `deviations` is the normal quantile (5.2 ↔ 1e-7). */
export function chiSquareQuantile(degrees: number, deviations: number): number {
	return degrees * (1 - 2 / (9 * degrees) + deviations * Math.sqrt(2 / (9 * degrees))) ** 3;
}
