import { logAdd, type Mechanism } from "./lossPair.ts";
import { logNormalDensity } from "./normal.ts";

/** Half-width in deviations of the outputs followed, so that each normal tail beyond weighs at most tail/4. */
const halfWidth = (tail: number) => Math.sqrt(-2 * Math.log(tail / 2));

/** ln(1 − q + q·e^x) and, its inverse, the x at which it is t. */
export const logSampled = (q: number, x: number) => {
	if (q === 1) return x;
	return x < 30 ? Math.log1p(q * Math.expm1(x)) : x + Math.log(q) + Math.log1p(((1 - q) / q) * Math.exp(-x));
};
export const exponentAt = (q: number, t: number) => {
	if (q === 1) return t;
	return t < 30 ? Math.log1p(Math.max(-1, Math.expm1(t) / q)) : t - Math.log(q) + Math.log1p((q - 1) * Math.exp(-t));
};

/**
 * One step of the Poisson-sampled Gaussian: Q = N(0, 1), P = (1−q)·N(0, 1) + q·N(s, 1) with s = 1/σ. What lies beyond the outputs
 * followed weighs at most `tail`.
 */
export function sampledGaussian(q: number, sigma: number, tail: number): Mechanism {
	const s = 1 / sigma;
	const width = halfWidth(tail);
	return {
		low: -width,
		high: s + width,
		logRatio: (u) => logSampled(q, s * u - (s * s) / 2),
		outputAt: (t) => exponentAt(q, t) / s + s / 2,
		logDensity: logNormalDensity,
		scaleAt: (u) => Math.min(1, sigma, 1 / Math.abs(u)),
		beyond: tail,
	};
}

/**
 * One step of the sampled Gaussian where a record is replaced by its opposite: Q = (1−q)·N(0, 1) + q·N(−s, 1) and P with +s.
 * What lies beyond the outputs followed weighs at most `tail`.
 */
export function replacedGaussian(q: number, sigma: number, tail: number): Mechanism {
	const s = 1 / sigma;
	const width = halfWidth(tail);
	const c = -(s * s) / 2;
	return {
		low: -s - width,
		high: s + width,
		logRatio: (u) => logSampled(q, s * u + c) - logSampled(q, c - s * u),
		outputAt: (t) => {
			if (t < 0) return -replacedOutput(q, s, -t);
			return replacedOutput(q, s, t);
		},
		logDensity: (u) => logNormalDensity(u) + logSampled(q, c - s * u),
		scaleAt: (u) => Math.min(1, sigma, 1 / Math.abs(u)) / 2,
		beyond: tail,
	};
}

/** u ≥ 0 with (1−q + qc·w)/(1−q + qc/w) = e^t, w = e^(s·u), ln c = −s²/2: the positive root of qc·w² − (1−q)(e^t − 1)·w − qc·e^t. */
function replacedOutput(q: number, s: number, t: number): number {
	const logB = Math.log((1 - q) / q) + (s * s) / 2 + (t > 30 ? t : Math.log(Math.expm1(t))) - Math.LN2;
	// w = B + √(B² + e^t), in logarithms
	return logAdd(logB, logAdd(2 * logB, t) / 2) / s;
}
