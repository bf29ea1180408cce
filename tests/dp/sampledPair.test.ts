import { gaussianDelta } from "@hushgrad/dp";
import { describe, expect, test } from "vitest";
import { binomialTail } from "../../packages/dp/src/accountant/binomial.ts";
import {
	coarsened,
	discretise,
	type LossPair,
	logAdd,
	mixture,
	swapped,
	TooManyPoints,
} from "../../packages/dp/src/accountant/lossPair.ts";
import { logNormalDensity, normalCdf } from "../../packages/dp/src/accountant/normal.ts";
import { randomAllocationPair } from "../../packages/dp/src/accountant/randomAllocation.ts";
import { exponentAt, logSampled, replacedGaussian, sampledGaussian } from "../../packages/dp/src/accountant/sampledPair.ts";
import { truncatedPoissonPair } from "../../packages/dp/src/accountant/truncatedPoisson.ts";

/** Probabilities under Q and under P of the outputs on the grid. */
function masses({ step, first, logMass }: LossPair): readonly [number, number] {
	let [q, p] = [0, 0];
	logMass.forEach((m, i) => {
		q += Math.exp(m);
		p += Math.exp(m + (first + i) * step);
	});
	return [q, p];
}

/** E_Q[max(r − e^ε, 0)], and all that is given away. */
const deltaOf = ({ step, first, logMass, atInfinity }: LossPair, epsilon: number): number =>
	logMass.reduce((sum, m, i) => sum + Math.exp(m) * Math.max(0, Math.exp((first + i) * step) - Math.exp(epsilon)), atInfinity);

const near = (got: number, exact: number, relative = 1e-12) =>
	expect(Math.abs(got - exact)).toBeLessThanOrEqual(relative * Math.abs(exact));

describe("the log ratio of a sampled step", () => {
	test("is ln(1 − q + q eˣ), also where eˣ is beyond float64", () => {
		for (const q of [1e-6, 0.1, 0.5, 0.999]) {
			for (const x of [-800, -40, -1, -1e-9, 0, 1e-9, 1, 29.9, 30.1, 100]) {
				const exact = x < 30 ? Math.log1p(q * Math.expm1(x)) : Math.log(1 - q + q * Math.exp(x));
				expect(Math.abs(logSampled(q, x) - exact)).toBeLessThanOrEqual(1e-12 * Math.abs(exact) + 1e-15);
			}
			near(logSampled(q, 5000), 5000 + Math.log(q));
			near(exponentAt(q, 5000), 5000 - Math.log(q));
		}
		for (const x of [-50, 0, 3, 50, 1e6]) expect([logSampled(1, x), exponentAt(1, x)]).toEqual([x, x]);
	});

	test("goes over where eˣ is large without a step", () => {
		for (const q of [0.1, 0.5, 0.9]) {
			near(logSampled(q, 30.01), Math.log(1 - q + q * Math.exp(30.01)), 1e-15);
			near(exponentAt(q, 30.01), Math.log1p(Math.expm1(30.01) / q), 1e-15);
		}
	});

	test("has its exponent as inverse, −∞ below all ratios", () => {
		for (const q of [1e-4, 0.1, 0.9]) {
			for (const x of [-5, -0.5, 0.25, 3, 20, 31, 45, 700]) near(exponentAt(q, logSampled(q, x)), x, 1e-9 / q);
			expect(exponentAt(q, Math.log1p(-q))).toBeLessThan(-30);
			expect(exponentAt(q, Math.log1p(-q) - 0.1)).toBe(Number.NEGATIVE_INFINITY);
		}
	});
});

describe("the outputs of a step", () => {
	test("of Poisson sampling: N(0, 1) against (1 − q) N(0, 1) + q N(1/σ, 1)", () => {
		for (const [q, sigma] of [
			[0.2, 0.7],
			[1, 1.3],
			[0.01, 4],
		]) {
			const s = 1 / sigma;
			const { low, high, logRatio, outputAt, logDensity, scaleAt, beyond } = sampledGaussian(q, sigma, 1e-3);
			for (const u of [-3, -0.5, 0, 0.3, 2, 5]) {
				const densities = (1 - q) * Math.exp(logNormalDensity(u)) + q * Math.exp(logNormalDensity(u - s));
				near(logRatio(u), Math.log(densities) - logNormalDensity(u), 1e-11);
				if (q === 1 || logRatio(u) > Math.log1p(-q) + 0.01) near(outputAt(logRatio(u)), u || 0, 1e-9);
				expect(logDensity(u)).toBe(logNormalDensity(u));
			}
			expect([beyond, high + low]).toEqual([1e-3, expect.closeTo(s, 12)]);
			// A normal tail beyond w weighs e^(−w²/2)/2 at most: both together half of what is given away.
			expect(low).toBeCloseTo(-Math.sqrt(-2 * Math.log(1e-3 / 2)), 12);
			expect(2 * normalCdf(low)).toBeLessThan(1e-3 / 2);
			expect([scaleAt(0), scaleAt(-0.1), scaleAt(8)]).toEqual([Math.min(1, sigma), Math.min(1, sigma), Math.min(1, sigma, 1 / 8)]);
		}
	});

	test("of replacement: (1 − q) N(0, 1) + q N(∓1/σ, 1)", () => {
		for (const [q, sigma] of [
			[0.2, 0.7],
			[0.6, 2],
			[0.01, 0.15],
		]) {
			const s = 1 / sigma;
			const { low, high, logRatio, outputAt, logDensity, scaleAt, beyond } = replacedGaussian(q, sigma, 1e-3);
			const log = (u: number, at: number) => logAdd(Math.log1p(-q) + logNormalDensity(u), Math.log(q) + logNormalDensity(u - at));
			for (const u of [-4, -0.5, 0.3, 2, 7, 12]) {
				expect(Math.abs(logRatio(u) - (log(u, s) - log(u, -s)))).toBeLessThan(1e-11);
				expect(Math.abs(logDensity(u) - log(u, -s))).toBeLessThan(1e-11);
				if (Math.abs(logRatio(u)) > 1e-3) near(outputAt(logRatio(u)), u, 1e-8);
			}
			expect(outputAt(0)).toBe(0);
			for (const t of [29.9, 30.1, 1000]) near(logRatio(outputAt(t)), t, 1e-12);
			expect([beyond, high, scaleAt(0), scaleAt(-8)]).toEqual([1e-3, -low, Math.min(1, sigma) / 2, Math.min(1, sigma, 1 / 8) / 2]);
			expect(low + s).toBeCloseTo(-Math.sqrt(-2 * Math.log(1e-3 / 2)), 12);
		}
	});
});

describe("a pair", () => {
	const pair = (): LossPair => discretise(sampledGaussian(0.2, 0.7, 1e-3), 1 / 64);

	test("keeps the mass and the mean of what lies between two points of the grid", () => {
		const { low, high } = sampledGaussian(0.2, 0.7, 1e-3);
		const s = 1 / 0.7;
		for (const h of [1 / 64, 1 / 3, 4]) {
			const [q, p] = masses(discretise(sampledGaussian(0.2, 0.7, 1e-3), h));
			near(q, normalCdf(high) - normalCdf(low), 1e-13);
			near(p, 0.8 * (normalCdf(high) - normalCdf(low)) + 0.2 * (normalCdf(high - s) - normalCdf(low - s)), 1e-13);
		}
	});

	test("of a ratio that is shifted has all its ratios smaller by as much", () => {
		const [plain, shifted] = [pair(), discretise(sampledGaussian(0.2, 0.7, 1e-3), 1 / 64, Math.log(3))];
		const [q, p] = masses(plain);
		near(masses(shifted)[0], q, 1e-13);
		near(masses(shifted)[1], p / 3, 1e-13);
	});

	test("has δ of the Gaussian mechanism from above, the closer the finer the grid", () => {
		for (const [h, most] of [
			[1 / 8, 1e-2],
			[1 / 64, 2e-4],
			[1 / 512, 3e-6],
		]) {
			const fine = discretise(sampledGaussian(1, 2, 1e-14), h);
			for (const epsilon of [0, 0.3, 1, 2]) {
				const exact = gaussianDelta(0.5, epsilon);
				expect(deltaOf(fine, epsilon) / exact).toBeGreaterThan(1 - 1e-12);
				expect(deltaOf(fine, epsilon) / exact - 1).toBeLessThan(most * (1 + 20 * epsilon ** 2));
			}
		}
	});

	test("on a wider grid keeps mass and mean, and on one as wide everything", () => {
		const fine = pair();
		for (const factor of [2, 7, 64]) {
			const coarse = coarsened(fine, factor);
			near(masses(coarse)[0], masses(fine)[0], 1e-13);
			near(masses(coarse)[1], masses(fine)[1], 1e-13);
			expect([coarse.step, coarse.first, coarse.atZero, coarse.atInfinity]).toEqual([
				...[factor / 64, Math.floor(fine.first / factor)],
				...[fine.atZero, fine.atInfinity],
			]);
			expect(coarse.logMass.length).toBeLessThanOrEqual(Math.ceil(fine.logMass.length / factor) + 2);
			for (const epsilon of [0, 1, 3]) expect(deltaOf(coarse, epsilon)).toBeGreaterThanOrEqual(deltaOf(fine, epsilon) * (1 - 1e-12));
		}
		const same = coarsened(fine, 1);
		expect([...same.logMass.subarray(0, fine.logMass.length)]).toEqual([...fine.logMass]);
	});

	test("with its roles exchanged has the masses of the other law, and twice is itself", () => {
		const one = { ...pair(), atZero: 0.1, atInfinity: 0.2 };
		const other = swapped(one);
		const [q, p] = masses(one);
		near(masses(other)[0], p, 1e-13);
		near(masses(other)[1], q, 1e-13);
		expect([other.atZero, other.atInfinity, other.step, other.first]).toEqual([0.2, 0.1, one.step, -(one.first + one.logMass.length - 1)]);
		const back = swapped(other);
		expect(back.first).toBe(one.first);
		back.logMass.forEach((m, i) => {
			if (Number.isFinite(m)) expect(m).toBeCloseTo(one.logMass[i], 10);
		});
	});

	test("of two mechanisms has the masses of both, by their weights", () => {
		const [one, other] = [
			{ ...pair(), atZero: 0.1, atInfinity: 0.2 },
			{ ...discretise(replacedGaussian(0.5, 0.9, 1e-3), 1 / 64), atZero: 0.3, atInfinity: 0.4 },
		];
		for (const [a, b] of [
			[one, other],
			[other, one],
		]) {
			const mixed = mixture(a, b, 0.3);
			const at = (p: LossPair, i: number) => Math.exp(p.logMass[i - p.first] ?? Number.NEGATIVE_INFINITY);
			expect(mixed.first).toBe(Math.min(a.first, b.first));
			expect(mixed.first + mixed.logMass.length).toBe(Math.max(a.first + a.logMass.length, b.first + b.logMass.length));
			for (let i = mixed.first; i < mixed.first + mixed.logMass.length; i++) {
				expect(Math.abs(at(mixed, i) - (0.3 * at(a, i) + 0.7 * at(b, i)))).toBeLessThanOrEqual(1e-15);
			}
			expect([mixed.step, mixed.atZero, mixed.atInfinity]).toEqual([
				...[1 / 64, expect.closeTo(0.3 * a.atZero + 0.7 * b.atZero, 14)],
				expect.closeTo(0.3 * a.atInfinity + 0.7 * b.atInfinity, 14),
			]);
		}
	});

	test("has no more than 2²¹ points", () => {
		expect(() => discretise(sampledGaussian(1, 0.01, 1e-10), 1e-3)).toThrow(TooManyPoints);
	});

	test("adds in logarithms", () => {
		near(logAdd(1, 2), Math.log(Math.exp(1) + Math.exp(2)), 1e-15);
		near(logAdd(900, 899), 900 + Math.log1p(Math.exp(-1)), 1e-15);
		for (const x of [-900, 0, 3]) expect([logAdd(x, Number.NEGATIVE_INFINITY), logAdd(Number.NEGATIVE_INFINITY, x)]).toEqual([x, x]);
		expect(logAdd(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY)).toBe(Number.NEGATIVE_INFINITY);
	});
});

describe("Poisson sampling with a cap", () => {
	const event = { sampling: "truncated-poisson", datasetSize: 40, sampleRate: 0.2, noiseMultiplier: 1.5, steps: 1 } as const;

	test("is that without one where the cap is out of reach, and else mixes in a replacement", () => {
		const free = discretise(sampledGaussian(0.2, 1.5, 1e-9), 1 / 16);
		expect(truncatedPoissonPair({ ...event, maxBatchSize: 40 }, 1 / 16, 1e-9)).toEqual(free);
		for (const maxBatchSize of [4, 8, 12]) {
			const full = binomialTail(maxBatchSize - 1, 39, 0.2);
			const rate = (binomialTail(maxBatchSize, 40, 0.2) * maxBatchSize) / (40 * full);
			const expected = mixture(discretise(replacedGaussian(rate, 0.75, 1e-9), 1 / 16), free, full);
			expect(truncatedPoissonPair({ ...event, maxBatchSize }, 1 / 16, 1e-9)).toEqual(expected);
		}
	});
});

describe("an epoch of random allocation", () => {
	/** The mean of so many independent ratios, by sorting every combination of a coarse law's points. */
	const deltaOfMean = (steps: number, sigma: number, epsilon: number): number => {
		const spacing = 1 / 16;
		const u = Array.from({ length: 16 * 18 + 1 }, (_, i) => i * spacing - 9);
		const weight = u.map((x) => (spacing * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI));
		const ratio = u.map((x) => Math.exp(x / sigma - 1 / (2 * sigma ** 2)));
		const mean = (count: number, sum: number, w: number): number =>
			count === 0
				? w * Math.max(0, sum / steps - Math.exp(epsilon))
				: ratio.reduce((t, r, i) => t + mean(count - 1, sum + r, w * weight[i]), 0);
		return mean(steps, 0, 1);
	};

	test.each([1, 2])("of %i steps has the δ of a quadrature, from above", (steps) => {
		for (const sigma of [1, 2.5]) {
			const made = randomAllocationPair(steps, sigma, 1 / 256, 1e-12);
			for (const epsilon of [0, 0.5, 1]) {
				// The kink at e^ε costs the quadrature about 1e-3 of itself.
				const exact = steps === 1 ? gaussianDelta(1 / sigma, epsilon) : deltaOfMean(steps, sigma, epsilon);
				expect(deltaOf(made, epsilon) / exact).toBeGreaterThan(1 - 5e-3);
				expect(deltaOf(made, epsilon) / exact).toBeLessThan(1 + 5e-3);
			}
		}
	});

	test.each([1, 2, 3, 5, 8, 13, 64, 100])("of %i steps loses no probability: what is cut off is given away", (steps) => {
		const tail = 1e-7;
		const made = randomAllocationPair(steps, 1.2, 1 / 32, tail);
		const [q, p] = masses(made);
		expect(made.step).toBe(1 / 32);
		expect(q + made.atZero).toBeGreaterThanOrEqual(1 - 1e-12);
		expect(p + made.atInfinity).toBeGreaterThanOrEqual(1 - 1e-12);
		for (const given of [made.atZero, made.atInfinity]) expect(given).toBeLessThan(8 * steps * tail);
		expect(q).toBeLessThanOrEqual(1 + 1e-12);
		expect(p).toBeLessThanOrEqual(1 + 1e-12);
	});

	test("has the variance of a mean of so many ratios, (e^(1/σ²) − 1)/t, but for an excess of order h²", () => {
		for (const steps of [2, 3, 7, 16, 50]) {
			const exact = Math.expm1(1 / 1.5 ** 2) / steps;
			const excess = (h: number) => {
				const { step, first, logMass } = randomAllocationPair(steps, 1.5, h, 1e-13);
				return logMass.reduce((sum, m, i) => sum + Math.exp(m) * Math.expm1((first + i) * step) ** 2, 0) / exact - 1;
			};
			expect(excess(1 / 64)).toBeGreaterThan(0);
			expect(excess(1 / 64)).toBeLessThan(0.05);
			expect(excess(1 / 32) / excess(1 / 64)).toBeGreaterThan(3.5);
			expect(excess(1 / 32) / excess(1 / 64)).toBeLessThan(4.5);
		}
	});

	/** What the pair is by its definition, a pair of ratios at a time: masses by index, and what is given away of both laws. */
	function byDefinition(steps: number, sigma: number, step: number, tail: number) {
		const widthOf = (parts: number) => 2 ** Math.floor(Math.log2(parts) / 3);
		const { first, logMass, atZero, atInfinity } = discretise(
			sampledGaussian(1, sigma, tail / steps),
			step * widthOf(steps),
			Math.log(steps),
		);
		const masses = new Map(Array.from(logMass, (m, i) => [(first + i) * widthOf(steps), Math.exp(m)]));
		const one = { masses, mean: 1 / steps, lostMass: atZero, lostMean: atInfinity / steps };
		const sum = (a: typeof one, b: typeof one, width: number): typeof one => {
			const masses = new Map<number, number>();
			const give = (i: number, mass: number) => masses.set(i, (masses.get(i) ?? 0) + mass);
			for (const [i, x] of a.masses) {
				for (const [j, y] of b.masses) {
					const ratio = Math.exp(i * step) + Math.exp(j * step);
					const low = width * Math.floor(Math.log(ratio) / step / width);
					const share = (ratio * Math.exp(-low * step) - 1) / Math.expm1(width * step);
					give(low, x * y * (1 - share));
					give(low + width, x * y * share);
				}
			}
			const lost = { mass: a.lostMass + b.lostMass, mean: a.lostMean + b.lostMean + a.lostMass * b.mean + b.lostMass * a.mean };
			const ascending = [...masses.keys()].sort((i, j) => i - j);
			for (const indices of [ascending, ascending.toReversed()]) {
				let [cutMass, cutMean] = [0, 0];
				for (const i of indices) {
					const mass = masses.get(i) ?? 0;
					cutMass += mass;
					cutMean += mass * Math.exp(i * step);
					if (cutMass > tail || cutMean > tail) break;
					lost.mass += mass;
					lost.mean += mass * Math.exp(i * step);
					masses.delete(i);
				}
			}
			return { masses, mean: a.mean + b.mean, lostMass: lost.mass, lostMean: lost.mean };
		};
		const sumOf = (count: number): typeof one => {
			if (count === 1) return one;
			const width = widthOf(steps / count);
			const half = sumOf(Math.floor(count / 2));
			const even = sum(half, half, width);
			return count % 2 === 0 ? even : sum(even, one, width);
		};
		return sumOf(steps);
	}

	test.each([
		[2, 1, 1 / 4, 0.01],
		[2, 0.6, 1 / 8, 1e-9],
		[3, 1, 1 / 4, 0.01],
		[3, 0.5, 1 / 8, 1e-6],
		[5, 2, 1 / 16, 0.02],
		[7, 1, 1 / 4, 1e-3],
		[8, 1, 1 / 8, 0.01],
		[9, 0.7, 1 / 8, 1e-4],
		[19, 1, 1 / 8, 0.01],
		[64, 1, 1 / 8, 1e-3],
		[150, 1.5, 1 / 16, 1e-3],
		[2, 0.3, 2, 1e-3],
		[8, 0.3, 1, 1e-3],
	])(
		"of %i steps of noise %d on a grid of %d, cut at %d, is that of its definition, a pair of ratios at a time",
		(steps, sigma, step, tail) => {
			const { masses, lostMass, lostMean } = byDefinition(steps, sigma, step, tail);
			const { first, logMass, atZero, atInfinity } = randomAllocationPair(steps, sigma, step, tail);
			const indices = [...masses.keys()];
			expect([first, first + logMass.length - 1]).toEqual([Math.min(...indices), Math.max(...indices)]);
			logMass.forEach((m, i) => {
				near(Math.exp(m), masses.get(first + i) ?? 0, 1e-9);
			});
			near(atZero, lostMass, 1e-9);
			near(atInfinity, lostMean, 1e-9);
		},
	);

	test("with next to no noise is taken for a known step", () => {
		expect(randomAllocationPair(9, 0.049, 1 / 8, 1e-9)).toEqual(discretise(sampledGaussian(1, 0.049, 1e-9), 1 / 8));
		expect(randomAllocationPair(9, 0.05, 1 / 8, 1e-9)).not.toEqual(discretise(sampledGaussian(1, 0.05, 1e-9), 1 / 8));
	});
});
