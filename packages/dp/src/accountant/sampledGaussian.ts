import { named } from "@hushgrad/tensor/author";
import { checkNonNegative, checkPositive, checkSampleRate, refuse } from "../check.ts";

/** Half-width of the integration window in deviations: what lies beyond weighs less than e⁻⁹⁸. */
const TAIL = 14;
const TAYLOR_LIMIT = 0.5;
const TAYLOR_DEGREE = 16;
const LOG_DOMAIN_FROM = 600;
/** More terms would take minutes. */
const MOST_NODES = 2 ** 31;

/** eˣ − 1 − x, ≥ 0, to a few ulps for every x. */
function expm1MinusX(x: number): number {
	if (Math.abs(x) > TAYLOR_LIMIT) return Math.expm1(x) - x;
	let series = 1;
	for (let k = TAYLOR_DEGREE; k > 2; k--) series = 1 + (x * series) / k;
	return ((x * x) / 2) * series;
}

/** ln((1−q) + q·eˣ). */
function logLikelihoodRatio(q: number, x: number): number {
	return x < LOG_DOMAIN_FROM ? Math.log1p(q * Math.expm1(x)) : x + Math.log(q) + Math.log1p(((1 - q) / q) * Math.exp(-x));
}

/**
 * ln((1+u)^α − 1 − αu) for ℓ = ln(1+u). Written with h(x) = eˣ−1−x it is h(αℓ) − α·h(ℓ), which loses at most a factor
 * α/(α−1) to cancellation.
 */
function logBracket(l: number, alpha: number): number {
	if (alpha * l > LOG_DOMAIN_FROM) return alpha * l + Math.log1p(-alpha * Math.exp((1 - alpha) * l));
	return Math.log(expm1MinusX(alpha * l) - alpha * expm1MinusX(l));
}

/**
 * Log moment of the sampled Gaussian: ln A(α), A(α) = E_{z~N(0,σ²)}[((1−q) + q·e^((2z−1)/(2σ²)))^α], for q in [0, 1], σ ≥ 0 and α
 * > 1. 0 for q = 0, ∞ for σ = 0, α(α−1)/(2σ²) for q = 1.
 *
 * With u = q·expm1((2z−1)/(2σ²)), E[u] = 0, so A − 1 = ∫ φ_σ(z)·[(1+u)^α − 1 − αu] dz has an integrand ≥ 0, summed by the
 * trapezoid rule with step σ/8 over [−14σ, α + 14σ]. Float64; relative error below 1e-12 for every real α > 1. Source: Mironov,
 * Talwar, Zhang 2019 (the moment).
 * @throws ValueError for arguments outside of that, and for an order so large beside σ that the sum would not end.
 */
export const logMoment = named("logMoment", (q: number, sigma: number, alpha: number): number => {
	checkSampleRate(q);
	checkNonNegative("noiseMultiplier", sigma);
	checkPositive("order", alpha);
	if (q === 0) return 0;
	if (sigma === 0) return Number.POSITIVE_INFINITY;
	const variance = sigma * sigma;
	if (q === 1) return (alpha * (alpha - 1)) / (2 * variance);
	const step = sigma / 8;
	const nodes = Math.ceil((alpha + 2 * TAIL * sigma) / step);
	if (nodes > MOST_NODES) refuse("order", `so small that the sum has at most ${MOST_NODES} terms, about 8 order / noiseMultiplier`, alpha);
	let peak = Number.NEGATIVE_INFINITY;
	let sum = 0;
	for (let i = 0; i <= nodes; i++) {
		const z = i * step - TAIL * sigma;
		const l = logLikelihoodRatio(q, (2 * z - 1) / (2 * variance));
		const term = logBracket(l, alpha) - (z * z) / (2 * variance);
		if (term > peak) {
			sum = sum * Math.exp(peak - term) + 1;
			peak = term;
		} else if (term > Number.NEGATIVE_INFINITY) {
			sum += Math.exp(term - peak);
		}
	}
	const logExcess = peak + Math.log(sum) + Math.log(step / (sigma * Math.sqrt(2 * Math.PI)));
	return logExcess > 0 ? logExcess + Math.log1p(Math.exp(-logExcess)) : Math.log1p(Math.exp(logExcess));
});
