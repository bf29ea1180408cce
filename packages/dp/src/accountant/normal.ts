/** Spacing of the trapezoid rule: its error is e^(−π²/h²) = 7e-18. */
const SPACING = 0.5;
const TERMS = 13;
const LOG_SQRT_2PI = 0.5 * Math.log(2 * Math.PI);

/** e^(z²)·erfc(z) for z ≥ 0, to a few ulps: trapezoid rule with the residue of its pole. Source: Matta, Reichel 1971. */
function erfcx(z: number): number {
	let sum = 0;
	for (let k = 0; k < TERMS; k++) {
		const node = (k + 0.5) * SPACING;
		sum += Math.exp(-node * node) / (z * z + node * node);
	}
	const rule = ((2 * SPACING * z) / Math.PI) * sum;
	const turn = (2 * Math.PI * z) / SPACING;
	return turn > 80 ? rule : rule + (2 * Math.exp(z * z - turn)) / (1 + Math.exp(-turn));
}

/** Mills' ratio Φ(−x)/φ(x) of the standard normal, for every x above −37; relative error below 1e-15. */
export function millsRatio(x: number): number {
	const positive = Math.sqrt(Math.PI / 2) * erfcx(Math.abs(x) / Math.SQRT2);
	return x >= 0 ? positive : Math.exp(LOG_SQRT_2PI + (x * x) / 2) - positive;
}

/** ln φ(x), the log density of the standard normal. */
export function logNormalDensity(x: number): number {
	return -(x * x) / 2 - LOG_SQRT_2PI;
}

/** Φ(x), the distribution function of the standard normal; relative error below 1e-15·(1 + x²). */
export function normalCdf(x: number): number {
	return x > 0 ? 1 - normalCdf(-x) : Math.exp(logNormalDensity(x)) * millsRatio(-x);
}

/**
 * Φ⁻¹(p) for p in (0, 1), to about 1e-15; ∓∞ at 0 and 1. Newton's method for ln Φ, which is concave, from the left: Φ(x) ≤ e^(−x²/2)/2 for
 * x ≤ 0.
 */
export function normalQuantile(p: number): number {
	if (p > 0.5) return -normalQuantile(1 - p);
	let x = -Math.sqrt(-2 * Math.log(2 * p));
	for (;;) {
		const ratio = millsRatio(-x);
		const step = ratio * (Math.log(p) - logNormalDensity(x) - Math.log(ratio));
		if (!(step > -x * 2 ** -52)) return x;
		x += step;
	}
}
