import {
	bandedSquareRoot,
	delta,
	epsilon,
	gaussianDelta,
	gaussianEpsilon,
	insecureNoiseForTests,
	type PlanOptions,
	planPrivacy,
	privacyStatement,
	type Schedule,
} from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { binnedHistory, binOverlap } from "../../packages/dp/src/accountant/bins.ts";
import { historyAfter } from "../../packages/dp/src/sampler.ts";
import { contribution, dot, LAMBDA, type Matrix, run, strategy } from "./strategies.ts";

describe("what a record in a bin can move", () => {
	const cases = [bandedSquareRoot(1), bandedSquareRoot(2), bandedSquareRoot(3), bandedSquareRoot(8), LAMBDA, [1, 1], [1, 0, 0]];

	it("is the Gram matrix of the bins, whatever the numbers of steps, bins and bands", () => {
		for (const coefs of cases) {
			for (const p of [1, 2, 3, 4, 5, 7]) {
				for (const steps of [1, 2, 3, 6, 7, 12, 13]) {
					const bins = Array.from({ length: p }, (_, bin) => contribution(strategy(coefs, steps), p, bin));
					const own = Math.max(...bins.map((m) => dot(m, m)));
					const shared = Math.max(0, ...bins.flatMap((a, j) => bins.slice(j + 1).map((b) => dot(a, b))));
					const found = binOverlap(run(coefs, p, steps));
					expect(found.own).toBeCloseTo(own, 12);
					expect(found.shared).toBeCloseTo(shared, 12);
				}
			}
		}
	});

	it("is no more by any pattern of contributions: brute force over their signs and steps left out", () => {
		for (const coefs of cases) {
			for (const [p, steps] of [
				[2, 6],
				[3, 9],
				[4, 12],
				[1, 4],
			]) {
				const m = strategy(coefs, steps);
				const times = steps / p;
				const { own, shared } = binOverlap(run(coefs, p, steps));
				for (let pattern = 0; pattern < 3 ** times; pattern++) {
					const of = (step: number): number => (Math.floor(pattern / 3 ** Math.floor(step / p)) % 3) - 1;
					const bins = Array.from({ length: p }, (_, bin) => contribution(m, p, bin, of));
					for (const [j, one] of bins.entries()) {
						expect(dot(one, one)).toBeLessThan(own + 1e-12);
						for (const other of bins.slice(j + 1)) expect(dot(one, other)).toBeLessThan(shared + 1e-12);
					}
				}
			}
		}
	});

	it("grows with the steps, and is less where noise began anew amid the run", () => {
		for (const coefs of cases) {
			for (let steps = 1; steps < 14; steps++) {
				const whole = binOverlap(run(coefs, 3, steps));
				const less = binOverlap({ ...run(coefs, 3, steps), taken: steps - 1 });
				expect(less.own).toBeLessThanOrEqual(whole.own);
				expect(less.shared).toBeLessThanOrEqual(whole.shared);
				const m = strategy(coefs, steps);
				for (let cut = 1; cut < steps; cut++) {
					const block = m.map((row, t) => row.map((c, s) => (t >= cut && s < cut ? 0 : c)));
					const bins = [0, 1, 2].map((bin) => contribution(block, 3, bin));
					for (const [j, one] of bins.entries()) {
						expect(dot(one, one)).toBeLessThan(whole.own + 1e-12);
						for (const other of bins.slice(j + 1)) expect(dot(one, other)).toBeLessThan(whole.shared + 1e-12);
					}
				}
			}
		}
	});

	it("weighs each step by its own noise", () => {
		const factorAt = (step: number): number => [1, 2, 0.5, 3, 1, 1][step - 1];
		const bins = [0, 1].map((bin) => contribution(strategy(LAMBDA, 6, factorAt), 2, bin));
		const { own, shared } = binOverlap({ ...run(LAMBDA, 2, 6), factorAt });
		expect(own).toBeCloseTo(Math.max(...bins.map((m) => dot(m, m))), 12);
		expect(shared).toBeCloseTo(dot(bins[0], bins[1]), 12);
		// One step of much weight after the other: which bins share it is not the same for any two.
		for (const p of [3, 4, 5]) {
			for (const heavy of [1, 2, 3, 4, 5, 6, 7, 8]) {
				const factorAt = (step: number): number => (step === heavy ? 0.25 : 1 + 0.1 * step);
				const bins = Array.from({ length: p }, (_, bin) => contribution(strategy(LAMBDA, 9, factorAt), p, bin));
				const found = binOverlap({ ...run(LAMBDA, p, 9), factorAt });
				expect(found.own).toBeCloseTo(Math.max(...bins.map((m) => dot(m, m))), 12);
				expect(found.shared).toBeCloseTo(Math.max(...bins.flatMap((a, j) => bins.slice(j + 1).map((b) => dot(a, b)))), 12);
			}
		}
	});
});

/** δ at ε of the mixture of two bins of Gram matrix G against no record, and of the reverse, by quadrature over two normals. */
function twoBins([[a, c], [, b]]: Matrix, sigma: number, eps: number): { readonly remove: number; readonly add: number } {
	const [x, y] = [Math.sqrt(a) / sigma, c / Math.sqrt(a) / sigma];
	const z = Math.sqrt(Math.max(0, b / sigma ** 2 - y * y));
	const h = 0.02;
	let [remove, add] = [0, 0];
	for (let u = -9; u <= 12; u += h) {
		for (let v = -9; v <= 12; v += h) {
			const weight = (Math.exp(-(u * u + v * v) / 2) * h * h) / (2 * Math.PI);
			const ratio = (Math.exp(x * u - (x * x) / 2) + Math.exp(y * u + z * v - (y * y + z * z) / 2)) / 2;
			remove += weight * Math.max(0, ratio - Math.exp(eps));
			add += weight * Math.max(0, 1 - Math.exp(eps) * ratio);
		}
	}
	return { remove, add };
}

describe("what a run of bins costs", () => {
	it("is one epoch of random allocation where noise is independent: σ over the square root of the cycles", () => {
		const history = binnedHistory(run([1], 4, 12, 3));
		expect(history).toEqual([{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 3 / Math.sqrt(3), epochs: 1 }]);
	});

	it("is the Gaussian mechanism's where there is one bin, in closed form", () => {
		for (const coefs of [bandedSquareRoot(3), LAMBDA]) {
			const m = contribution(strategy(coefs, 10), 1, 0);
			const mu = Math.sqrt(dot(m, m)) / 5;
			expect(epsilon(binnedHistory(run(coefs, 1, 10, 5)), { delta: 1e-5 })).toBeCloseTo(gaussianEpsilon(mu, 1e-5), 9);
		}
	});

	it("of two bins is the exact δ of the mixture, by quadrature, and no less", () => {
		for (const [coefs, steps, sigma] of [
			[bandedSquareRoot(2), 4, 1.5],
			[bandedSquareRoot(2), 8, 2],
			[LAMBDA, 6, 3],
		] as const) {
			const bins = [0, 1].map((bin) => contribution(strategy(coefs, steps), 2, bin));
			const gram = bins.map((one) => bins.map((other) => dot(one, other)));
			const most = Math.max(gram[0][0], gram[1][1]);
			const even = [
				[most, gram[0][1]],
				[gram[0][1], most],
			];
			for (const eps of [0.5, 1, 2]) {
				const found = delta(binnedHistory(run(coefs, 2, steps, sigma)), { epsilon: eps });
				const exact = twoBins(gram, sigma, eps);
				expect(found).toBeGreaterThan(Math.max(exact.remove, exact.add));
				const bound = twoBins(even, sigma, eps);
				expect(Math.abs(found / Math.max(bound.remove, bound.add) - 1)).toBeLessThan(1e-3);
				// What is not known about the bin is worth something.
				expect(found).toBeLessThan(gaussianDelta(Math.sqrt(most) / sigma, eps));
			}
		}
	});

	it("is no less for contributions that are not aligned, of either sign, by quadrature", () => {
		const [coefs, steps, sigma, eps] = [bandedSquareRoot(2), 4, 1.5, 1];
		const m = strategy(coefs, steps);
		const found = delta(binnedHistory(run(coefs, 2, steps, sigma)), { epsilon: eps });
		for (let pattern = 0; pattern < 16; pattern++) {
			const of = (step: number): number => ((pattern >> step) % 2 === 0 ? 1 : -1);
			const bins = [0, 1].map((bin) => contribution(m, 2, bin, of));
			const exact = twoBins(
				bins.map((one) => bins.map((other) => dot(one, other))),
				sigma,
				eps,
			);
			expect(found).toBeGreaterThan(Math.max(exact.remove, exact.add));
		}
	});

	it("of four bins is no less than δ of the mixture, drawn by Monte Carlo, and close", () => {
		const [coefs, p, steps, sigma, eps, draws] = [bandedSquareRoot(4), 4, 12, 2, 1, 400_000];
		const bins = Array.from({ length: p }, (_, bin) => contribution(strategy(coefs, steps), p, bin));
		const z = new Float64Array(steps * draws);
		insecureNoiseForTests(9).fillNormals(z);
		let [sum, squares] = [0, 0];
		for (let i = 0; i < draws; i++) {
			// With the record, in one bin after the other: δ = E max(0, 1 − e^ε/L).
			const own = bins[i % p];
			const seen = own.map((m, t) => m / sigma + z[i * steps + t]);
			const ratio = bins.reduce((total, m) => total + Math.exp(dot(m, seen) / sigma - dot(m, m) / (2 * sigma ** 2)), 0) / p;
			const value = Math.max(0, 1 - Math.exp(eps) / ratio);
			sum += value;
			squares += value * value;
		}
		const mean = sum / draws;
		const error = Math.sqrt((squares / draws - mean * mean) / draws);
		const found = delta(binnedHistory(run(coefs, p, steps, sigma)), { epsilon: eps });
		expect(found).toBeGreaterThan(mean - 3 * error);
		expect(found).toBeLessThan(1.15 * mean);
	});

	it("is nothing before the first step, one bin's after it, and without noise everything", () => {
		const first = (taken: number, sigma: number) => binnedHistory({ ...run([1, 0.75], 3, 6, sigma), taken });
		expect(first(0, 1)).toEqual([]);
		// The first row of C alone: 1/‖c‖ = 0.8.
		expect(first(1, 2)).toEqual([{ sampling: "random-allocation", stepsPerEpoch: 3, noiseMultiplier: 2 / 0.8, epochs: 1 }]);
		expect(first(6, 0).map((e) => e.noiseMultiplier)).toEqual([0, 0]);
	});
});

describe("a plan with correlated noise", () => {
	const options = { datasetSize: 393, expectedBatchSize: 100, targetDelta: 1e-5, maxGradNorm: 1, steps: 16 };
	const planned = (strategyCoefs: readonly number[], more: object = { targetEpsilon: 8 }) =>
		planPrivacy({ ...options, sampling: { kind: "balls-in-bins", strategyCoefs }, ...more } as PlanOptions);

	it("is calibrated to its target, and says what each step has spent", () => {
		const plan = planned(bandedSquareRoot(4));
		expect(plan.sampleRate).toBe(1 / 4);
		expect(plan.epsilon).toBeLessThanOrEqual(8);
		expect(plan.epsilon).toBeGreaterThan(7.999);
		// The least σ with which a record whose bin is known spends 8 in four steps: 1.200459.
		expect(plan.noiseMultiplier).toBeLessThan(1.2);
		expect(plan.noiseMultiplier).toBeGreaterThan(
			planPrivacy({ ...options, sampling: { kind: "random-allocation" }, targetEpsilon: 8 }).noiseMultiplier,
		);
		const spent = [0, 1, 2, 4, 5, 8, 16].map((steps) => plan.epsilonAfter(steps));
		expect(spent[0]).toBe(0);
		for (let i = 1; i < spent.length; i++) expect(spent[i]).toBeGreaterThan(spent[i - 1]);
		expect(spent.at(-1)).toBe(plan.epsilon);
		expect(plan.epsilonAfter(7)).toBe(epsilon(historyAfter(plan, 7), { delta: 1e-5 }));
	}, 60_000);

	it("keeps the coefficients that it was made with", () => {
		const coefs = [1, 0.5];
		const sampling = { kind: "balls-in-bins" as const, strategyCoefs: coefs };
		const plan = planPrivacy({ ...options, sampling, noiseMultiplier: 2 });
		coefs[1] = 0;
		expect(plan.sampling).toEqual({ kind: "balls-in-bins", strategyCoefs: [1, 0.5] });
		expect(Object.isFrozen(plan.sampling)).toBe(true);
		expect(Object.isFrozen((plan.sampling as typeof sampling).strategyCoefs)).toBe(true);
	});

	it("weighs a schedule of noise step by step", () => {
		const noiseSchedule: Schedule = { kind: "linear", end: 2 };
		const plan = planned(LAMBDA, { noiseMultiplier: 3, noiseSchedule });
		const bins = [0, 1, 2, 3].map((bin) =>
			contribution(
				strategy(LAMBDA, 16, (step) => 1 + (step - 1) / 15),
				4,
				bin,
			),
		);
		const own = Math.max(...bins.map((m) => dot(m, m)));
		const mu = Math.sqrt(own) / 3;
		expect(plan.epsilon).toBeLessThan(gaussianEpsilon(mu, 1e-5));
		const statement = privacyStatement(plan, { stepsTaken: 16, secure: true });
		expect(statement).toContain(`ε = ${Math.ceil(gaussianEpsilon(mu, 1e-5) * 1e4) / 1e4} without amplification by sampling`);
	});

	it("refuses coefficients that are none", () => {
		for (const coefs of [[], [0.5], [1, 1.1], [1, -0.1], [1, 0.2, 0.3], [1, Number.NaN], [1, "0.5"], new Array(65).fill(1)]) {
			expect(() => planned(coefs as number[])).toThrow(expect.objectContaining({ name: "ValueError", op: "planPrivacy" }));
		}
		for (const coefs of [undefined, 4, "1", { 0: 1 }]) {
			expect(() => planned(coefs as never)).toThrow(expect.objectContaining({ name: "ValueError" }));
		}
	});

	it("states bins and correlation", () => {
		const say = (coefs: readonly number[]): string =>
			privacyStatement(planned(coefs, { noiseMultiplier: 2 }), { stepsTaken: 5, secure: true });
		expect(say(bandedSquareRoot(4))).toContain(
			"balls in bins: each record is in one of 4 bins for the whole run, any of them alike, on its own, and the steps take the bins in turn",
		);
		expect(say(bandedSquareRoot(4))).toContain(
			"σ = 2, correlated by C⁻¹, C of 4 bands in proportion to 1, 0.5, 0.375, 0.3125 and of columns of norm 1, on",
		);
		expect(say(bandedSquareRoot(6))).toContain("C of 6 bands in proportion to 1, 0.5, 0.375, 0.3125, … and");
		expect(say([1])).not.toContain("correlated");
		expect(say(bandedSquareRoot(2))).not.toContain("RDP");
	});
});
