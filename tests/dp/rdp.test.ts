import {
	DEFAULT_ORDERS,
	deltaFromRdp,
	epsilonFromRdp,
	OPACUS_ORDERS,
	type PrivacyHistory,
	privacySpent,
	RdpAccountant,
	type RdpOptions,
	rdp,
} from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const epsilon = (history: PrivacyHistory, options: RdpOptions) => privacySpent(history, options).epsilon;
const one = (sampleRate: number, noiseMultiplier: number, steps: number): PrivacyHistory => [{ sampleRate, noiseMultiplier, steps }];

// q, σ, T, δ → ε and best order of Opacus 1.6's RDP accountant (its own order list), with the PLD ε of dp_accounting.
const OPACUS: [number, number, number, number, number, number, number][] = [
	[8 / 900, 0.27, 224, 1e-2, 29.629323, 1.3, 21.381175],
	[8 / 900, 0.5, 224, 1e-5, 9.044387, 2.4, 7.420425],
	[8 / 900, 1, 224, 1e-5, 1.276737, 8.9, 0.842697],
	[32 / 900, 0.8, 56, 1e-5, 4.24761, 4.0, 3.500845],
	[128 / 900, 1.2, 140, 1e-5, 9.695503, 3.0, 8.809484],
	[250 / 60000, 1.3, 3600, 1e-5, 0.9422, 17, 0.85303],
	[0.01, 1, 1000, 1e-5, 2.101365, 7.8, 1.8282436],
	[0.001, 0.8, 10000, 1e-6, 1.703625, 8.2, 0.947324],
	[0.2, 0.5, 3, 1e-5, 13.113691, 2.2, 11.515399],
	[1, 10, 100, 1e-5, 4.728507, 5.4, 4.377178],
	[64 / 10000, 2, 782, 1e-6, 0.433359, 39, 0.393742],
];

describe("epsilon", () => {
	// the table has 7 digits; 0.433359 ± 5e-7 is 1.2e-6 relative
	test.each(OPACUS)("q %d, σ %d, T %i, δ %d: Opacus' ε with Opacus' orders", (q, sigma, steps, delta, want, order) => {
		const spent = privacySpent(one(q, sigma, steps), { delta, orders: OPACUS_ORDERS });
		expect(Math.abs(spent.epsilon / want - 1)).toBeLessThan(1.2e-6);
		expect(spent.order).toBe(order);
	});

	test.each(OPACUS)(
		"q %d, σ %d, T %i, δ %d: the default orders are no looser, and never below PLD",
		(q, sigma, steps, delta, _, __, pld) => {
			const ours = epsilon(one(q, sigma, steps), { delta });
			expect(ours).toBeLessThanOrEqual(epsilon(one(q, sigma, steps), { delta, orders: OPACUS_ORDERS }));
			expect(ours).toBeGreaterThan(pld);
		},
	);

	test("is that of the accountants' own tests", () => {
		// opacus/tests/accountants_test.py; printed with 12 digits
		expect(epsilon(one(0.04, 1.5, 2250), { delta: 1e-5, orders: OPACUS_ORDERS })).toBeCloseTo(7.32911117143, 9);
		// tensorflow_privacy compute_dp_sgd_privacy_test.py; integer orders, where its series is exact to about 1e-12
		const integers = Array.from({ length: 62 }, (_, k) => k + 2);
		expect(privacySpent(one(150 / 60000, 1.3, 6000), { delta: 1e-5, orders: integers })).toEqual({
			epsilon: expect.closeTo(0.7242234026109595, 10),
			order: 19,
		});
		expect(privacySpent(one(100 / 100000, 1, 30000), { delta: 1e-7, orders: integers })).toEqual({
			epsilon: expect.closeTo(1.4154988495444842, 10),
			order: 13,
		});
	});

	test("adds different segments up", () => {
		// docstring of opacus/accountants/analysis/rdp.py: orders 2..32
		const history = [...one(1e-5, 1, 10), ...one(1e-4, 3, 4)];
		const spent = privacySpent(history, { delta: 1e-5, orders: Array.from({ length: 31 }, (_, k) => k + 2) });
		expect(spent).toEqual({ epsilon: expect.closeTo(0.33634406339, 10), order: 23 });
	});

	test("reproduces what the accumulated run of the original notebook spent, as RDP sees it", () => {
		const sigma = 0.26691436767578125;
		const history = [...one(8 / 900, sigma, 112), ...one(12 / 900, sigma, 1), ...one(8 / 900, sigma, 111)];
		const planned = one(1 / 900, sigma, 1800);
		// PLD (dp_accounting): 22.1963 at δ = .01 and 46.303 at 1e-5. RDP may not be below; at σ = .27 it is 8.25 above (table).
		for (const [delta, pld] of [
			[1e-2, 22.1963],
			[1e-5, 46.303],
		]) {
			expect(epsilon(history, { delta })).toBeGreaterThan(pld);
			expect(Math.abs(epsilon(history, { delta }) - pld - 8.25)).toBeLessThan(1);
			expect(epsilon(history, { delta })).toBeGreaterThan(1.2 * epsilon(planned, { delta }));
		}
	});

	test("moves the right way with q, σ, T and δ", () => {
		const run = fc.record({
			q: fc.double({ min: 1e-4, max: 1, noNaN: true }),
			sigma: fc.double({ min: 0.3, max: 20, noNaN: true }),
			steps: fc.integer({ min: 1, max: 5000 }),
			logDelta: fc.double({ min: -25, max: -2, noNaN: true }),
		});
		fc.assert(
			fc.property(run, ({ q, sigma, steps, logDelta }) => {
				const delta = Math.exp(logDelta);
				const base = epsilon(one(q, sigma, steps), { delta });
				// equality up to rounding where ε is clamped at 0
				const atLeast = base * (1 - 1e-11);
				expect(epsilon(one(Math.min(1, q * 1.2), sigma, steps), { delta })).toBeGreaterThanOrEqual(atLeast);
				expect(epsilon(one(q, sigma / 1.1, steps), { delta })).toBeGreaterThanOrEqual(atLeast);
				expect(epsilon(one(q, sigma, steps + 1), { delta })).toBeGreaterThanOrEqual(atLeast);
				expect(epsilon(one(q, sigma, steps), { delta: delta / 2 })).toBeGreaterThanOrEqual(atLeast);
				expect(base).toBeGreaterThanOrEqual(0);
			}),
			{ numRuns: 60, seed: 2 },
		);
	});

	test("of T full batches is that of one with σ/√T", () => {
		expect(epsilon(one(1, 10, 100), { delta: 1e-5 })).toBeCloseTo(epsilon(one(1, 1, 1), { delta: 1e-5 }), 12);
	});

	test("finds its best order inside the default list, from little noise to much", () => {
		for (const [sigma, steps] of [
			[0.05, 224],
			[0.3, 224],
			[1, 224],
			[5, 1000],
			[50, 10],
		]) {
			const { order } = privacySpent(one(8 / 900, sigma, steps), { delta: 1e-5 });
			expect(order).toBeGreaterThan(DEFAULT_ORDERS[0]);
			expect(order).toBeLessThan(DEFAULT_ORDERS.at(-1) ?? 0);
		}
	});

	test("is 0 before the first step and for steps that use no record, ∞ without noise", () => {
		expect(epsilon([], { delta: 1e-5 })).toBe(0);
		expect(epsilon(one(0.1, 1, 0), { delta: 1e-12 })).toBe(0);
		expect(epsilon(one(0, 1, 10), { delta: 1e-12 })).toBe(0);
		expect(epsilon(one(0.1, 0, 1), { delta: 1e-5 })).toBe(Number.POSITIVE_INFINITY);
	});

	test("accepts any δ below 1 and stays finite at σ = .05 and δ = 1e-12", () => {
		const spent = [0.9, 1e-2, 1e-5, 1e-12].map((delta) => epsilon(one(8 / 900, 0.05, 224), { delta }));
		expect(spent.every(Number.isFinite)).toBe(true);
		expect(spent.toSorted((a, b) => a - b)).toEqual(spent);
	});

	test("refuses numbers that mean nothing", () => {
		for (const delta of [0, -1e-5, 1, 2, Number.NaN]) expect(() => epsilon(one(0.1, 1, 1), { delta })).toThrow(ValueError);
		expect(() => epsilon(one(0.1, 1, 1), { delta: 1e-5, orders: [] })).toThrow(ValueError);
		expect(() => epsilon(one(0.1, 1, 1), { delta: 1e-5, orders: [1] })).toThrow(ValueError);
		for (const bad of [one(-0.1, 1, 1), one(1.1, 1, 1), one(Number.NaN, 1, 1), one(0.1, -1, 1), one(0.1, 1, 1.5), one(0.1, 1, -1)]) {
			expect(() => epsilon(bad, { delta: 1e-5 })).toThrow(ValueError);
		}
	});
});

describe("epsilonFromRdp", () => {
	test("converts a constant curve as dp_accounting's test does", () => {
		// rdp_privacy_accountant_test.py: RDP 1.1 at orders 2..32, δ 1e-5 → 1.32783806176 at 32
		const orders = Array.from({ length: 31 }, (_, k) => k + 2);
		expect(epsilonFromRdp(() => 1.1, { delta: 1e-5, orders })).toEqual({ epsilon: expect.closeTo(1.32783806176, 10), order: 32 });
	});

	test("does not hang on how the orders are listed, and names the first that gives it", () => {
		const curve = (alpha: number) => 0.02 * alpha;
		const spent = epsilonFromRdp(curve, { delta: 1e-5 });
		const shuffled = [...DEFAULT_ORDERS.filter((_, i) => i % 2), ...DEFAULT_ORDERS.filter((_, i) => i % 2 === 0)];
		expect(epsilonFromRdp(curve, { delta: 1e-5, orders: DEFAULT_ORDERS.toReversed() })).toEqual(spent);
		expect(epsilonFromRdp(curve, { delta: 1e-5, orders: shuffled })).toEqual(spent);
		expect(epsilonFromRdp(() => 0, { delta: 0.5, orders: [4, 3, 2] })).toEqual({ epsilon: 0, order: 2 });
	});

	test("is the minimum over all orders, though it stops early", () => {
		const history = one(0.05, 1.1, 300);
		const each = DEFAULT_ORDERS.filter((alpha) => alpha < 200).map(
			(alpha) => 300 * rdp(0.05, 1.1, alpha) + Math.log((alpha - 1) / alpha) - (Math.log(1e-5) + Math.log(alpha)) / (alpha - 1),
		);
		expect(epsilon(history, { delta: 1e-5 })).toBeCloseTo(Math.min(...each), 12);
	});
});

describe("deltaFromRdp", () => {
	test("is the inverse of ε, by the same conversion", () => {
		const history = [...one(0.04, 1.5, 300), ...one(0.1, 2, 20)];
		for (const delta of [1e-2, 1e-5, 1e-9]) {
			expect(deltaFromRdp(history, epsilon(history, { delta })).delta / delta - 1).toBeCloseTo(0, 9);
		}
	});

	test("is the least of the orders that are given, in whichever order", () => {
		const history = one(1, 3, 1);
		// RDP of the Gaussian mechanism is α/(2σ²).
		const deltaAt = (alpha: number, epsilon: number) =>
			Math.exp((alpha - 1) * (alpha / 18 - epsilon + Math.log1p(-1 / alpha)) - Math.log(alpha));
		for (const epsilon of [0.05, 0.5, 1, 2, 3.5]) {
			for (const orders of [[64], [2, 64], [64, 2], [3, 40, 8], [1.5], [50, 1.2, 4]]) {
				const { delta, order } = deltaFromRdp(history, epsilon, orders);
				expect(delta / Math.min(1, ...orders.map((alpha) => deltaAt(alpha, epsilon)))).toBeCloseTo(1, 9);
				if (delta < 1) expect(deltaAt(order, epsilon) / delta).toBeCloseTo(1, 9);
			}
		}
	});

	test("is 0 for no steps, at most 1, and refuses a negative ε", () => {
		for (const epsilon of [0, 1]) expect(deltaFromRdp([], epsilon, [5, 3])).toEqual({ delta: 0, order: 5 });
		expect(deltaFromRdp(one(1, 0.01, 1), 0).delta).toBe(1);
		expect(() => deltaFromRdp(one(0.1, 1, 1), -1)).toThrow(ValueError);
	});
});

test("the order list of Opacus is Opacus'", () => {
	expect(OPACUS_ORDERS).toHaveLength(99 + 52);
	expect([OPACUS_ORDERS[0], OPACUS_ORDERS[98], OPACUS_ORDERS[99], OPACUS_ORDERS.at(-1)]).toEqual([1.1, 10.9, 12, 63]);
	expect(OPACUS_ORDERS).not.toContain(11);
	expect(DEFAULT_ORDERS).toEqual(expect.arrayContaining([1.01, 1.09, 11, ...OPACUS_ORDERS]));
	expect(DEFAULT_ORDERS.toSorted((a, b) => a - b)).toEqual(DEFAULT_ORDERS);
	expect([DEFAULT_ORDERS.length, DEFAULT_ORDERS[0], DEFAULT_ORDERS.at(-113), DEFAULT_ORDERS.at(-1)]).toEqual([279, 1.001, 64, 2 ** 20]);
	for (let i = 280 - 113; i < 279; i++) expect(DEFAULT_ORDERS[i] / DEFAULT_ORDERS[i - 1]).toBeCloseTo(2 ** (1 / 8), 12);
});

describe("RdpAccountant", () => {
	test("joins equal steps and gives the ε of its history", () => {
		const accountant = new RdpAccountant();
		for (let i = 0; i < 5; i++) accountant.step({ sampleRate: 0.04, noiseMultiplier: 1.5 });
		accountant.step({ sampleRate: 0.04, noiseMultiplier: 2, steps: 7 });
		expect(accountant.history).toEqual([...one(0.04, 1.5, 5), ...one(0.04, 2, 7)]);
		expect(accountant.getEpsilon(1e-5)).toBe(epsilon(accountant.history, { delta: 1e-5 }));
	});

	test("goes on from its saved state as if it had not stopped", () => {
		const first = new RdpAccountant({ orders: OPACUS_ORDERS });
		first.step({ sampleRate: 0.04, noiseMultiplier: 1.5, steps: 1000 });
		const resumed = RdpAccountant.fromState(JSON.parse(JSON.stringify(first.state())));
		resumed.step({ sampleRate: 0.04, noiseMultiplier: 1.5, steps: 1250 });
		expect(resumed.history).toEqual(one(0.04, 1.5, 2250));
		expect(resumed.getEpsilon(1e-5)).toBeCloseTo(7.32911117143, 9);
	});

	test("keeps its orders in its state", () => {
		const first = new RdpAccountant({ orders: [2] });
		first.step({ sampleRate: 0.04, noiseMultiplier: 1.5, steps: 1000 });
		const resumed = RdpAccountant.fromState(JSON.parse(JSON.stringify(first.state())));
		expect(resumed.state()).toEqual(first.state());
		expect(resumed.getEpsilon(1e-5)).toBe(epsilon(first.history, { delta: 1e-5, orders: [2] }));
	});

	test("refuses steps and states that cannot be", () => {
		const accountant = new RdpAccountant();
		expect(() => accountant.step({ sampleRate: 1.5, noiseMultiplier: 1 })).toThrow(ValueError);
		expect(accountant.history).toEqual([]);
		const state = accountant.state();
		for (const bad of [null, {}, { ...state, version: 2 }, { ...state, mechanism: "prv" }, { ...state, history: [{ sampleRate: 2 }] }]) {
			expect(() => RdpAccountant.fromState(bad as never)).toThrow(ValueError);
		}
	});
});
