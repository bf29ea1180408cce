import { expects, named } from "@hushgrad/tensor/author";
import { checkDelta, checkNonNegative, checkPositive } from "../check.ts";
import { lastWhere } from "./bisect.ts";
import { logNormalDensity, millsRatio } from "./normal.ts";

/**
 * ln δ of the Gaussian mechanism at ε: δ = Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ), written as φ(a)·[R(a) − R(a + μ)] with a = ε/μ − μ/2
 * and Mills' ratio R, which neither overflows nor underflows.
 */
function logDelta(mu: number, epsilon: number): number {
	const a = epsilon / mu - mu / 2;
	if (a < -37) return 0;
	return logNormalDensity(a) + Math.log(millsRatio(a) - millsRatio(a + mu));
}

/**
 * δ(ε) of the Gaussian mechanism with sensitivity-to-noise ratio `mu` = μ (√T/σ for T full batches with noise multiplier σ), exact:
 * the smallest δ for which it is (ε, δ)-differentially private. Relative error below 1e-12·(1 + 1/μ). Source: Balle, Wang 2018.
 * @throws ValueError for mu not above 0 or epsilon below 0.
 */
export const gaussianDelta = named("gaussianDelta", (mu: number, epsilon: number): number => {
	expects("gaussianDelta", { mu, epsilon }, { mu: "number", epsilon: "number" });
	checkPositive("mu", mu);
	checkNonNegative("epsilon", epsilon);
	return Math.exp(logDelta(mu, epsilon));
});

/**
 * ε(δ) of the Gaussian mechanism with ratio `mu`: the smallest ε ≥ 0 for which it is (ε, δ)-differentially private; the inverse of
 * `gaussianDelta`. Error below 1e-12 relative to ε.
 * @throws ValueError for mu not above 0 or delta outside (0, 1).
 */
export const gaussianEpsilon = named("gaussianEpsilon", (mu: number, delta: number): number => {
	expects("gaussianEpsilon", { mu, delta }, { mu: "number", delta: "number" });
	checkPositive("mu", mu);
	checkDelta(delta);
	const above = (epsilon: number) => logDelta(mu, epsilon) > Math.log(delta);
	if (!above(0)) return 0;
	return lastWhere(above, 0, mu * (mu / 2 + Math.sqrt(-2 * Math.log(delta)) + 1));
});

/**
 * The largest μ for which the Gaussian mechanism is (ε, δ)-differentially private; the smallest noise multiplier of T full batches is
 * √T/μ. Relative error below 1e-12.
 * @throws ValueError for epsilon not above 0 or delta outside (0, 1).
 */
export const gaussianMu = named("gaussianMu", (epsilon: number, delta: number): number => {
	expects("gaussianMu", { epsilon, delta }, { epsilon: "number", delta: "number" });
	checkPositive("epsilon", epsilon);
	checkDelta(delta);
	const allowed = (mu: number) => logDelta(mu, epsilon) <= Math.log(delta);
	let high = 1;
	while (allowed(high)) high *= 2;
	let low = high / 2;
	while (!allowed(low)) low /= 2;
	return lastWhere(allowed, low, high);
});
