import { ValueError } from "@hushgrad/tensor";
import { expects, named } from "@hushgrad/tensor/author";
import { refuse } from "../check.ts";
import { type AccountedHistory, isPoisson, type PrivacyHistory } from "./events.ts";
import { gaussianDelta, gaussianEpsilon } from "./gaussian.ts";
import { exactMu } from "./gdp.ts";
import { pldDelta, pldEpsilon } from "./pld.ts";
import { prvEpsilon } from "./prv.ts";
import { deltaFromRdp, privacySpent } from "./rdp.ts";

/**
 * How ε and δ are computed: "pld", privacy loss distributions, is the tightest, covers every event, and is the accountant of record;
 * "rdp", Rényi divergences, is looser by 5 to 40 % and cheap; "prv" is what Opacus reports by default, and 0.01 above the tightest;
 * "gdp" is the closed form of the Gaussian mechanism, for steps that take every record.
 */
export type AccountantName = "pld" | "rdp" | "prv" | "gdp";

/** δ to read ε at, by which accountant. */
export interface EpsilonOptions {
	/** δ in (0, 1), the additive slack of the guarantee. */
	readonly delta: number;
	/** "pld" when left out. */
	readonly accountant?: AccountantName | undefined;
	/** Rényi orders for "rdp"; `DEFAULT_ORDERS` when left out. */
	readonly orders?: readonly number[] | undefined;
}

/** ε to read δ at, by which accountant. */
export interface DeltaOptions {
	/** ε, 0 or more. */
	readonly epsilon: number;
	/** "pld" when left out; "prv" has no δ of its own and is refused. */
	readonly accountant?: AccountantName | undefined;
	/** Rényi orders for "rdp"; `DEFAULT_ORDERS` when left out. */
	readonly orders?: readonly number[] | undefined;
}

/**
 * The ε of a history at δ: an upper bound, the tightest by default; 0 for a history without steps, ∞ for steps without noise.
 *
 * Guarantee: a mechanism with this history is (ε, δ)-differentially private for adding or removing one record, provided every step
 * drew its batch as its event says, a record at a time; shuffled batches are not covered. Any δ below 1 is accepted, whatever the
 * number of records.
 * @throws ValueError for delta outside (0, 1), a history that holds an impossible event, and an event that the accountant named does
 * not cover.
 */
export const epsilon = named("epsilon", (history: AccountedHistory, options: EpsilonOptions): number => {
	expects("epsilon", { history, options }, { history: "list", options: "options" });
	const { delta, accountant = "pld", orders } = options;
	switch (accountant) {
		case "pld":
			return pldEpsilon(history, delta).value;
		case "rdp":
			return privacySpent(poissonOnly(history, accountant), { delta, orders }).epsilon;
		case "prv":
			return prvEpsilon(poissonOnly(history, accountant), delta).upper;
		case "gdp":
			return ofGaussian(poissonOnly(history, accountant), (mu) => gaussianEpsilon(mu, delta), Number.POSITIVE_INFINITY);
		default:
			return refuseName(accountant);
	}
});

/**
 * The δ of a history at ε: the inverse of `epsilon`, with its guarantee. 1 for steps without noise.
 * @throws ValueError for epsilon below 0, and as `epsilon`.
 */
export const delta = named("delta", (history: AccountedHistory, options: DeltaOptions): number => {
	expects("delta", { history, options }, { history: "list", options: "options" });
	const { epsilon, accountant = "pld", orders } = options;
	switch (accountant) {
		case "pld":
			return pldDelta(history, epsilon).value;
		case "rdp":
			return deltaFromRdp(poissonOnly(history, accountant), epsilon, orders).delta;
		case "gdp":
			return ofGaussian(poissonOnly(history, accountant), (mu) => gaussianDelta(mu, epsilon), 1);
		case "prv":
			return refuse("accountant", '"pld", "rdp" or "gdp" for delta', accountant);
		default:
			return refuseName(accountant);
	}
});

function ofGaussian(history: PrivacyHistory, value: (mu: number) => number, withoutNoise: number): number {
	const mu = exactMu(history);
	if (mu === 0) return 0;
	return mu === Number.POSITIVE_INFINITY ? withoutNoise : value(mu);
}

function poissonOnly(history: AccountedHistory, accountant: AccountantName): PrivacyHistory {
	const poisson = history.filter(isPoisson);
	if (poisson.length === history.length) return poisson;
	throw new ValueError("dp/accountant", `the ${accountant} accountant covers Poisson sampling alone`, { hint: 'use accountant "pld"' });
}

const refuseName = (accountant: never): never => refuse("accountant", '"pld", "rdp", "prv" or "gdp"', accountant);
