import { discretise, type LossPair } from "./lossPair.ts";
import { sampledGaussian } from "./sampledPair.ts";

/** Masses under Q of a part of the ratio on e^(i·step), i ≥ first, and what was cut off of it. */
interface RatioLaw {
	readonly step: number;
	readonly first: number;
	readonly mass: Float64Array;
	/** All masses but every so many are 0, from the first on: a power of 2. */
	readonly stride: number;
	/** Mean of the part. */
	readonly mean: number;
	/** Probability under Q of what was cut off. */
	readonly lostMass: number;
	/** What the cut off contributes to the mean. */
	readonly lostMean: number;
}

/** Below this noise the masses of the tails underflow, and telling which step it was, as is assumed then, tells next to nothing more. */
const LEAST_NOISE = 0.05;

/**
 * The pair of one epoch of random allocation over `steps` steps: without the record the outputs are N(0, σ²) each, with it one of
 * them, drawn uniformly, is N(1, σ²). The likelihood ratio is the mean over the steps of independent lognormal ratios.
 *
 * Their sum is composed on the geometric grid: e^(ih) + e^(jh) lies between two ratios of the grid, and its mass is shared out between
 * them so that the mean stays. δ is the expectation of a convex function of the ratio in both directions, so this is an upper bound in
 * both, with an error of order h². All terms are positive: small masses keep their relative accuracy. The mechanism and its bounds
 * are those of arXiv 2602.17284; the sharing out is that of connect-the-dots.
 */
export function randomAllocationPair(steps: number, sigma: number, step: number, tail: number): LossPair {
	if (sigma < LEAST_NOISE) return discretise(sampledGaussian(1, sigma, tail), step);
	const coarsest = step * 2 ** level(steps);
	const one = discretise(sampledGaussian(1, sigma, tail / steps), coarsest, Math.log(steps));
	const part: RatioLaw = {
		step: coarsest,
		first: one.first,
		mass: one.logMass.map(Math.exp),
		stride: 1,
		mean: 1 / steps,
		lostMass: one.atZero,
		lostMean: one.atInfinity / steps,
	};
	const { first, mass, lostMass, lostMean } = sumOf(part, steps, steps, step, tail);
	return { step, first, logMass: mass.map(Math.log), atZero: lostMass, atInfinity: lostMean };
}

/** Small parts of the sum bear a wider grid, 2^level times as wide: what they add to its variance shrinks as their share does. */
const level = (parts: number) => Math.floor(Math.log2(parts) / 3);

/** The law of the sum of `count` of `total` independent ratios, by doubling. */
function sumOf(part: RatioLaw, count: number, total: number, step: number, tail: number): RatioLaw {
	if (count === 1) return part;
	const wide = step * 2 ** level(total / count);
	const half = onGrid(sumOf(part, Math.floor(count / 2), total, step, tail), wide);
	const even = add(half, half, tail);
	return count % 2 === 0 ? even : add(even, onGrid(part, wide), tail);
}

/** The same law on a grid that is finer by a whole factor. */
function onGrid(law: RatioLaw, step: number): RatioLaw {
	const factor = Math.round(law.step / step);
	const mass = new Float64Array((law.mass.length - 1) * factor + 1);
	law.mass.forEach((value, i) => {
		mass[i * factor] = value;
	});
	return { ...law, step, first: law.first * factor, mass, stride: law.stride * factor };
}

/** What cells of the grid, from number `first` on, give to their lower and to their upper end. */
interface Cells {
	readonly first: number;
	readonly lower: Float64Array;
	readonly upper: Float64Array;
}

/** The law of the sum of two independent ratios. */
function add(a: RatioLaw, b: RatioLaw, tail: number): RatioLaw {
	const { step } = a;
	const first = Math.max(a.first, b.first);
	const last = Math.max(a.first + a.mass.length, b.first + b.mass.length) - 1;
	const length = last - first + Math.ceil(Math.LN2 / step) + 2;
	const cells: Cells = { first, lower: new Float64Array(length), upper: new Float64Array(length) };
	const { lower: mass, upper } = cells;
	if (a === b) {
		spread(a, b, a.stride, cells);
		for (const part of [mass, upper]) for (let i = 0; i < length; i++) part[i] *= 2;
		spreadAt(a, b, 0, cells);
	} else {
		spread(a, b, 0, cells);
		spread(b, a, 1, cells);
	}
	for (let i = 1; i < length; i++) mass[i] += upper[i - 1];
	const sum = {
		step,
		first,
		mass,
		stride: 1,
		mean: a.mean + b.mean,
		lostMass: a.lostMass + b.lostMass,
		lostMean: a.lostMean + b.lostMean + a.lostMass * b.mean + b.lostMass * a.mean,
	};
	return trimmed(sum, tail);
}

/** Adds the sums of pairs whose index in `large` is `d` above that in `small`. */
function spreadAt(large: RatioLaw, small: RatioLaw, d: number, { first, lower, upper }: Cells): void {
	const { step } = large;
	const rise = Math.log1p(Math.exp(-d * step));
	const up = Math.floor(rise / step);
	const share = Math.min(1, Math.expm1(rise - up * step) / Math.expm1(step));
	const ahead = small.first + d - large.first;
	const stop = Math.min(large.mass.length, small.mass.length + ahead);
	const [sparse, stride] = large.stride > small.stride ? [0, large.stride] : [ahead, small.stride];
	const start = sparse + Math.ceil((Math.max(0, ahead) - sparse) / stride) * stride;
	const [upward, one, other] = [large.first + up - first, large.mass, small.mass];
	for (let i = start; i < stop; i += stride) {
		const both = one[i] * other[i - ahead];
		const risen = share * both;
		lower[i + upward] += both - risen;
		upper[i + upward] += risen;
	}
}

/**
 * Adds the sums of pairs whose index in `large` is at least `from` above that in `small`. The smaller ratio is e^(−dh) times the
 * larger one; where that is less than a cell, e^(−dh) ≤ e^h − 1, all smaller ratios are handled at once by running sums. Where both have
 * a stride above 1 they are one law, and `from` is that stride.
 */
function spread(large: RatioLaw, small: RatioLaw, from: number, cells: Cells): void {
	const { step } = large;
	const cell = Math.expm1(step);
	const far = Math.max(from, Math.ceil(-Math.log(cell) / step));
	const common = Math.min(large.stride, small.stride);
	for (let d = from; d < far; d += common) spreadAt(large, small, d, cells);
	const end = large.first + large.mass.length;
	const shrink = Math.exp(-step);
	const entry = Math.exp(-far * step) / cell;
	let below = 0;
	let share = 0;
	for (let i = small.first + far; i < end; i++) {
		const entering = small.mass[i - far - small.first] ?? 0;
		below += entering;
		share = share * shrink + entering * entry;
		if (i < large.first) continue;
		const weight = large.mass[i - large.first];
		cells.lower[i - cells.first] += weight * (below - share);
		cells.upper[i - cells.first] += weight * share;
	}
}

/** Cuts off both ends, of at most `tail` in mass and in mean each. */
function trimmed({ step, first, mass, mean, lostMass, lostMean }: RatioLaw, tail: number): RatioLaw {
	const cutFrom = (start: number, direction: 1 | -1): { at: number; cutMass: number; cutMean: number } => {
		let cutMass = 0;
		let cutMean = 0;
		for (let i = start; ; i += direction) {
			const nextMass = cutMass + mass[i];
			const nextMean = cutMean + mass[i] * Math.exp((first + i) * step);
			if (!(nextMass <= tail && nextMean <= tail)) return { at: i, cutMass, cutMean };
			cutMass = nextMass;
			cutMean = nextMean;
		}
	};
	const low = cutFrom(0, 1);
	const high = cutFrom(mass.length - 1, -1);
	const cutMass = low.cutMass + high.cutMass;
	return {
		step,
		first: first + low.at,
		mass: mass.slice(low.at, high.at + 1),
		stride: 1,
		mean,
		lostMass: lostMass + cutMass,
		lostMean: lostMean + low.cutMean + high.cutMean,
	};
}
