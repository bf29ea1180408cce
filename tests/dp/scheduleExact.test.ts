import { describe, expect, it } from "vitest";
import { factorAt, factorsOf, type PlannedSchedule, plannedSchedule, rangeOf, type Schedule } from "../../packages/dp/src/schedule.ts";

const planned = (schedule: unknown, steps: number): PlannedSchedule =>
	plannedSchedule("noiseSchedule", schedule as Schedule, steps) as PlannedSchedule;
const each = (schedule: unknown, steps: number): number[] => {
	const p = planned(schedule, steps);
	return Array.from({ length: steps }, (_, i) => factorAt(p, i + 1));
};

describe("a schedule", () => {
	it.each<[unknown, number, readonly number[]]>([
		[{ kind: "exponential", gamma: 0.5 }, 4, [1, 0.5, 0.25, 0.125]],
		[{ kind: "exponential", gamma: 2, every: 3 }, 8, [1, 1, 1, 2, 2, 2, 4, 4]],
		[{ kind: "linear", end: 3 }, 5, [1, 1.5, 2, 2.5, 3]],
		[{ kind: "linear", end: 2, every: 4 }, 6, [1, 1, 1, 1, 2, 2]],
		[{ kind: "linear", end: 2, every: 6 }, 6, [1, 1, 1, 1, 1, 1]],
		[{ kind: "linear", end: 0.5, every: 2 }, 5, [1, 1, 0.75, 0.75, 0.5]],
		[{ kind: "listed", factors: [1, 3, 2] }, 5, [1, 3, 2, 2, 2]],
		[{ kind: "listed", factors: [1, 0.5], every: 3 }, 4, [1, 1, 1, 0.5]],
		[{ kind: "listed", factors: [1, 3, 2], every: 4 }, 6, [1, 1, 1, 1, 3, 3]],
	])("%j in %d steps", (schedule, steps, factors) => {
		expect(each(schedule, steps)).toEqual(factors);
		const p = planned(schedule, steps);
		expect(factorAt(p, steps + 7), "what comes after the run is as its last step").toBe(factors[steps - 1]);
		expect(factorsOf(p)).toEqual(factors.filter((_, i) => i % p.every === 0));
		expect(rangeOf(p)).toEqual({ least: Math.min(...factors), largest: Math.max(...factors) });
	});

	it("that is left out is 1 throughout", () => {
		expect(plannedSchedule("noiseSchedule", undefined, 5)).toBe(undefined);
		expect([factorAt(undefined, 1), factorAt(undefined, 9)]).toEqual([1, 1]);
		expect(factorsOf(undefined)).toEqual([1]);
		expect(rangeOf(undefined)).toEqual({ least: 1, largest: 1 });
	});

	it("is kept, with all that it needs and nothing more, whatever becomes of what was given", () => {
		expect(planned({ kind: "exponential", gamma: 2, more: 1 }, 5)).toEqual({ kind: "exponential", gamma: 2, every: 1, steps: 5 });
		expect(planned({ kind: "linear", end: 2, every: 3, more: 1 }, 5)).toEqual({ kind: "linear", end: 2, every: 3, steps: 5 });
		const factors = [1, 2];
		const p = planned({ kind: "listed", factors, more: 1 }, 5);
		factors[1] = 9;
		expect(p).toEqual({ kind: "listed", factors: [1, 2], every: 1, steps: 5 });
		expect(Object.isFrozen(p) && p.kind === "listed" && Object.isFrozen(p.factors)).toBe(true);
	});

	const KINDS = "noiseSchedule must be of a kind among exponential, linear, listed, got";
	const POSITIVE = "must be a finite number above 0, got";
	const FACTORS = "noiseSchedule must be one of finite factors above 0, got";
	it.each<[unknown, string]>([
		[null, `${KINDS} undefined`],
		[3, `${KINDS} undefined`],
		[{ kind: "cosine" }, `${KINDS} "cosine"`],
		[{ kind: "exponential", gamma: 2, every: 0 }, "every must be an integer in 1.."],
		[{ kind: "exponential", gamma: 2, every: 1.5 }, "every must be an integer in 1.."],
		[{ kind: "exponential" }, `gamma ${POSITIVE} undefined`],
		[{ kind: "exponential", gamma: 0 }, `gamma ${POSITIVE} 0`],
		[{ kind: "exponential", gamma: 1e-300 }, `${FACTORS} 0`],
		[{ kind: "exponential", gamma: 1e300 }, `${FACTORS} Infinity`],
		[{ kind: "linear" }, `end ${POSITIVE} undefined`],
		[{ kind: "linear", end: -1 }, `end ${POSITIVE} -1`],
		[{ kind: "listed" }, "noiseSchedule: factors is undefined, expected a list"],
		[{ kind: "listed", factors: [] }, "factors must be a list that begins with 1, got"],
		[{ kind: "listed", factors: [2, 1] }, "factors must be a list that begins with 1, got"],
		[{ kind: "listed", factors: [1, 0] }, `${FACTORS} 0`],
		[{ kind: "linear", end: Number.POSITIVE_INFINITY }, `end ${POSITIVE} Infinity`],
		[{ kind: "listed", factors: [1, Number.NaN] }, `${FACTORS} NaN`],
		[{ kind: "listed", factors: [1, Number.POSITIVE_INFINITY] }, `${FACTORS} Infinity`],
		[{ kind: "listed", factors: [1, "1"] }, `${FACTORS} "1"`],
		[{ kind: "listed", factors: [1, 1, 1, 1, 1, 1, -1] }, `${FACTORS} -1`],
	])("%j is none", (schedule, says) => {
		expect(() => planned(schedule, 5)).toThrow(expect.objectContaining({ name: "ValueError", message: expect.stringContaining(says) }));
	});
});
