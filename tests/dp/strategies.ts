/** Rows. */
export type Matrix = readonly (readonly number[])[];

/** C of so many steps, scaled to columns of norm 1, each over the factor of its step. */
export function strategy(coefs: readonly number[], steps: number, factorAt: (step: number) => number = () => 1): Matrix {
	const all = Array.from({ length: steps }, (_, t) => t);
	const columns = all.map((s) => all.map((t) => (t < s ? 0 : (coefs[t - s] ?? 0))));
	return all.map((t) => all.map((s) => columns[s][t] / (Math.hypot(...columns[s]) * factorAt(s + 1))));
}

/** The inverse of a lower triangular matrix, by substitution. */
export function inverse(m: Matrix): Matrix {
	const out = m.map((row) => row.map(() => 0));
	for (let column = 0; column < m.length; column++) {
		for (let t = column; t < m.length; t++) {
			let rest = t === column ? 1 : 0;
			for (let s = column; s < t; s++) rest -= m[t][s] * out[s][column];
			out[t][column] = rest / m[t][t];
		}
	}
	return out;
}

/** Σ over the steps of a bin of the columns of C, each times what a record adds there. */
export const contribution = (m: Matrix, p: number, bin: number, of: (step: number) => number = () => 1): number[] =>
	m.map((row) => row.reduce((sum, c, s) => sum + (s % p === bin ? c * of(s) : 0), 0));

/** ⟨a, b⟩. */
export const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, i) => sum + v * b[i], 0);

/** A run of independent noise σ in all steps. */
export const run = (strategyCoefs: readonly number[], stepsPerCycle: number, steps: number, noiseMultiplier = 1) => ({
	...{ strategyCoefs, stepsPerCycle, steps, taken: steps, noiseMultiplier },
	factorAt: () => 1,
});

/** Powers of a number, cut off. */
export const LAMBDA = [1, 0.7, 0.49, 0.343, 0.2401];
