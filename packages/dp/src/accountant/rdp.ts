import { blaming, expects, named, unblamed } from "@hushgrad/tensor/author";
import { checkDelta, checkNonNegative, checkSampleRate, refuse } from "../check.ts";
import { appendEvent, checkEvent, type PrivacyEvent, type PrivacyHistory } from "./events.ts";
import { logMoment } from "./sampledGaussian.ts";

const range = (length: number, at: (k: number) => number): number[] => Array.from({ length }, (_, k) => at(k));

/** The orders that Opacus uses: 1.1, 1.2 … 10.9 and 12 … 63, and so without 11. For comparison with it. */
export const OPACUS_ORDERS: readonly number[] = Object.freeze([...range(99, (k) => 1 + (k + 1) / 10), ...range(52, (k) => 12 + k)]);

/** Opacus' orders, and 11, orders down to 1.001 (little noise) and up to 2²⁰ (much noise): 279 in all. */
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
 * Rényi divergence RDP(α) of order `alpha` of one step of the Poisson-sampled Gaussian, add/remove adjacency: ln A(α)/(α−1), see
 * `logMoment`. q is the sampling probability, `sigma` the noise multiplier. 0 for q = 0, ∞ for σ = 0, α/(2σ²) for q = 1. Relative
 * error below 1e-12. Source: Mironov, Talwar, Zhang 2019.
 * @throws ValueError for q outside [0, 1], sigma below 0, alpha not above 1.
 */
export const rdp = named("rdp", (q: number, sigma: number, alpha: number): number => {
	checkSampleRate(q);
	checkNonNegative("noiseMultiplier", sigma);
	checkOrder(alpha);
	return logMoment(q, sigma, alpha) / (alpha - 1);
});

/** The part of the conversion that does not hold δ; it grows with `alpha`. */
const withoutDelta = (rdpAtAlpha: number, alpha: number) => rdpAtAlpha + Math.log1p(-1 / alpha) - Math.log(alpha) / (alpha - 1);

/** An ε and the Rényi order that gave it. */
export interface PrivacySpent {
	/** ε, 0 or more; ∞ without noise. */
	readonly epsilon: number;
	/** The order α that attains it. One at an end of the list suggests that a wider list gives a smaller ε. */
	readonly order: number;
}

/**
 * (ε, δ) from a curve of Rényi divergences: min over α of RDP(α) + ln((α−1)/α) − (ln δ + ln α)/(α−1), not below 0. `rdpAt` must
 * be non-decreasing, as every Rényi curve is: the walk over the orders stops where no larger one can win. Source: Canonne,
 * Kamath, Steinke 2020, Proposition 12.
 * @throws ValueError for delta outside (0, 1), no orders, or an order not above 1.
 */
export const epsilonFromRdp = named("epsilonFromRdp", (rdpAt: (alpha: number) => number, options: RdpOptions): PrivacySpent => {
	expects("epsilonFromRdp", { rdpAt, options }, { rdpAt: "function", options: "options" });
	const { delta, orders = DEFAULT_ORDERS } = options;
	expects("epsilonFromRdp", { delta, orders }, { delta: "number", orders: "list" });
	checkDelta(delta);
	if (orders.length === 0) refuse("orders", "a list with at least one order", "none");
	const ascending = [...orders].sort((a, b) => a - b);
	let best: PrivacySpent = { epsilon: Number.POSITIVE_INFINITY, order: ascending[0] };
	for (const alpha of ascending) {
		checkOrder(alpha);
		const floor = withoutDelta(
			unblamed(() => rdpAt(alpha)),
			alpha,
		);
		if (floor >= best.epsilon) break;
		const epsilon = Math.max(0, floor - Math.log(delta) / (alpha - 1));
		if (epsilon < best.epsilon) best = { epsilon, order: alpha };
	}
	return best;
});

/** δ to read ε at, and the Rényi orders to minimise over. */
export interface RdpOptions {
	/** δ in (0, 1), the additive slack of the guarantee. */
	readonly delta: number;
	/** Orders above 1, in any order; `DEFAULT_ORDERS` when left out. */
	readonly orders?: readonly number[] | undefined;
}

function usedEvents(history: PrivacyHistory): PrivacyHistory {
	for (const event of history) checkEvent(event);
	return history.filter(({ steps, sampleRate }) => steps > 0 && sampleRate > 0);
}

const composedRdp = (history: PrivacyHistory, alpha: number) =>
	history.reduce((total, e) => total + e.steps * rdp(e.sampleRate, e.noiseMultiplier, alpha), 0);

/**
 * The ε of a history at δ, by RDP: divergences add up over steps at every order, then `epsilonFromRdp`. An upper bound, not the
 * tightest; 0 for a history without steps.
 *
 * Guarantee: a mechanism with this history is (ε, δ)-differentially private for adding or removing one record, provided every
 * step drew its batch by Poisson sampling, a record at a time; shuffled or fixed batches are not covered. Unlike the engine it
 * accepts any δ below 1.
 * @throws ValueError as `epsilonFromRdp`, and for a history that holds an impossible event.
 */
export const privacySpent = named("privacySpent", (history: PrivacyHistory, options: RdpOptions): PrivacySpent => {
	expects("privacySpent", { history, options }, { history: "list", options: "options" });
	const used = usedEvents(history);
	const spent = epsilonFromRdp((alpha) => composedRdp(used, alpha), options);
	return used.length === 0 ? { ...spent, epsilon: 0 } : spent;
});

/** A δ and the Rényi order that gave it. */
export interface DeltaSpent {
	/** δ, from 0 to 1. */
	readonly delta: number;
	/** The order α that attains it. */
	readonly order: number;
}

/**
 * The δ of a history at `epsilon`, by RDP: min over α of exp((α−1)·(RDP(α) − ε + ln((α−1)/α)) − ln α), at most 1. Source: as
 * `epsilonFromRdp`.
 * @throws ValueError for epsilon below 0, and as `privacySpent`.
 */
export const deltaFromRdp = named(
	"deltaFromRdp",
	(history: PrivacyHistory, epsilon: number, orders: readonly number[] = DEFAULT_ORDERS): DeltaSpent => {
		expects("deltaFromRdp", { history, epsilon, orders }, { history: "list", epsilon: "number", orders: "list" });
		checkNonNegative("epsilon", epsilon);
		const used = usedEvents(history);
		if (used.length === 0) return { delta: 0, order: orders[0] };
		let best = 0;
		let order = orders[0];
		for (const alpha of [...orders].sort((a, b) => a - b)) {
			checkOrder(alpha);
			const exponent = composedRdp(used, alpha) - epsilon + Math.log1p(-1 / alpha);
			const logDelta = (alpha - 1) * exponent - Math.log(alpha);
			if (logDelta < best) {
				best = logDelta;
				order = alpha;
			}
			// Beyond, logDelta grows with α, by exponent + (α − 1)·RDP′(α).
			if (exponent > 0) break;
		}
		return { delta: Math.exp(best), order };
	},
);

/** The ε of `privacySpent`. Guarantee and errors as there. */
export function epsilon(history: PrivacyHistory, options: RdpOptions): number {
	return privacySpent(history, options).epsilon;
}

/** An accountant as JSON, written by `RdpAccountant.state` and read by `RdpAccountant.fromState`. */
export interface RdpAccountantState {
	/** Kind of the accountant. */
	readonly mechanism: "rdp";
	/** Version of this form. */
	readonly version: 1;
	/** What was added up. */
	readonly history: PrivacyHistory;
	/** The Rényi orders that ε is minimised over. */
	readonly orders: readonly number[];
}

/** Adds up what a run spends, step by step; Opacus' RDPAccountant. Guarantee as of `privacySpent`. */
export class RdpAccountant {
	static {
		Object.freeze(RdpAccountant.prototype);
	}

	readonly #orders: readonly number[];
	#history: PrivacyHistory = [];

	/**
	 * `orders` are the Rényi orders to minimise over; `DEFAULT_ORDERS` when left out.
	 * @throws ValueError for an order not above 1.
	 */
	constructor(options: { readonly orders?: readonly number[] } = {}) {
		expects("RdpAccountant", { options }, { options: "options" });
		const { orders = DEFAULT_ORDERS } = options;
		expects("RdpAccountant", { orders }, { orders: "list" });
		blaming("RdpAccountant", () => orders.forEach(checkOrder));
		this.#orders = Object.freeze([...orders]);
	}

	/**
	 * An accountant that goes on where another one stopped.
	 * @throws ValueError when `state` was not written by `state()`, or holds an impossible event or order.
	 */
	static fromState(state: RdpAccountantState): RdpAccountant {
		return blaming("RdpAccountant.fromState", () => {
			if (state?.mechanism !== "rdp" || state.version !== 1 || !Array.isArray(state.history) || !Array.isArray(state.orders)) {
				refuse("state", "the state of an RDP accountant, version 1", state);
			}
			const accountant = new RdpAccountant({ orders: state.orders });
			for (const event of state.history) accountant.step(event);
			return accountant;
		});
	}

	/** What was added up so far; it does not change with later steps. */
	get history(): PrivacyHistory {
		return this.#history;
	}

	/**
	 * Adds `steps` equal steps, 1 when left out.
	 * @throws ValueError for a rate outside [0, 1], a negative or non-finite noise multiplier, or steps that are no count.
	 */
	step({ sampleRate, noiseMultiplier, steps = 1 }: Omit<PrivacyEvent, "steps"> & { readonly steps?: number }): void {
		this.#history = blaming("RdpAccountant.step", () => appendEvent(this.#history, { sampleRate, noiseMultiplier, steps }));
	}

	/**
	 * ε spent so far, at `delta`.
	 * @throws ValueError for delta outside (0, 1), and for an accountant without orders.
	 */
	getEpsilon(delta: number): number {
		return blaming("RdpAccountant.getEpsilon", () => epsilon(this.#history, { delta, orders: this.#orders }));
	}

	/** The accountant as plain values that JSON holds. */
	state(): RdpAccountantState {
		return { mechanism: "rdp", version: 1, history: this.#history, orders: this.#orders };
	}
}
