import { ValueError } from "@hushgrad/tensor";
import { expects, named, unblamed } from "@hushgrad/tensor/author";
import { checkDelta, checkInteger, checkNonNegative, checkPositive, refuse } from "../check.ts";
import { crossingOf } from "./crossing.ts";
import type { AccountedHistory } from "./events.ts";
import { sketchedEpsilon } from "./pld.ts";
import { type AccountantName, epsilon } from "./spent.ts";

/** The budget that a run is calibrated for. All of it is public. */
export interface PrivacyTarget {
	/** ε that may be spent once all steps are done, finite and above 0. */
	readonly targetEpsilon: number;
	/** δ at which ε is read, in (0, 1). */
	readonly targetDelta: number;
	/** "pld" when left out. */
	readonly accountant?: AccountantName | undefined;
	/** Rényi orders for "rdp"; `DEFAULT_ORDERS` when left out. */
	readonly orders?: readonly number[] | undefined;
}

/** The target, and the Poisson-sampled steps that are to meet it. */
export interface CalibrationOptions extends PrivacyTarget {
	/** Probability q in (0, 1] with which each record enters a logical batch: never that of a micro-batch. */
	readonly sampleRate: number;
	/** Logical steps T of the whole run, 1 or more. */
	readonly steps: number;
}

/** Noise multipliers are whole multiples of 1/RESOLUTION, so that they print and parse without loss. */
const RESOLUTION = 1e6;
const LEAST_NOISE = 0.01;
const MOST_NOISE = 2 ** 20;
const MOST_STEPS = 2 ** 30;
const RATE_WIDTH = 1e-6;
/** To what a noise multiplier is sought at first, relatively. */
const SKETCH_WIDTH = 1e-3;
const LEAST_RATE = 1e-12;

/**
 * The smallest noise multiplier σ, a multiple of 1e-6 and at least 0.01, with which `steps` steps of the Poisson-sampled Gaussian
 * spend at most (targetEpsilon, targetDelta). The σ returned was itself evaluated: it never exceeds the target. Opacus'
 * get_noise_multiplier, which stops within 0.01 of the target ε.
 * @throws ValueError for arguments outside their domain, or when no σ up to 2²⁰ reaches the target.
 */
export const getNoiseMultiplier = named("getNoiseMultiplier", (options: CalibrationOptions): number => {
	expects("getNoiseMultiplier", { options }, { options: "options" });
	const { sampleRate, steps } = options;
	checkInteger("steps", steps);
	checkPositiveRate(sampleRate);
	return calibrateNoise(options, (noiseMultiplier) => [{ sampleRate, noiseMultiplier, steps }]);
});

/**
 * The smallest noise multiplier, as of `getNoiseMultiplier`, for any history that is a function of it: other samplings, schedules of
 * noise.
 * @throws ValueError as `getNoiseMultiplier`.
 */
export const calibrateNoise = named(
	"calibrateNoise",
	(target: PrivacyTarget, history: (noiseMultiplier: number) => AccountedHistory): number => {
		expects("calibrateNoise", { target, history }, { target: "options", history: "function" });
		const spent = spender(target);
		const known = new Map<number, number>();
		const at = (units: number): number => {
			const value = known.get(units) ?? spent(unblamed(() => history(units / RESOLUTION)));
			known.set(units, value);
			return value;
		};
		const unitsOf = (x: number) => Math.round(RESOLUTION / x);
		const adjacent = (a: number, b: number) => unitsOf(a) - unitsOf(b) <= 1;
		const search = { target: target.targetEpsilon, low: 1 / MOST_NOISE, high: 1 / LEAST_NOISE };
		const { accountant = "pld", targetDelta } = target;
		const sketched =
			accountant === "pld"
				? crossingOf(
						(x) =>
							sketchedEpsilon(
								unblamed(() => history(1 / x)),
								targetDelta,
							),
						{
							...{ ...search, start: 1, factor: 2 },
							near: (a, b) => b < a * (1 + SKETCH_WIDTH),
						},
					)
				: undefined;
		const from = sketched === undefined ? { start: 1, factor: 2 } : { start: sketched, factor: 1 + SKETCH_WIDTH };
		const crossing = crossingOf((x) => at(unitsOf(x)), { ...search, ...from, near: adjacent });
		if (crossing === undefined) {
			throw new ValueError("dp/calibration", `no noise multiplier up to ${MOST_NOISE} reaches epsilon ${target.targetEpsilon}`, {
				hint: "raise targetEpsilon or targetDelta, or take fewer steps",
			});
		}
		let units = unitsOf(crossing);
		while (units > LEAST_NOISE * RESOLUTION && at(units - 1) <= target.targetEpsilon) units--;
		return units / RESOLUTION;
	},
);

/**
 * The most steps T of the Poisson-sampled Gaussian that spend at most (targetEpsilon, targetDelta), up to 2³⁰; 0 where one is too
 * many.
 * @throws ValueError for arguments outside their domain.
 */
export const getSteps = named(
	"getSteps",
	(options: PrivacyTarget & { readonly sampleRate: number; readonly noiseMultiplier: number }): number => {
		expects("getSteps", { options }, { options: "options" });
		const { sampleRate, noiseMultiplier, targetEpsilon } = options;
		checkPositive("noiseMultiplier", noiseMultiplier);
		checkPositiveRate(sampleRate);
		const spent = spender(options);
		const after = (steps: number) => spent([{ sampleRate, noiseMultiplier, steps }]);
		if (after(1) > targetEpsilon) return 0;
		const crossing = crossingOf((x) => after(Math.round(x)), {
			...{ target: targetEpsilon, start: 16, factor: 2, low: 1, high: MOST_STEPS },
			near: (a, b) => b - a < 0.5,
		});
		return Math.round(crossing ?? 1);
	},
);

/**
 * The highest sampling probability q, to a relative 1e-6, with which `steps` steps spend at most (targetEpsilon, targetDelta); the
 * expected batch size is q·N. 0 where none above 1e-12 does.
 * @throws ValueError for arguments outside their domain.
 */
export const getSampleRate = named(
	"getSampleRate",
	(options: PrivacyTarget & { readonly noiseMultiplier: number; readonly steps: number }): number => {
		expects("getSampleRate", { options }, { options: "options" });
		const { noiseMultiplier, steps, targetEpsilon } = options;
		checkNonNegative("noiseMultiplier", noiseMultiplier);
		checkInteger("steps", steps);
		const spent = spender(options);
		const at = (sampleRate: number) => spent([{ sampleRate, noiseMultiplier, steps }]);
		if (at(1) <= targetEpsilon) return 1;
		const search = { target: targetEpsilon, start: 0.01, factor: 2, low: LEAST_RATE, high: 1 };
		return crossingOf(at, { ...search, near: (a, b) => b < a * (1 + RATE_WIDTH) }) ?? 0;
	},
);

function checkPositiveRate(q: number): void {
	if (!(typeof q === "number" && q > 0 && q <= 1)) refuse("sampleRate", "a probability in (0, 1]", q);
}

function spender({ targetEpsilon, targetDelta, accountant, orders }: PrivacyTarget): (history: AccountedHistory) => number {
	checkPositive("targetEpsilon", targetEpsilon);
	checkDelta(targetDelta);
	return (history) => epsilon(history, { delta: targetDelta, accountant, orders });
}
