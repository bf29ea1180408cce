import { FFT_ERROR_PER_STAGE, fft } from "./fft.ts";
import { coarsened, type LossPair, MOST_POINTS, TooManyPoints } from "./lossPair.ts";

/** `times` runs of a mechanism with this pair. */
export interface Segment {
	readonly pair: LossPair;
	readonly times: number;
}

/** Log moment generating function of the total log ratio under Q at one order, and its first two derivatives. */
export interface Cumulants {
	readonly value: number;
	readonly mean: number;
	readonly variance: number;
}

const UNIT = 2 ** -53;

function cumulantsOf({ step, first, logMass }: LossPair, order: number): Cumulants {
	let peak = Number.NEGATIVE_INFINITY;
	for (let i = 0; i < logMass.length; i++) peak = Math.max(peak, logMass[i] + order * (first + i) * step);
	let sum = 0;
	let one = 0;
	let two = 0;
	for (let i = 0; i < logMass.length; i++) {
		const weight = Math.exp(logMass[i] + order * (first + i) * step - peak);
		sum += weight;
		one += weight * i;
		two += weight * i * i;
	}
	const mean = one / sum;
	return { value: peak + Math.log(sum), mean: (first + mean) * step, variance: Math.max(0, two / sum - mean * mean) * step * step };
}

/** ln E_Q[r^order] of the whole composition, on its grid. */
export function cumulants(segments: readonly Segment[], order: number): Cumulants {
	const total = { value: 0, mean: 0, variance: 0 };
	for (const { pair, times } of segments) {
		const { value, mean, variance } = cumulantsOf(pair, order);
		total.value += times * value;
		total.mean += times * mean;
		total.variance += times * variance;
	}
	return total;
}

/**
 * The law of the total log ratio t of a composition under Q, tilted: mass[i] ≥ Q(t)·e^(order·t − logScale) at t = (first + i)·step.
 * Every mass is an upper bound: the bound on the round-off of its computation is added to it.
 */
export interface TiltedLaw {
	readonly step: number;
	readonly first: number;
	readonly mass: Float64Array;
	readonly order: number;
	readonly logScale: number;
	/** Bound on Σ of the exact masses above the last. */
	readonly above: number;
	/** What was added to each mass for round-off. */
	readonly roundOff: number;
}

/**
 * Composes by FFT. The law is tilted first, by e^(order·t), which moves its centre to the losses that are asked for: round-off, which
 * is relative to the largest mass, then is relative to the δ asked for, however small. Masses that leave the window come back in it
 * elsewhere, which only adds.
 * @throws TooManyPoints
 */
export function compose(segments: readonly Segment[], order: number, outside: number): TiltedLaw {
	const { step } = segments[0].pair;
	const [low, high] = window(segments, order, outside);
	const first = Math.floor(low / step);
	const size = 2 ** Math.max(1, Math.ceil(Math.log2(high / step - first + 2)));
	if (size > MOST_POINTS) throw new TooManyPoints();
	const transform = fft(size);
	const stages = FFT_ERROR_PER_STAGE * Math.log2(size);
	const re = new Float64Array(size).fill(1);
	const im = new Float64Array(size);
	const magnitude = new Float64Array(size).fill(1);
	const relative = new Float64Array(size);
	for (const { pair, times } of segments) {
		const x = new Float64Array(size);
		const y = new Float64Array(size);
		const error = stages + fold(pair, order, x) + 8 * UNIT;
		transform(x, y);
		for (let k = 0; k <= size / 2; k++) {
			const bound = Math.min(1, Math.sqrt(x[k] * x[k] + y[k] * y[k])) + error;
			magnitude[k] *= bound ** times;
			relative[k] += (times * error) / bound;
			multiplyPower(re, im, k, x[k], y[k], times);
		}
	}
	let roundOff = 0;
	for (let k = 0; k <= size / 2; k++) {
		const twin = (size - k) % size;
		roundOff += (twin === k ? 1 : 2) * magnitude[k] * (relative[k] + stages);
		re[twin] = re[k];
		im[twin] = twin === k ? 0 : -im[k];
	}
	roundOff /= size;
	transform(im, re);
	const mass = new Float64Array(size);
	const offset = mod(first, size);
	for (let i = 0; i < size; i++) mass[i] = Math.max(0, re[(offset + i) % size] / size) + roundOff;
	return { step, first, mass, order, logScale: cumulants(segments, order).value, above: outside, roundOff };
}

const mod = (i: number, size: number) => ((i % size) + size) % size;

/** Puts the tilted masses of one mechanism, which sum to 1, on the circle `out`; returns a bound on their error. */
function fold({ step, first, logMass }: LossPair, order: number, out: Float64Array): number {
	const { value } = cumulantsOf({ step, first, logMass } as LossPair, order);
	let error = 0;
	for (let i = 0; i < logMass.length; i++) {
		const tilt = order * (first + i) * step;
		const mass = Math.exp(logMass[i] + tilt - value);
		if (mass === 0) continue;
		out[mod(first + i, out.length)] += mass;
		error += mass * (Math.abs(logMass[i]) + Math.abs(tilt) + Math.abs(value));
	}
	return 2 * UNIT * error;
}

/** [re, im]_k ·= (x + iy)^times, by squaring: each product has a relative error of √5·u. */
function multiplyPower(re: Float64Array, im: Float64Array, k: number, x: number, y: number, times: number): void {
	let a = re[k];
	let b = im[k];
	let c = x;
	let d = y;
	for (let n = times; n > 0; n = Math.floor(n / 2)) {
		if (n % 2 === 1) {
			const product = a * c - b * d;
			b = a * d + b * c;
			a = product;
		}
		const square = c * c - d * d;
		d = 2 * c * d;
		c = square;
	}
	re[k] = a;
	im[k] = b;
}

/** Relative accuracy of a tilt; Chernoff's bound holds for every tilt, and is flat at its best. */
const TILT_ACCURACY = 0.03;
const NEWTON_STEPS = 60;
/** A tilt of this, in nats a grid point, leaves nothing but the end of the law. */
const STEEPEST = 40;
/** Points of the grids on which tilts are sought first. */
const SKETCH = 1024;

/**
 * The change s of the order, above 0 for the upper tail and below 0 for the lower, at which Chernoff's bound of where the law tilted
 * at `order` has e^(−slack) of its mass beyond is tightest: s·K'(order + s) − (K(order + s) − K(order)) = slack. Newton's method for
 * ln s, first on a grid of about a thousand points.
 */
export function tightestTilt(segments: readonly Segment[], order: number, slack: number, sign: 1 | -1): number {
	const sketch = segments.map(({ pair, times }) => {
		const factor = Math.floor(pair.logMass.length / SKETCH);
		return { pair: factor > 1 ? coarsened(pair, factor) : pair, times };
	});
	return solveTilt(segments, order, slack, sign, solveTilt(sketch, order, slack, sign));
}

function solveTilt(segments: readonly Segment[], order: number, slack: number, sign: 1 | -1, start?: number): number {
	const base = cumulants(segments, order);
	const { step } = segments[0].pair;
	let low = 0;
	let high = Number.POSITIVE_INFINITY;
	let size = Math.abs(start ?? Math.sqrt((2 * slack) / (base.variance + step * step)));
	for (let i = 0; i < NEWTON_STEPS; i++) {
		const { value, mean, variance } = cumulants(segments, order + sign * size);
		const reached = sign * size * mean - value + base.value;
		if (reached > slack) high = size;
		else low = size;
		const newton = size * Math.exp((-reached * Math.log(reached / slack)) / (size * size * variance));
		const inside = newton > low && newton < high ? newton : high < Number.POSITIVE_INFINITY ? (low + high) / 2 : 4 * low;
		const next = Math.min(Math.max(inside, size / 8), size * 8);
		if (Math.abs(next - size) < TILT_ACCURACY * size || next * step > STEEPEST) break;
		size = next;
	}
	return sign * size;
}

/** Beyond this log ratio lies at most e^(−slack) of the law tilted at `order`: Chernoff's bound with the tilt s. */
export function chernoffEdge(segments: readonly Segment[], order: number, slack: number, s: number): number {
	return (cumulants(segments, order + s).value - cumulants(segments, order).value + slack) / s;
}

/** Log ratios between which all but 2·`outside` of the law tilted at `order` lies. */
function window(segments: readonly Segment[], order: number, outside: number): [number, number] {
	const slack = -Math.log(outside);
	const low = chernoffEdge(segments, order, slack, tightestTilt(segments, order, slack, -1));
	const high = chernoffEdge(segments, order, slack, tightestTilt(segments, order, slack, 1));
	let least = 0;
	let most = 0;
	for (const { pair, times } of segments) {
		least += times * pair.first * pair.step;
		most += times * (pair.first + pair.logMass.length - 1) * pair.step;
	}
	return [Math.max(low, least), Math.min(high, most)];
}
