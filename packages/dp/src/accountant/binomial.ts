const NEGLIGIBLE = 2 ** -60;

/** Up to here the factors are added up one by one. */
const SMALL = 64;

/** What Stirling's formula lacks: ln n! − ln(√(2πn) (n/e)ⁿ), for n ≥ 64. */
const stirlingError = (n: number): number => (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * n * n)) / (n * n)) / (n * n)) / n;

/** ln of the binomial coefficient, n over k, to an absolute accuracy of about n·1e-16. Source: Loader 2000. */
export function logBinomial(k: number, n: number): number {
	const few = Math.min(k, n - k);
	const many = n - few;
	if (few > SMALL) {
		const entropy = -few * Math.log(few / n) - many * Math.log1p(-few / n);
		return entropy - Math.log(2 * Math.PI * few * (many / n)) / 2 + stirlingError(n) - stirlingError(few) - stirlingError(many);
	}
	let sum = 0;
	for (let i = 0; i < few; i++) sum += Math.log((n - i) / (few - i));
	return sum;
}

/** P[Binomial(n, p) > k], to a relative accuracy of about n·1e-16. */
export function binomialTail(k: number, n: number, p: number): number {
	if (k >= n) return 0;
	if (k < 0 || p === 1) return 1;
	const start = Math.max(k + 1, Math.min(n, Math.floor((n + 1) * p)));
	const logTerm = logBinomial(start, n) + start * Math.log(p) + (n - start) * Math.log1p(-p);
	const odds = p / (1 - p);
	let sum = 1;
	for (let i = start, term = 1; i < n && term > sum * NEGLIGIBLE; i++) {
		term *= ((n - i) / (i + 1)) * odds;
		sum += term;
	}
	for (let i = start, term = 1; i > k + 1 && term > sum * NEGLIGIBLE; i--) {
		term *= i / ((n - i + 1) * odds);
		sum += term;
	}
	return Math.min(1, Math.exp(logTerm) * sum);
}
