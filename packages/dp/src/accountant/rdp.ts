import { checkDelta, checkNonNegative, checkSampleRate, refuse } from "../check.ts";
import { appendEvent, checkEvent, type PrivacyEvent, type PrivacyHistory } from "./events.ts";
import { logMoment } from "./sampledGaussian.ts";

const range = (length: number, at: (k: number) => number): number[] => Array.from({ length }, (_, k) => at(k));

/** The orders that Opacus uses: 1.1, 1.2 … 10.9 and 12 … 63. For comparison with it; 11 is missing there. */
export const OPACUS_ORDERS: readonly number[] = Object.freeze([...range(99, (k) => 1 + (k + 1) / 10), ...range(52, (k) => 12 + k)]);

/** Opacus' orders, and 11, orders close to 1 (little noise) and up to 2²⁰ (much noise). */
export const DEFAULT_ORDERS: readonly number[] = Object.freeze([
	...[1.001, 1.002, 1.003, 1.005, 1.007],
	...range(9, (k) => 1 + (k + 1) / 100),
	...range(99, (k) => 1 + (k + 1) / 10),
	...range(53, (k) => 11 + k),
	...range(113, (k) => 64 * 2 ** (k / 8)),
]);

function checkOrder(alpha: number): void {
	if (!(Number.isFinite(alpha) && alpha > 1)) refuse("order", "a finite number above 1", alpha);
}

/**
 * Rényi divergence of order `alpha` of one step of the Poisson-sampled Gaussian, add/remove adjacency:
 * ln A(α)/(α−1). 0 for q = 0, ∞ for σ = 0, α/(2σ²) for q = 1. Relative error below 1e-12.
 * @throws ValueError for q outside [0, 1], sigma below 0, alpha not above 1.
 */
export function rdp(q: number, sigma: number, alpha: number): number {
	checkSampleRate(q);
	checkNonNegative("noiseMultiplier", sigma);
	checkOrder(alpha);
	return logMoment(q, sigma, alpha) / (alpha - 1);
}

/** The part of the conversion that does not hold δ; it grows with `alpha`. */
const withoutDelta = (rdpAtAlpha: number, alpha: number) => rdpAtAlpha + Math.log1p(-1 / alpha) - Math.log(alpha) / (alpha - 1);

/** An ε and the Rényi order that gave it. */
export interface PrivacySpent {
	readonly epsilon: number;
	readonly order: number;
}

/**
 * (ε, δ) from a curve of Rényi divergences: min over α of RDP(α) + ln((α−1)/α) − (ln δ + ln α)/(α−1), not below 0.
 * `rdpAt` must be non-decreasing, as every Rényi curve is: the walk over the orders stops where no larger one can win.
 * Source: Canonne, Kamath, Steinke 2020, Proposition 12.
 * @throws ValueError for delta outside (0, 1), no orders, or an order not above 1.
 */
export function epsilonFromRdp(rdpAt: (alpha: number) => number, { delta, orders = DEFAULT_ORDERS }: EpsilonOptions): PrivacySpent {
	checkDelta(delta);
	if (orders.length === 0) refuse("orders", "a list with at least one order", "none");
	const ascending = [...orders].sort((a, b) => a - b);
	let best: PrivacySpent = { epsilon: Number.POSITIVE_INFINITY, order: ascending[0] };
	for (const alpha of ascending) {
		checkOrder(alpha);
		const floor = withoutDelta(rdpAt(alpha), alpha);
		if (floor >= best.epsilon) break;
		const epsilon = Math.max(0, floor - Math.log(delta) / (alpha - 1));
		if (epsilon < best.epsilon) best = { epsilon, order: alpha };
	}
	return best;
}

/** δ to read ε at, and the Rényi orders to minimise over. */
export interface EpsilonOptions {
	readonly delta: number;
	readonly orders?: readonly number[] | undefined;
}

/**
 * Guarantee: a mechanism with this history is (ε, δ)-differentially private for adding or removing one record, provided
 * every step drew its batch by Poisson sampling. Unlike the engine it accepts any δ below 1.
 * @throws ValueError as `epsilonFromRdp`, and for a history that holds an impossible event.
 */
export function privacySpent(history: PrivacyHistory, options: EpsilonOptions): PrivacySpent {
	for (const event of history) checkEvent(event);
	const used = history.filter(({ steps, sampleRate }) => steps > 0 && sampleRate > 0);
	const spent = epsilonFromRdp(
		(alpha) => used.reduce((total, e) => total + e.steps * rdp(e.sampleRate, e.noiseMultiplier, alpha), 0),
		options,
	);
	return used.length === 0 ? { ...spent, epsilon: 0 } : spent;
}

/** The ε of `privacySpent`. */
export function epsilon(history: PrivacyHistory, options: EpsilonOptions): number {
	return privacySpent(history, options).epsilon;
}

/** An accountant as JSON. */
export interface RdpAccountantState {
	readonly mechanism: "rdp";
	readonly version: 1;
	readonly history: PrivacyHistory;
	readonly orders: readonly number[];
}

/** Adds up what a run spends, step by step. Guarantee as `privacySpent`. */
export class RdpAccountant {
	readonly #orders: readonly number[];
	#history: PrivacyHistory = [];

	constructor({ orders = DEFAULT_ORDERS }: { readonly orders?: readonly number[] } = {}) {
		for (const alpha of orders) checkOrder(alpha);
		this.#orders = Object.freeze([...orders]);
	}

	/** @throws ValueError when `state` was not written by `state()`. */
	static fromState(state: RdpAccountantState): RdpAccountant {
		if (state?.mechanism !== "rdp" || state.version !== 1 || !Array.isArray(state.history) || !Array.isArray(state.orders)) {
			refuse("state", "the state of an RDP accountant, version 1", JSON.stringify(state));
		}
		const accountant = new RdpAccountant({ orders: state.orders });
		for (const event of state.history) accountant.step(event);
		return accountant;
	}

	get history(): PrivacyHistory {
		return this.#history;
	}

	step({ sampleRate, noiseMultiplier, steps = 1 }: Omit<PrivacyEvent, "steps"> & { readonly steps?: number }): void {
		this.#history = appendEvent(this.#history, { sampleRate, noiseMultiplier, steps });
	}

	getEpsilon(delta: number): number {
		return epsilon(this.#history, { delta, orders: this.#orders });
	}

	state(): RdpAccountantState {
		return { mechanism: "rdp", version: 1, history: this.#history, orders: this.#orders };
	}
}
