import { gaussianDelta, gaussianEpsilon } from "@hushgrad/dp";
import { describe, expect, test } from "vitest";
import { chernoffEdge, compose, cumulants, type Segment, tightestTilt } from "../../packages/dp/src/accountant/composition.ts";
import { FFT_ERROR_PER_STAGE } from "../../packages/dp/src/accountant/fft.ts";
import { discretise, type LossPair, TooManyPoints } from "../../packages/dp/src/accountant/lossPair.ts";
import { sampledGaussian } from "../../packages/dp/src/accountant/sampledPair.ts";
import { deltaOf, epsilonOf, type LossLaw, lawAt, lawNearDelta, walk } from "../../packages/dp/src/accountant/tilted.ts";

/** The Gaussian mechanism with μ, so many times. */
const gaussian = (mu: number, times: number, step = 1 / 256): Segment => ({
	pair: discretise(sampledGaussian(1, 1 / mu, 1e-15), step),
	times,
});

/** A pair with these masses under Q at e^(i·step). */
const pairOf = (step: number, first: number, masses: readonly number[]): LossPair => ({
	...{ step, first, logMass: Float64Array.from(masses, Math.log), atZero: 0, atInfinity: 0 },
});

/** The law of the total log ratio under Q, by adding up every combination: mass by index. */
function convolved(segments: readonly Segment[]): Map<number, number> {
	let law = new Map([[0, 1]]);
	for (const { pair, times } of segments) {
		for (let n = 0; n < times; n++) {
			const next = new Map<number, number>();
			for (const [at, mass] of law) {
				pair.logMass.forEach((m, i) => {
					const to = at + pair.first + i;
					next.set(to, (next.get(to) ?? 0) + mass * Math.exp(m));
				});
			}
			law = next;
		}
	}
	return law;
}

const SEGMENTS: readonly Segment[] = [
	{ pair: pairOf(0.25, -2, [0.1, 0.2, 0.3, 0.25, 0.1, 0.05]), times: 5 },
	{ pair: pairOf(0.25, 1, [0.5, 0, 0.5]), times: 2 },
];

describe("cumulants", () => {
	test("are those of the law, of all segments together", () => {
		const law = [...convolved(SEGMENTS)].map(([i, mass]) => [i * 0.25, mass]);
		for (const order of [-1, 0, 0.5, 3]) {
			const weights = law.map(([t, mass]) => mass * Math.exp(order * t));
			const sum = weights.reduce((a, b) => a + b);
			const mean = law.reduce((a, [t], k) => a + t * weights[k], 0) / sum;
			const variance = law.reduce((a, [t], k) => a + (t - mean) ** 2 * weights[k], 0) / sum;
			const got = cumulants(SEGMENTS, order);
			expect(got.value).toBeCloseTo(Math.log(sum), 12);
			expect(got.mean).toBeCloseTo(mean, 12);
			expect(got.variance).toBeCloseTo(variance, 12);
		}
	});

	test("of a steep order are those of the end of the law, however large", () => {
		for (const order of [3000, -3000]) {
			const end = order > 0 ? 21 * 0.25 : -8 * 0.25;
			const mass = order > 0 ? 0.05 ** 5 * 0.5 ** 2 : 0.1 ** 5 * 0.5 ** 2;
			const { value, mean, variance } = cumulants(SEGMENTS, order);
			expect(value / (order * end + Math.log(mass))).toBeCloseTo(1, 12);
			expect([mean, variance]).toEqual([expect.closeTo(end, 12), expect.closeTo(0, 12)]);
		}
	});

	test("of the Gaussian mechanism are a(a − 1) T μ²/2, and its derivatives", () => {
		for (const order of [0, 1, 2.5, 3]) {
			const { value, mean, variance } = cumulants([gaussian(0.5, 8), gaussian(1, 1)], order);
			const square = 8 * 0.25 + 1;
			expect(value).toBeCloseTo((order * (order - 1) * square) / 2, 3);
			expect(mean).toBeCloseTo(((2 * order - 1) * square) / 2, 3);
			expect(variance).toBeCloseTo(square, 3);
		}
	});
});

describe("a tilt", () => {
	test.each([1, -1] as const)("makes Chernoff's bound tightest: √(2 slack/(T μ²)) of the Gaussian mechanism, %i", (sign) => {
		for (const slack of [2, 20, 60]) {
			for (const order of [0, 1, 3]) {
				const segments = [gaussian(0.5, 8)];
				const s = tightestTilt(segments, order, slack, sign);
				expect(s / (sign * Math.sqrt((2 * slack) / 2))).toBeGreaterThan(0.94);
				expect(s / (sign * Math.sqrt((2 * slack) / 2))).toBeLessThan(1.06);
				// (K(a + s) − K(a) + slack)/s.
				const edge = ((2 * order - 1 + s) * 2) / 2 + slack / s;
				expect(chernoffEdge(segments, order, slack, s)).toBeCloseTo(edge, 2);
			}
		}
	});

	test("solves s K'(a + s) − K(a + s) + K(a) = slack, also where the law is no normal one", () => {
		const skewed = { pair: discretise(sampledGaussian(0.01, 0.5, 1e-15), 1 / 64), times: 50 };
		const rare = { pair: pairOf(1 / 64, -1, [0.999, 0, 0, ...new Array(200).fill(0), 0.001]), times: 20 };
		const fine = { pair: discretise(sampledGaussian(0.3, 1, 1e-15), 1 / 4096), times: 7 };
		for (const segments of [
			SEGMENTS,
			[skewed],
			[rare],
			[fine],
			[
				{ ...skewed, times: 3 },
				{ ...rare, times: 4 },
			],
		]) {
			for (const order of [0, 1, 2.5]) {
				for (const slack of [0.5, 5, 30]) {
					for (const sign of [1, -1] as const) {
						const s = tightestTilt(segments, order, slack, sign);
						expect(Math.sign(s)).toBe(sign);
						// Where the law ends, no tilt is steep enough.
						if (Math.abs(s) * segments[0].pair.step > 5) continue;
						const [at, base] = [cumulants(segments, order + s), cumulants(segments, order)];
						const reached = s * at.mean - at.value + base.value;
						const slope = (Math.abs(s) * at.variance * Math.abs(s)) / slack;
						expect(Math.abs(Math.log(reached / slack)), `${order} ${slack} ${sign} ${s}`).toBeLessThan(0.05 * Math.max(1, slope));
					}
				}
			}
		}
	});

	test("of a law that ends leaves nothing but its end", () => {
		const s = tightestTilt(SEGMENTS, 1, 200, 1);
		expect(chernoffEdge(SEGMENTS, 1, 200, s)).toBeGreaterThan((3 * 5 + 3 * 2) * 0.25);
		expect(s).toBeGreaterThan(10);
	});
});

describe("a composition", () => {
	test.each([0, 1, 2.5, -1])("has every mass of the law tilted by %d, from above by its bound on round-off", (order) => {
		const { step, first, mass, logScale, roundOff, above, order: own } = compose(SEGMENTS, order, 1e-12);
		expect([step, own, above]).toEqual([0.25, order, 1e-12]);
		expect(logScale).toBeCloseTo(cumulants(SEGMENTS, order).value, 14);
		expect(roundOff).toBeGreaterThan(0);
		expect(roundOff).toBeLessThan(1e-13);
		let found = 0;
		for (const [i, q] of convolved(SEGMENTS)) {
			const exact = q * Math.exp(order * i * step - logScale);
			const got = mass[i - first];
			if (got === undefined) {
				expect(exact).toBeLessThan(1e-12);
				continue;
			}
			found++;
			expect(got).toBeGreaterThanOrEqual(exact * (1 - 1e-13));
			expect(got).toBeLessThanOrEqual(exact + 3 * roundOff + 1e-12);
		}
		expect(found).toBeGreaterThan(20);
		expect(Math.log2(mass.length) % 1).toBe(0);
	});

	test.each([32, 60])("has a window for all of a law that ends: %i tosses of a coin", (times) => {
		const law = compose([{ pair: pairOf(0.5, 1, [0.5, 0.5]), times }], 0, 1e-300);
		expect(law.first).toBe(times);
		expect(law.mass.length).toBe(64);
		let count = 2 ** -times;
		for (let heads = 0; heads <= times; heads++) {
			expect(Math.abs(law.mass[heads] - count)).toBeLessThanOrEqual(2 * law.roundOff);
			count *= (times - heads) / (heads + 1);
		}
		expect(law.mass[0]).toBeLessThan(2 ** -times + 2 * law.roundOff);
		expect(law.mass[times + 1]).toBeLessThan(2 * law.roundOff);
	});

	test("bounds its round-off by that of its transforms, its powers and its exponents", () => {
		const u = 2 ** -53;
		for (const [a, b, times, first, order] of [
			[0.75, 0.25, 3, 0, 0],
			[0.6, 0.4, 40, 3, 2],
			[0.9, 0.1, 7, -2, -1],
		]) {
			const pair = pairOf(0.5, first, [a, b]);
			const law = compose([{ pair, times }], order, 1e-300);
			const size = law.mass.length;
			const tilts = [order * first * 0.5, order * (first + 1) * 0.5];
			const value = Math.log(a * Math.exp(tilts[0]) + b * Math.exp(tilts[1]));
			const tilted = [a * Math.exp(tilts[0] - value), b * Math.exp(tilts[1] - value)];
			const exponents = [a, b].map((m, i) => Math.abs(Math.log(m)) + Math.abs(tilts[i]) + Math.abs(value));
			const stage = FFT_ERROR_PER_STAGE * Math.log2(size);
			const error = stage + 2 * u * (tilted[0] * exponents[0] + tilted[1] * exponents[1]) + 8 * u;
			let roundOff = 0;
			for (let k = 0; k < size; k++) {
				const length = Math.sqrt(tilted[0] ** 2 + tilted[1] ** 2 + 2 * tilted[0] * tilted[1] * Math.cos((2 * Math.PI * k) / size));
				roundOff += (length ** times * ((times * error) / length + stage)) / size;
			}
			expect(law.roundOff / roundOff).toBeCloseTo(1, 9);
		}
	});

	test("of more points than are allowed says so", () => {
		expect(() => compose([{ pair: pairOf(1, 0, [0.5, 0.5]), times: 1e11 }], 0, 1e-300)).toThrow(TooManyPoints);
	});

	test("of the Gaussian mechanism has its δ and its ε, far out as well", () => {
		for (const [mu, times] of [
			[0.5, 8],
			[0.2, 100],
			[2, 1],
		]) {
			const total = mu * Math.sqrt(times);
			for (const delta of [0.1, 1e-5, 1e-40]) {
				const law = lawNearDelta([gaussian(mu, times)], delta);
				const exact = gaussianEpsilon(total, delta);
				// What is cut off of a step, 1e-15, counts as told.
				if (delta < 1e-10) expect(epsilonOf(law, delta)).toBe(Number.POSITIVE_INFINITY);
				else {
					expect(epsilonOf(law, delta)).toBeGreaterThanOrEqual(exact);
					expect(epsilonOf(law, delta) / exact - 1).toBeLessThan(1e-3);
					expect(deltaOf(law, exact) / delta).toBeGreaterThanOrEqual(1 - 1e-12);
					expect(deltaOf(law, exact) / delta - 1).toBeLessThan(1e-2);
				}
			}
			expect(deltaOf(lawAt([gaussian(mu, times)], 0, 1e-12), 0.5) / gaussianDelta(total, 0.5) - 1).toBeLessThan(1e-2);
		}
	});
});

describe("a law of losses", () => {
	/** Mass 0.3 at −1, 0.4 at 0, 0.2 at 1 and 0.1 at 2 under Q, tilted by 3 in units of e^0.7, and 0.01 that is lost. */
	const MASSES = [0.3, 0.4, 0.2, 0.1];
	const law: LossLaw = {
		...{ step: 1, first: -1, order: 3, logScale: 0.7, above: 0, roundOff: 0, lost: 0.01 },
		mass: Float64Array.from(MASSES, (m, i) => m * Math.exp(3 * (i - 1) - 0.7)),
	};
	const exact = (epsilon: number) => MASSES.reduce((sum, m, i) => sum + m * Math.max(0, Math.exp(i - 1) - Math.exp(epsilon)), 0.01);

	test("is walked from above: δ at each loss, and what is as large or larger, times its e^t", () => {
		const seen: number[][] = [];
		walk(law, (...args) => {
			seen.push(args);
			return args[0] > 0;
		});
		expect(seen.map(([t]) => t)).toEqual([2, 1, 0]);
		for (const [t, delta, sum] of seen) {
			expect(delta).toBeCloseTo(exact(t), 14);
			expect(sum).toBeCloseTo(Math.exp(t) * MASSES.slice(t + 1).reduce((a, b) => a + b), 13);
		}
	});

	test("is walked to its last mass, where nobody stops", () => {
		const seen: number[] = [];
		walk(law, (t) => seen.push(t) > 0);
		expect(seen).toEqual([2, 1, 0, -1]);
	});

	test("has the δ of its masses at every ε", () => {
		for (const epsilon of [0, 0.25, 0.999, 1, 1.5, 2, 3]) expect(deltaOf(law, epsilon)).toBeCloseTo(exact(epsilon), 14);
	});

	test("has as its ε where δ falls to what is asked for; 0 where it is there at once, ∞ where it never is", () => {
		for (const delta of [0.011, 0.1, exact(1), 0.5, exact(0.25)]) expect(exact(epsilonOf(law, delta))).toBeCloseTo(delta, 13);
		for (const delta of [exact(0), 0.999]) expect(epsilonOf(law, delta)).toBeCloseTo(0, 13);
		for (const delta of [0.01, 0.001]) expect(epsilonOf(law, delta)).toBe(Number.POSITIVE_INFINITY);
	});

	test.each([
		[1e-5, 1 / 2],
		[1e-40, 3 / 4],
	])("near δ %d is tilted by %d of the tightest: Chernoff's bound misses by e¹⁰ at most", (delta, share) => {
		// Of N(·, v): ln of the bound is v (s − tilt)²/2 above its best, which is −v s²/2 = ln δ: ¼ and 1/16 of −ln δ.
		const segments = [gaussian(0.5, 8)];
		const { order, above } = lawNearDelta(segments, delta);
		const steepest = tightestTilt(segments, 1, -Math.log(delta), 1);
		expect((order - 1) / steepest).toBeCloseTo(share, 12);
		const excess = -Math.log(delta) * (1 - share) ** 2;
		expect(Math.log(above / 1e-9) / -excess).toBeCloseTo(1, 1);
	});

	test("counts as lost what is above the window, and what each step gives away", () => {
		const segments = [{ pair: { ...pairOf(0.25, -2, [0.1, 0.2, 0.3, 0.25, 0.1, 0.05]), atInfinity: 1e-4 }, times: 5 }];
		const { lost, above, logScale, first, mass, step, order } = lawAt(segments, 2, 1e-9);
		expect([order, above]).toEqual([3, 1e-9]);
		expect(lost).toBeCloseTo(5e-4 + 1e-9 * Math.exp(logScale - 2 * (first + mass.length - 1) * step), 15);
	});
});
