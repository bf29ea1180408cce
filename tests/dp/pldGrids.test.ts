import { type AccountedEvent, gaussianDelta, gaussianEpsilon, type PrivacyEvent, pldDelta, pldEpsilon } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { TooManyPoints } from "../../packages/dp/src/accountant/lossPair.ts";
import { pldMeasure } from "../../packages/dp/src/accountant/pld.ts";
import { privacySpent } from "../../packages/dp/src/accountant/rdp.ts";

/* The grids of the accountant of record, by measures whose dependence on the spacing is known. */

const ACCURACY = 2e-4;
const RATE = 0.1;
const LIMITS = { withoutSteps: 0.25, withoutNoise: 0.75 };
const poisson = (sampleRate: number, noiseMultiplier: number, steps: number): PrivacyEvent => ({ sampleRate, noiseMultiplier, steps });
const allocation = (stepsPerEpoch: number, noiseMultiplier: number, epochs: number): AccountedEvent => ({
	...{ sampling: "random-allocation", stepsPerEpoch, noiseMultiplier, epochs },
});

/** The spacing whose bound is to lie the aim above the exact one, where h raises it by T·order·h²/12. */
function spacingFor(similar: readonly PrivacyEvent[], total: number): number {
	const { order } = privacySpent(similar, { delta: RATE });
	return Math.sqrt((12 * (ACCURACY / order)) / (total * order));
}

/** What is found by a measure of the spacing, and the spacings that it was asked for, in order. */
function refined(history: readonly AccountedEvent[], measure: (h: number) => number) {
	const spacings = new Set<number>();
	const bound = pldMeasure(history, RATE, LIMITS, ([{ pair }]) => {
		spacings.add(pair.step);
		return measure(pair.step);
	});
	return { bound, spacings: [...spacings] };
}

const widths = (step: number, factors: readonly number[]) => factors.map((factor) => Math.min(2, factor * step));
const near = (got: readonly number[], wanted: readonly number[]) =>
	expect(got.map((v, i) => v / wanted[i])).toEqual(wanted.map(() => expect.closeTo(1, 9)));

describe("the grids of a measure", () => {
	it.each([
		["Poisson sampling", [poisson(0.25, 1.5, 12)], [poisson(0.25, 1.5, 12)], 12],
		["random allocation, whose ratios add up", [allocation(4, 1.2, 3)], [poisson(0.25, 1.2, 12)], 6],
		["both", [allocation(4, 1.2, 3), poisson(0.1, 1, 5)], [poisson(0.25, 1.2, 12), poisson(0.1, 1, 5)], 11],
	])("of %s are coarse, to see whether anything is spent, and then as fine as the error asks", (_, history, similar, total) => {
		const step = spacingFor(similar, total);
		// At `step` five times the aim: √(1/5) of that spacing has the aim, and nine tenths of it are taken.
		const { bound, spacings } = refined(history, (h) => 0.5 * (1 + 5 * ACCURACY * (h / step) ** 2));
		const last = 0.9 * Math.sqrt((1 + 5 * ACCURACY) / 5);
		near(spacings, widths(step, [256, 48, 12, 2, 1, last]));
		expect(bound.value - bound.error).toBeCloseTo(0.5, 12);
		expect(bound.error / 0.5).toBeCloseTo(5 * ACCURACY * last ** 2, 12);
	});

	it("are no wider than 2, and no finer where the error is within twice the aim", () => {
		const event = poisson(0.5, 0.3, 1);
		const step = spacingFor([event], 1);
		expect(256 * step).toBeGreaterThan(2);
		const { spacings } = refined([event], (h) => 0.5 * (1 + 1.9 * ACCURACY * (h / step) ** 2));
		near(spacings, widths(step, [256, 48, 12, 2, 1]));
	});

	it("end with the first where nothing is spent", () => {
		const { bound, spacings } = refined([poisson(0.25, 1.5, 12)], () => 0);
		expect(bound).toEqual({ value: 0, error: 0 });
		expect(spacings).toHaveLength(1);
	});

	it("are as fine as they may be: a bound stands where the next has too many points, and its error is unknown", () => {
		const event = poisson(0.25, 1.5, 12);
		const step = spacingFor([event], 12);
		const measure = (h: number) => 0.5 * (1 + 0.01 * (h / step) ** 2);
		const { bound, spacings } = refined([event], (h) => {
			if (h < 5 * step) throw new TooManyPoints();
			return measure(h);
		});
		near(
			spacings,
			[256, 48, 12, 2, 4, 8].map((factor) => factor * step),
		);
		near([bound.value, bound.error], [measure(8 * step), measure(8 * step)]);
	});

	it("let other faults pass", () => {
		const fault = new RangeError("not of points");
		const fail = () => {
			throw fault;
		};
		expect(() => refined([poisson(0.25, 1.5, 12)], fail)).toThrow(fault);
	});

	it("are none without steps, and without noise", () => {
		expect(refined([], () => 0.5)).toEqual({ bound: { value: 0.25, error: 0 }, spacings: [] });
		expect(refined([poisson(0.25, 0, 1)], () => 0.5)).toEqual({ bound: { value: 0.75, error: 0 }, spacings: [] });
	});
});

// A cap that lets every record in: the Gaussian mechanism, by grids and not by its closed form.
it("what is cut off of many steps does not add up", () => {
	const steps = 10_000;
	const history: AccountedEvent[] = [
		{ sampling: "truncated-poisson", datasetSize: 100, sampleRate: 1, maxBatchSize: 100, noiseMultiplier: Math.sqrt(steps), steps },
	];
	const epsilon = pldEpsilon(history, 1e-5);
	expect(epsilon.error).toBeGreaterThan(1e-6);
	expect(Math.abs(epsilon.value - epsilon.error - gaussianEpsilon(1, 1e-5))).toBeLessThan(1e-6);
	const delta = pldDelta(history, 1);
	expect(Math.abs((delta.value - delta.error) / gaussianDelta(1, 1) - 1)).toBeLessThan(1e-5);
});
