import { expects, named } from "@hushgrad/tensor/author";
import { checkDelta } from "../check.ts";
import { checkEvent, type PrivacyEvent, type PrivacyHistory } from "./events.ts";
import { fft } from "./fft.ts";
import { normalCdf } from "./normal.ts";
import { pldEpsilon } from "./pld.ts";
import { OPACUS_ORDERS, privacySpent } from "./rdp.ts";
import { exponentAt, logSampled } from "./sampledPair.ts";

/** ε of the PRV accountant: bounds and estimate. */
export interface PrvSpent {
	/** Lower bound of ε. */
	readonly lower: number;
	/** Estimate, without the allowance for errors. */
	readonly estimate: number;
	/** Upper bound of ε: what Opacus reports. */
	readonly upper: number;
	/** "pld" where PRV has no answer, and the numbers are those of PLD. */
	readonly accountant: "prv" | "pld";
}

const EPSILON_ERROR = 0.01;
/** δ_error, relative to δ. */
const DELTA_ERROR = 1e-3;
const MOST_POINTS = 2 ** 21;

/**
 * ε(δ) by privacy random variables, for comparison with Opacus, whose PRVAccountant reports the upper bound, with its errors 0.01 of
 * ε and δ/1000 of δ. Covers the removal of a record, which is the larger in practice; PLD covers both. Where the grid would need more
 * than 2²¹ points, or δ is so small that the round-off of float64 weighs, the answer is that of PLD, and says so. Source: Gopi, Lee,
 * Wutschitz 2021.
 * @throws ValueError for delta outside (0, 1), and for a history that holds an impossible event.
 */
export const prvEpsilon = named("prvEpsilon", (history: PrivacyHistory, delta: number): PrvSpent => {
	expects("prvEpsilon", { history, delta }, { history: "list", delta: "number" });
	checkDelta(delta);
	for (const event of history) checkEvent(event);
	const events = history.filter(({ steps, sampleRate }) => steps > 0 && sampleRate > 0);
	const deltaError = delta * DELTA_ERROR;
	const grid = events.length > 0 ? gridFor(events, deltaError) : undefined;
	if (grid === undefined || grid.size * Number.EPSILON > delta - deltaError) return byPld(history, delta);
	const { mass, shift } = composed(events, grid);
	const at = (target: number) => epsilonAt(mass, grid.step, shift, target);
	const [lower, estimate, upper] = [at(delta + deltaError) - EPSILON_ERROR, at(delta), at(delta - deltaError) + EPSILON_ERROR];
	return { lower: Math.max(0, lower), estimate: Math.max(0, estimate), upper: Math.max(0, upper), accountant: "prv" };
});

function byPld(history: PrivacyHistory, delta: number): PrvSpent {
	const { value, error } = pldEpsilon(history, delta);
	return { lower: Math.max(0, value - 2 * error), estimate: value - error, upper: value, accountant: "pld" };
}

interface Grid {
	readonly step: number;
	readonly size: number;
}

/** Mesh and domain as in Gopi et al., remark 5.6, with the domain enlarged to a power of two points. */
function gridFor(events: readonly PrivacyEvent[], deltaError: number): Grid | undefined {
	const total = events.reduce((sum, { steps }) => sum + steps, 0);
	const spent = (history: PrivacyHistory, delta: number) => privacySpent(history, { delta, orders: OPACUS_ORDERS }).epsilon;
	const each = events.map((event) => spent([{ ...event, steps: 1 }], deltaError / (8 * total)));
	const reach = Math.max(spent(events, deltaError / 4), ...each, EPSILON_ERROR) + 3;
	const step = EPSILON_ERROR / Math.sqrt((total / 2) * Math.log(12 / deltaError));
	const size = 2 ** Math.ceil(Math.log2((2 * reach) / step));
	return size <= MOST_POINTS ? { step, size } : undefined;
}

/** Masses of the sum at index·step + shift; indices of the upper half are negative. */
function composed(events: readonly PrivacyEvent[], { step, size }: Grid): { mass: Float64Array; shift: number } {
	const transform = fft(size);
	const re = new Float64Array(size).fill(1);
	const im = new Float64Array(size);
	let shift = 0;
	for (const { sampleRate, noiseMultiplier, steps } of events) {
		const { mass, meanShift } = lossMass(sampleRate, noiseMultiplier, step, size);
		shift += steps * meanShift;
		const y = new Float64Array(size);
		transform(mass, y);
		for (let k = 0; k < size; k++) {
			const length = Math.hypot(mass[k], y[k]) ** steps;
			const angle = Math.atan2(y[k], mass[k]) * steps;
			const [c, s] = [length * Math.cos(angle), length * Math.sin(angle)];
			[re[k], im[k]] = [re[k] * c - im[k] * s, re[k] * s + im[k] * c];
		}
	}
	transform(im, re);
	return { mass: re.map((value) => value / size), shift };
}

/** One step's loss: the mass of each cell, the lowest with what is below it, and the shift that gives the centres the exact mean. */
function lossMass(q: number, sigma: number, step: number, size: number): { mass: Float64Array; meanShift: number } {
	const cdf = (t: number) => {
		const z = exponentAt(q, t);
		if (z === Number.NEGATIVE_INFINITY) return 0;
		return q * normalCdf(sigma * z - 0.5 / sigma) + (1 - q) * normalCdf(sigma * z + 0.5 / sigma);
	};
	const half = size / 2;
	const whole = cdf((half - 0.5) * step);
	const mass = new Float64Array(size);
	let before = 0;
	let mean = 0;
	for (let i = -half; i < half; i++) {
		const after = cdf((i + 0.5) * step);
		const value = (after - before) / whole;
		mass[i < 0 ? i + size : i] = value;
		mean += i * step * value;
		before = after;
	}
	return { mass, meanShift: meanLoss(q, sigma, half * step) / whole - mean };
}

/** E[loss] between −reach and reach: trapezoid rule over the output, in units of the noise. */
function meanLoss(q: number, sigma: number, reach: number): number {
	const spacing = 1 / 16;
	let sum = 0;
	for (let u = -14; u <= 14 + 1 / sigma; u += spacing) {
		const loss = logSampled(q, u / sigma - 0.5 / sigma ** 2);
		if (Math.abs(loss) < reach) sum += loss * Math.exp(loss - (u * u) / 2);
	}
	return (sum * spacing) / Math.sqrt(2 * Math.PI);
}

/** ln((d1 − δ)/d2) at the first point whose δ is at most `target`: d1 = Σ p, d2 = Σ p·e^(−t) over the points from there on. */
function epsilonAt(mass: Float64Array, step: number, shift: number, target: number): number {
	const size = mass.length;
	let tail = 0;
	let scaled = 0;
	for (let i = size / 2 - 1; i >= -size / 2; i--) {
		const t = i * step + shift;
		const p = mass[i < 0 ? i + size : i];
		const nextTail = tail + p;
		const nextScaled = scaled + p * Math.exp(-t);
		if (nextTail - Math.exp(t) * nextScaled > target) return Math.log((tail - target) / scaled);
		tail = nextTail;
		scaled = nextScaled;
	}
	return 0;
}
