/**
 * Two neighbouring outputs as their likelihood ratio r on a grid: under the law Q (the record is not there) r takes the value e^(i·h)
 * with probability exp(logMass[i − first]); under P (it is) with e^(i·h) times that. `atZero` is the probability under Q, `atInfinity`
 * the one under P, of outputs that are counted as telling the two apart.
 *
 * Such a pair *dominates* a mechanism when, at every ε and in both directions, it has the larger δ. δ is the expectation under Q of a
 * convex function of r in both directions, so a pair stays dominating when mass is moved apart and its mean kept: this is "connect
 * the dots" (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022), and one pair serves both directions.
 */
export interface LossPair {
	/** Spacing h of the grid of log ratios. */
	readonly step: number;
	/** Index of the lowest log ratio. */
	readonly first: number;
	/** ln of the mass under Q at each log ratio, −∞ where there is none. */
	readonly logMass: Float64Array;
	/** Mass under Q that is given away. */
	readonly atZero: number;
	/** Mass under P that is given away. */
	readonly atInfinity: number;
}

/** A mechanism with one real output u and a log likelihood ratio that grows with u. */
export interface Mechanism {
	/** Outputs from `low` to `high` are followed; those beyond are given away. */
	readonly low: number;
	/** See `low`. */
	readonly high: number;
	/** ln(P(u)/Q(u)). */
	readonly logRatio: (u: number) => number;
	/** The u at which the log ratio is t; ∓∞ where t is below or above all of them. */
	readonly outputAt: (t: number) => number;
	/** ln of the density of u under Q. */
	readonly logDensity: (u: number) => number;
	/** Length over which ratio and density change by a factor of about e near u. */
	readonly scaleAt: (u: number) => number;
	/** Bound on the mass beyond `low` and `high`, under Q as under P. */
	readonly beyond: number;
}

/** Most points of a grid. */
export const MOST_POINTS = 2 ** 21;

/** A grid of this spacing needs more than `MOST_POINTS`. */
export class TooManyPoints extends RangeError {}

/** Gauss–Legendre nodes and weights on [−1, 1] of degree 7: on a panel of an eighth of the scale its error is below 1e-16. */
const NODES = [
	[-0.8611363115940526, 0.34785484513745385],
	[-0.33998104358485626, 0.6521451548625461],
	[0.33998104358485626, 0.6521451548625461],
	[0.8611363115940526, 0.34785484513745385],
];
const PANELS_PER_SCALE = 8;

/**
 * The dominating pair of a mechanism on the grid of spacing `step`: the mass between two neighbouring log ratios is shared out
 * between them so that mass and mean ratio stay. Every term is positive and integrated by Gauss–Legendre quadrature, so that each
 * mass has a small *relative* error however small it is. With `shift`, of the ratio times e^(−shift).
 * @throws TooManyPoints
 */
export function discretise(mechanism: Mechanism, step: number, shift = 0): LossPair {
	const { low, high, logRatio, outputAt, logDensity, scaleAt, beyond } = mechanism;
	const first = Math.floor((logRatio(low) - shift) / step);
	const last = Math.max(first, Math.ceil((logRatio(high) - shift) / step) - 1);
	if (last - first > MOST_POINTS) throw new TooManyPoints();
	const logMass = new Float64Array(last - first + 2).fill(Number.NEGATIVE_INFINITY);
	const cell = Math.expm1(step);
	let from = low;
	for (let i = first; i <= last; i++) {
		const bottom = i * step + shift;
		const to = i === last ? high : Math.min(high, Math.max(from, outputAt(bottom + step)));
		if (to > from) {
			const scale = Math.min(scaleAt(from), scaleAt(to));
			const panels = Math.ceil(((to - from) * PANELS_PER_SCALE) / scale);
			const half = (to - from) / (2 * panels);
			const reference = Math.max(logDensity(from), logDensity(to));
			let mass = 0;
			let upper = 0;
			for (let p = 0; p < panels; p++) {
				const centre = from + (2 * p + 1) * half;
				for (const [node, weight] of NODES) {
					const u = centre + half * node;
					const share = Math.min(1, Math.max(0, Math.expm1(logRatio(u) - bottom) / cell));
					const term = weight * Math.exp(logDensity(u) - reference);
					mass += term;
					upper += share * term;
				}
			}
			const scaleLog = reference + Math.log(half);
			logMass[i - first] = logAdd(logMass[i - first], scaleLog + Math.log(mass - upper));
			logMass[i - first + 1] = scaleLog + Math.log(upper);
		}
		from = to;
	}
	return { step, first, logMass, atZero: beyond, atInfinity: beyond };
}

/** The pair that shows, besides its output, which of two mechanisms ran: `one` with probability `weight`, else `other`. */
export function mixture(one: LossPair, other: LossPair, weight: number): LossPair {
	const first = Math.min(one.first, other.first);
	const end = Math.max(one.first + one.logMass.length, other.first + other.logMass.length);
	const logMass = new Float64Array(end - first).fill(Number.NEGATIVE_INFINITY);
	const parts: [LossPair, number][] = [
		[one, Math.log(weight)],
		[other, Math.log1p(-weight)],
	];
	for (const [part, logWeight] of parts) {
		part.logMass.forEach((value, i) => {
			const at = part.first - first + i;
			logMass[at] = logAdd(logMass[at], value + logWeight);
		});
	}
	return {
		step: one.step,
		first,
		logMass,
		atZero: weight * one.atZero + (1 - weight) * other.atZero,
		atInfinity: weight * one.atInfinity + (1 - weight) * other.atInfinity,
	};
}

/** The pair on a grid `factor` times as wide, its dots connected again: dominating, and with fewer points. */
export function coarsened({ step, first, logMass, atZero, atInfinity }: LossPair, factor: number): LossPair {
	const start = Math.floor(first / factor);
	const out = new Float64Array(Math.floor((first + logMass.length - 1) / factor) - start + 2).fill(Number.NEGATIVE_INFINITY);
	const shares = Float64Array.from({ length: factor }, (_, j) => Math.expm1(j * step) / Math.expm1(factor * step));
	for (let i = 0; i < logMass.length; i++) {
		const cell = Math.floor((first + i) / factor);
		const share = shares[first + i - cell * factor];
		out[cell - start] = logAdd(out[cell - start], logMass[i] + Math.log1p(-share));
		if (share > 0) out[cell - start + 1] = logAdd(out[cell - start + 1], logMass[i] + Math.log(share));
	}
	return { step: step * factor, first: start, logMass: out, atZero, atInfinity };
}

/** The pair with the roles of P and Q exchanged: a record that is added, where it was removed. */
export function swapped({ step, first, logMass, atZero, atInfinity }: LossPair): LossPair {
	const end = first + logMass.length - 1;
	return {
		step,
		first: -end,
		logMass: logMass.map((value, i) => value + (first + i) * step).reverse(),
		atZero: atInfinity,
		atInfinity: atZero,
	};
}

/** ln(e^a + e^b). */
export function logAdd(a: number, b: number): number {
	const high = Math.max(a, b);
	return high === Number.NEGATIVE_INFINITY ? high : high + Math.log1p(Math.exp(Math.min(a, b) - high));
}
