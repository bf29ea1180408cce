import { gaussianDelta } from "@hushgrad/dp";
import { describe, expect, test } from "vitest";
import { coarsened, discretise, type LossPair, mixture, swapped } from "../../packages/dp/src/accountant/lossPair.ts";
import { replacedGaussian, sampledGaussian } from "../../packages/dp/src/accountant/sampledPair.ts";

/** Probabilities under Q and under P of the outputs on the grid. */
function masses({ step, first, logMass }: LossPair): readonly [number, number] {
	let [q, p] = [0, 0];
	logMass.forEach((m, i) => {
		q += Math.exp(m);
		p += Math.exp(m + (first + i) * step);
	});
	return [q, p];
}

/** δ(ε) of P against Q: all that is given away, and E_Q[max(r − e^ε, 0)]. */
function deltaOf({ step, first, logMass, atInfinity }: LossPair, epsilon: number): number {
	return logMass.reduce((sum, m, i) => sum + Math.exp(m) * Math.max(0, Math.exp((first + i) * step) - Math.exp(epsilon)), atInfinity);
}

const TAIL = 0.05;
const pairs: Readonly<Record<string, LossPair>> = {
	"every record in every step": discretise(sampledGaussian(1, 1.3, TAIL), 1 / 64),
	"Poisson sampling": discretise(sampledGaussian(0.2, 0.7, TAIL), 1 / 64),
	replacement: discretise(replacedGaussian(0.2, 0.7, TAIL), 1 / 64),
	"a coarser grid": coarsened(discretise(sampledGaussian(0.2, 0.7, TAIL), 1 / 64), 8),
	"one of two": mixture(discretise(sampledGaussian(0.2, 0.7, TAIL), 1 / 64), discretise(replacedGaussian(0.5, 0.9, TAIL), 1 / 64), 0.3),
	"the other direction": swapped(discretise(sampledGaussian(0.2, 0.7, TAIL), 1 / 64)),
};

describe("a dominating pair", () => {
	test.each(Object.entries(pairs))("loses no probability: what is cut off is given away: %s", (_, pair) => {
		const [q, p] = masses(pair);
		// The tails that were cut off weigh something, and no more than what is given away for them.
		expect(q).toBeLessThan(1 - 1e-4);
		expect(p).toBeLessThan(1 - 1e-4);
		expect(q + pair.atZero).toBeGreaterThanOrEqual(1);
		expect(p + pair.atInfinity).toBeGreaterThanOrEqual(1);
		expect([pair.atZero, pair.atInfinity]).toEqual([expect.closeTo(TAIL, 12), expect.closeTo(TAIL, 12)]);
	});

	test("has at every ε the δ of the Gaussian mechanism or more, in both directions, also on a coarse grid", () => {
		const fine = discretise(sampledGaussian(1, 1.3, 1e-12), 1 / 16);
		for (const pair of [fine, coarsened(fine, 4), swapped(fine)]) {
			for (const epsilon of [0, 0.03, 0.5, 1.01, 2, 3]) {
				const exact = gaussianDelta(1 / 1.3, epsilon);
				expect(deltaOf(pair, epsilon)).toBeGreaterThanOrEqual(exact);
				expect(deltaOf(pair, epsilon)).toBeLessThan(exact * 1.1);
			}
		}
	});
});
