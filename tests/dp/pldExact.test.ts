import {
	type AccountedEvent,
	gaussianDelta,
	gaussianEpsilon,
	type PrivacyEvent,
	pldDelta,
	pldEpsilon,
	truePositiveRate,
} from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { sketchedEpsilon } from "../../packages/dp/src/accountant/pld.ts";
import { privacySpent } from "../../packages/dp/src/accountant/rdp.ts";
import goldens from "../goldens/accountants.json" with { type: "json" };

/* The accountant of record event by event, on short grids; its breadth is in pld.test.ts. */

const poisson = (sampleRate: number, noiseMultiplier: number, steps: number): AccountedEvent => ({ sampleRate, noiseMultiplier, steps });
const allocation = (stepsPerEpoch: number, noiseMultiplier: number, epochs: number): AccountedEvent => ({
	...{ sampling: "random-allocation", stepsPerEpoch, noiseMultiplier, epochs },
});
const capped = (maxBatchSize: number, noiseMultiplier: number, steps: number, sampleRate = 0.25): AccountedEvent => ({
	...{ sampling: "truncated-poisson", datasetSize: 100, sampleRate, maxBatchSize, noiseMultiplier, steps },
});
const spent = (...history: readonly AccountedEvent[]): number => pldEpsilon(history, 1e-5).value;

describe("ε of an event", () => {
	const row = goldens.poisson.find(({ steps }) => steps === 56) as (typeof goldens.poisson)[number];

	it("is dp_accounting's on its finest grid, with the error of its own", () => {
		const { value, error } = pldEpsilon([row], row.delta);
		expect(Math.abs(value / row.pld - 1)).toBeLessThan(1e-4);
		expect(error).toBeGreaterThan(0);
		expect(error).toBeLessThan(5e-5 * value);
	});

	it("is nothing without steps, or without a chance to be drawn, and all without noise", () => {
		const none = { value: 0, error: 0 };
		for (const history of [
			[],
			[poisson(0.1, 0, 0)],
			[poisson(0, 0, 3)],
			[allocation(4, 0, 0)],
			[capped(30, 0, 0)],
			[capped(30, 0, 3, 0)],
		]) {
			expect(pldEpsilon(history, 1e-5)).toEqual(none);
			expect(pldDelta(history, 0.5)).toEqual(none);
			expect(truePositiveRate(history, 0.1)).toBe(0.1);
		}
		for (const event of [poisson(0.1, 0, 1), allocation(4, 0, 1), allocation(1, 0, 1), capped(30, 0, 1)]) {
			expect(pldEpsilon([poisson(0.1, 1, 1), event], 1e-5)).toEqual({ value: Number.POSITIVE_INFINITY, error: 0 });
			expect(pldDelta([event], 0.5)).toEqual({ value: 1, error: 0 });
			expect(truePositiveRate([event], 0.1)).toBe(1);
		}
		expect(pldEpsilon([poisson(1e-6, 1, 1)], 1e-5)).toEqual(none);
	});

	it("is the Gaussian mechanism's where each of them takes every record", () => {
		const mu = Math.sqrt(9 / 25 + 4 / 9 + 1 / 4);
		const history = [poisson(1, 5, 9), allocation(1, 3, 4), poisson(1, 2, 1)];
		expect(pldEpsilon(history, 1e-5)).toEqual({ value: expect.closeTo(gaussianEpsilon(mu, 1e-5), 12), error: 0 });
		expect(pldDelta(history, 1)).toEqual({ value: expect.closeTo(gaussianDelta(mu, 1), 15), error: 0 });
		// A cap takes some of them out, and one that is drawn rarely adds to it.
		for (const more of [capped(99, 1e3, 1, 1), poisson(0.001, 1, 1), allocation(2, 1e3, 1)]) {
			expect(pldEpsilon([...history, more], 1e-5).error).toBeGreaterThan(0);
			expect(spent(...history, more)).toBeGreaterThan(spent(...history));
		}
	});

	it("does not depend on how equal ones are told, and composes of all kinds", () => {
		const whole = spent(poisson(0.25, 1.5, 12));
		expect(spent(poisson(0.25, 1.5, 5), poisson(0.25, 1.5, 7)) / whole - 1).toBeCloseTo(0, 8);
		expect(spent(capped(100, 1.5, 12)) / whole - 1).toBeCloseTo(0, 4);
		expect(spent(capped(30, 1.5, 12))).toBeGreaterThan(1.001 * whole);
		expect(spent(allocation(4, 1.5, 3))).toBeLessThan(0.95 * whole);
		expect(spent(allocation(4, 1.5, 3), poisson(0.25, 1.5, 12))).toBeGreaterThan(whole);
	});

	it("is refined to what is aimed at, and not much further: 4e-5 of ε, 1e-4 with random allocation, 4e-4 of δ", () => {
		for (const [history, aim] of [
			[[poisson(0.25, 1.5, 12)], 4e-5],
			[[poisson(0.1, 0.7, 10)], 4e-5],
			[[poisson(0.5, 3, 4)], 4e-5],
			[[allocation(4, 1.027659, 4)], 1e-4],
			[[allocation(3, 1.5, 2)], 1e-4],
			[[allocation(4, 1.5, 1), poisson(0.25, 1.5, 6)], 1e-4],
		] as const) {
			const epsilon = pldEpsilon(history, 1e-5);
			expect(epsilon.error / epsilon.value).toBeLessThanOrEqual(aim);
			expect(epsilon.error / epsilon.value).toBeGreaterThan(aim / 3);
			const delta = pldDelta(history, 1);
			expect(delta.error / delta.value).toBeLessThanOrEqual(4e-4);
			expect(delta.error / delta.value).toBeGreaterThan(4e-4 / 3);
		}
	});

	it("is finer as more is asked, and never finer than it may be", () => {
		for (const history of [[poisson(0.25, 1.5, 12)], [allocation(4, 1.027659, 4)]]) {
			const fine = pldEpsilon(history, 1e-5);
			const sketch = sketchedEpsilon(history, 1e-5);
			expect(sketch).toBeGreaterThan(fine.value - fine.error);
			expect(sketch / fine.value).toBeLessThan(1.004);
			expect(sketch).not.toBe(fine.value);
		}
		// The authors' code: 5.610.
		expect(pldEpsilon([allocation(4, 1.027659, 4)], 1e-5).error).toBeLessThan(1.3e-4 * 5.61);
		expect(spent(allocation(4, 1.027659, 4))).toBeCloseTo(5.6104, 3);
	});
});

describe("δ of an event", () => {
	it("is dp_accounting's at ε 1, and falls to what ε was asked for", () => {
		const row = goldens.poisson.find(({ steps }) => steps === 56) as (typeof goldens.poisson)[number];
		const { value, error } = pldDelta([row], 1);
		expect(Math.abs(value / row.deltaAtOne - 1)).toBeLessThan(1e-3);
		expect(error).toBeLessThan(5e-4 * value);
		expect(error).toBeGreaterThan(0);
		for (const history of [[poisson(0.25, 1.5, 12)], [allocation(4, 1.2, 2)], [capped(30, 1.5, 12)]]) {
			const { value } = pldEpsilon(history, 1e-4);
			expect(pldDelta(history, value).value / 1e-4).toBeCloseTo(1, 2);
		}
		expect(pldDelta([poisson(0.5, 0.05, 3)], 0).value).toBeLessThanOrEqual(1);
	});
});

describe("ε of events of several kinds", () => {
	it.each([
		["a cap that is often met", capped(12, 1, 4)],
		["random allocation", allocation(4, 0.3, 1)],
	])("is no less than that of each: %s beside Poisson sampling", (_, event) => {
		const [alone, both] = [spent(event), spent(event, poisson(0.01, 1, 1))];
		expect(both).toBeGreaterThan(alone * (1 - 1e-4));
		expect(both).toBeLessThan(alone + spent(poisson(0.01, 1, 1)) + 1);
	});

	const byRdp = (event: AccountedEvent) => privacySpent([event as PrivacyEvent], { delta: 1e-5 }).epsilon;

	it("of Poisson sampling is no more than Rényi divergences say, whatever the noise", () => {
		for (const event of [poisson(0.5, 0.05, 3), poisson(0.9, 0.02, 40), poisson(0.9, 0.01, 1), poisson(0.01, 0.8, 2000)]) {
			expect(spent(event)).toBeLessThanOrEqual(byRdp(event));
		}
	});

	it("of Poisson sampling is what Rényi divergences say where no grid is fine enough", () => {
		const many = poisson(0.9, 1, 1e8);
		expect(pldEpsilon([many], 1e-5)).toEqual({ value: byRdp(many), error: expect.any(Number) });
	});
});

describe("what is refused, by name", () => {
	const wrong = (v: unknown): never => v as never;
	it("a history, δ and ε that are none", () => {
		expect(() => pldEpsilon(wrong(3), 1e-5)).toThrow("pldEpsilon: history is 3, expected a list");
		expect(() => pldEpsilon([], wrong("1"))).toThrow("pldEpsilon: delta is");
		for (const bad of [0, 1, -1, Number.NaN]) expect(() => pldEpsilon([], bad)).toThrow("pldEpsilon: delta must be a probability");
		expect(() => pldEpsilon([], 9e-251)).toThrow("pldEpsilon: delta must be at least 1e-250, got 9e-251");
		expect(pldEpsilon([], 1e-250).value).toBe(0);
		expect(() => pldEpsilon([poisson(2, 1, 1)], 1e-5)).toThrow("pldEpsilon: sampleRate must be");
		expect(() => pldDelta(wrong(3), 1)).toThrow("pldDelta: history is 3, expected a list");
		expect(() => pldDelta([], wrong("1"))).toThrow("pldDelta: epsilon is");
		for (const bad of [-1, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => pldDelta([], bad)).toThrow("pldDelta: epsilon must be");
	});
});
