import { expects, named } from "@hushgrad/tensor/author";
import { checkDelta, checkNonNegative, refuse } from "../check.ts";
import type { Segment } from "./composition.ts";
import { type AccountedEvent, type AccountedHistory, checkEvent, isPoisson, type PrivacyEvent } from "./events.ts";
import { gaussianDelta, gaussianEpsilon } from "./gaussian.ts";
import { discretise, type LossPair, swapped, TooManyPoints } from "./lossPair.ts";
import { randomAllocationPair } from "./randomAllocation.ts";
import { deltaFromRdp, privacySpent } from "./rdp.ts";
import { sampledGaussian } from "./sampledPair.ts";
import { deltaOf, epsilonOf, lawNearDelta } from "./tilted.ts";
import { truncatedPoissonPair } from "./truncatedPoisson.ts";

/** A bound and how far it is believed to lie above the exact value. */
export interface PldBound {
	/** The upper bound. */
	readonly value: number;
	/** How much of it is due to the grid, by extrapolation from two grids. */
	readonly error: number;
}

/** Aim for the error of the grid, relative to ε and to δ. */
const ACCURACY = 2e-5;
const SKETCH = 20 * ACCURACY;
/** Random allocation costs h⁻² on a grid of spacing h: there the aim is so much wider. */
const WIDER = 2.5;
const DELTA_ACCURACY = 2e-4;
/** Mass given away by cutting tails off, relative to δ. */
const CUT = 1e-9;
/** First grids so much coarser show at little cost where nothing is spent. */
const COARSE = [256, 48, 12];
/** No grid is wider: e^h stays far below the largest float64, also where random allocation begins on one 2⁷ times as wide. */
const WIDEST = 2;
const SMALLEST_DELTA = 1e-250;
const MOST_REFINEMENTS = 12;

/** Rounds of an event: what is composed. */
const rounds = (event: AccountedEvent) => (event.sampling === "random-allocation" ? event.epochs : event.steps);

function pairOf(event: AccountedEvent, step: number, tail: number): LossPair {
	if (event.sampling === "random-allocation") return randomAllocationPair(event.stepsPerEpoch, event.noiseMultiplier, step, tail);
	if (event.sampling === "truncated-poisson") return truncatedPoissonPair(event, step, tail);
	return discretise(sampledGaussian(event.sampleRate, event.noiseMultiplier, tail), step);
}

/** Poisson steps that spend about as much, to choose the first grid by. */
function similar(event: AccountedEvent): PrivacyEvent {
	const { noiseMultiplier } = event;
	if (event.sampling !== "random-allocation") return { sampleRate: event.sampleRate, noiseMultiplier, steps: event.steps };
	return { sampleRate: 1 / event.stepsPerEpoch, noiseMultiplier, steps: event.stepsPerEpoch * event.epochs };
}

/** The events that touch the data, joined where equal; undefined when one of them has no noise. */
function relevant(history: AccountedHistory): AccountedEvent[] | undefined {
	for (const event of history) checkEvent(event);
	const used = history.filter((event) => rounds(event) > 0 && (event.sampling === "random-allocation" || event.sampleRate > 0));
	return used.some(({ noiseMultiplier }) => noiseMultiplier === 0) ? undefined : used;
}

/** √Σ T/σ² when every step takes every record, which is one Gaussian mechanism; else undefined. */
function gaussianRatio(events: readonly AccountedEvent[]): number | undefined {
	let square = 0;
	for (const event of events) {
		const whole =
			event.sampling === "random-allocation" ? event.stepsPerEpoch === 1 : event.sampling !== "truncated-poisson" && event.sampleRate === 1;
		if (!whole) return undefined;
		square += rounds(event) / event.noiseMultiplier ** 2;
	}
	return Math.sqrt(square);
}

/**
 * The larger of `measure` of both directions of the composition, on grids that are refined until its error is below the aim. The error
 * of a grid of spacing h is of order h², so that the difference of two tells it. Every grid gives an upper bound: a direction whose
 * bound on a coarse grid is below the other one's on a fine grid needs no fine grid.
 */
function refine(
	events: readonly AccountedEvent[],
	step: number,
	delta: number,
	accuracy: number,
	measure: (segments: readonly Segment[]) => number,
): PldBound {
	const total = events.reduce((sum, event) => sum + rounds(event), 0);
	const bounds = { remove: Number.POSITIVE_INFINITY, add: Number.POSITIVE_INFINITY };
	/** Tightens the bounds on a grid; undefined where it has too many points. */
	const evaluate = (h: number): number | undefined => {
		try {
			const segments = events.map((event) => ({ pair: pairOf(event, h, (CUT * delta) / total), times: rounds(event) }));
			const tighten = {
				remove: () => measure(segments),
				add: () => measure(segments.map(({ pair, times }) => ({ pair: swapped(pair), times }))),
			};
			const [larger, other] = bounds.add > bounds.remove ? (["add", "remove"] as const) : (["remove", "add"] as const);
			bounds[larger] = Math.min(bounds[larger], tighten[larger]());
			if (bounds[other] > bounds[larger]) bounds[other] = Math.min(bounds[other], tighten[other]());
			return Math.max(bounds.remove, bounds.add);
		} catch (error) {
			if (error instanceof TooManyPoints) return undefined;
			throw error;
		}
	};
	for (const factor of COARSE) {
		if (evaluate(Math.min(factor * step, WIDEST)) === 0) return { value: 0, error: 0 };
	}
	let h = Math.min(2 * step, WIDEST);
	let value = evaluate(h);
	while (value === undefined) {
		h *= 2;
		value = evaluate(h);
	}
	let error = value;
	let next = h / 2;
	for (let i = 0; i < MOST_REFINEMENTS && value > 0; i++) {
		const finer = evaluate(next);
		if (finer === undefined) break;
		error = (value - finer) / ((h / next) ** 2 - 1);
		[value, h] = [finer, next];
		if (error <= 2 * accuracy * value) break;
		next = h * Math.max(0.25, 0.9 * Math.sqrt((accuracy * value) / error));
	}
	return { value, error };
}

/**
 * ε(δ) of a history by privacy loss distributions: the tightest there is, and the accountant of record. Connect-the-dots on a grid
 * that is refined until its error is about 4e-5 of ε or less (1e-4 with random allocation), composition by FFT, the larger of adding and removing a record. An
 * upper bound: the grid, the cut tails and the round-off all count against it. For steps that take every record the closed form.
 * ∞ without noise. Sources: Koskela et al. 2020; Doroshenko et al. 2022; Balle, Wang 2018.
 *
 * Guarantee: as of `epsilon`.
 * @throws ValueError for delta outside (0, 1) or below 1e-250, and for a history that holds an impossible event.
 */
export const pldEpsilon = named("pldEpsilon", (history: AccountedHistory, delta: number): PldBound => {
	expects("pldEpsilon", { history, delta }, { history: "list", delta: "number" });
	return epsilonTo(ACCURACY, history, delta);
});

/** The same twenty times less accurately, at a fraction of the cost where grids are long: to see where to look. An upper bound, too. */
export const sketchedEpsilon = (history: AccountedHistory, delta: number): number => epsilonTo(SKETCH, history, delta).value;

function epsilonTo(aim: number, history: AccountedHistory, delta: number): PldBound {
	checkDelta(delta);
	if (delta < SMALLEST_DELTA) refuse("delta", `at least ${SMALLEST_DELTA}`, delta);
	const events = relevant(history);
	if (events === undefined) return { value: Number.POSITIVE_INFINITY, error: 0 };
	if (events.length === 0) return { value: 0, error: 0 };
	const ratio = gaussianRatio(events);
	if (ratio !== undefined) return { value: gaussianEpsilon(ratio, delta), error: 0 };
	const accuracy = aim * (events.some(({ sampling }) => sampling === "random-allocation") ? WIDER : 1);
	const { epsilon, order } = privacySpent(events.map(similar), { delta });
	const bound = refine(events, stepFor(events, accuracy * epsilon, order), delta, accuracy, (segments) => {
		return epsilonOf(lawNearDelta(segments, delta), delta);
	});
	return events.every(isPoisson) && epsilon < bound.value ? { value: epsilon, error: bound.error } : bound;
}

/** Connecting the dots of spacing h raises ε by about T·order·h²/12: the spacing for a given rise. */
function stepFor(events: readonly AccountedEvent[], rise: number, order: number): number {
	const total = events.reduce((sum, event) => sum + rounds(event) * (event.sampling === "random-allocation" ? 2 : 1), 0);
	return Math.sqrt((12 * Math.max(rise, 1e-12)) / (total * order));
}

/**
 * δ(ε) of a history by privacy loss distributions: see `pldEpsilon`.
 * @throws ValueError for epsilon below 0, and for a history that holds an impossible event.
 */
export const pldDelta = named("pldDelta", (history: AccountedHistory, epsilon: number): PldBound => {
	expects("pldDelta", { history, epsilon }, { history: "list", epsilon: "number" });
	checkNonNegative("epsilon", epsilon);
	const events = relevant(history);
	if (events === undefined) return { value: 1, error: 0 };
	if (events.length === 0) return { value: 0, error: 0 };
	const ratio = gaussianRatio(events);
	if (ratio !== undefined) return { value: gaussianDelta(ratio, epsilon), error: 0 };
	const guess = deltaFromRdp(events.map(similar), epsilon);
	const delta = Math.min(0.5, Math.max(SMALLEST_DELTA, guess.delta));
	return refine(events, stepFor(events, DELTA_ACCURACY / (guess.order - 1), guess.order), delta, DELTA_ACCURACY, (segments) => {
		return Math.min(1, deltaOf(lawNearDelta(segments, delta), epsilon));
	});
});

/** What a measure is before the first step, and without noise. */
interface Limits {
	readonly withoutSteps: number;
	readonly withoutNoise: number;
}

/**
 * The larger of a measure of both directions' composed loss, on grids refined until it is accurate to about 5e-4. It is one of
 * probabilities of about `rate`.
 */
export function pldMeasure(
	history: AccountedHistory,
	rate: number,
	{ withoutSteps, withoutNoise }: Limits,
	measure: (segments: readonly Segment[]) => number,
): PldBound {
	const events = relevant(history);
	if (events === undefined) return { value: withoutNoise, error: 0 };
	if (events.length === 0) return { value: withoutSteps, error: 0 };
	const { order } = privacySpent(events.map(similar), { delta: rate });
	return refine(events, stepFor(events, DELTA_ACCURACY / order, order), rate, DELTA_ACCURACY, measure);
}
