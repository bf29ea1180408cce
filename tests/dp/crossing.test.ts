import { describe, expect, it } from "vitest";
import { crossingOf } from "../../packages/dp/src/accountant/crossing.ts";

type Value = (x: number) => number;
type Search = Parameters<typeof crossingOf>[1];

/** What is found, and where the value is asked for. */
function searched(value: Value, search: Partial<Search>) {
	const asked: number[] = [];
	const whole: Search = { target: 1, start: 1, factor: 2, low: 2 ** -40, high: 2 ** 40, near: () => true, ...search };
	const found = crossingOf((x) => {
		asked.push(x);
		return value(x);
	}, whole);
	return { found, asked };
}
const near = (expected: readonly number[]) => expected.map((x) => expect.closeTo(x, 9));

/** Dowell and Jarratt 1971, on ln value − ln target over ln x: the end that stays twice counts half; never nearer to an end than a thousandth. */
function illinois(value: Value, a: number, b: number, count: number): number[] {
	const g = (u: number) => Math.min(50, Math.max(-50, Math.log(value(Math.exp(u)))));
	let [left, right] = [Math.log(a), Math.log(b)];
	let [fLeft, fRight] = [g(left), g(right)];
	const points: number[] = [];
	let last = "";
	for (let i = 0; i < count; i++) {
		const least = (right - left) / 1000;
		const secant = (left * fRight - right * fLeft) / (fRight - fLeft);
		const u = Math.max(left + least, Math.min(right - least, secant));
		points.push(Math.exp(u));
		if (g(u) > 0) {
			[right, fRight] = [u, g(u)];
			if (last === "right") fLeft /= 2;
			last = "right";
		} else {
			[left, fLeft] = [u, g(u)];
			if (last === "left") fRight /= 2;
			last = "left";
		}
	}
	return points;
}

describe("crossingOf", () => {
	it("walks to where the value is above the target, in steps whose factor is squared, and gives what lies below", () => {
		const { found, asked } = searched((x) => x, { target: 1000 });
		expect(asked).toEqual(near([1, 2, 8, 128, 32768]));
		expect(found).toBeCloseTo(128, 9);
		expect(searched((x) => x, { target: 1000, start: 10, factor: 3 }).asked).toEqual(near([10, 30, 270, 21870]));
	});

	it("walks down where the value at the start is above the target", () => {
		const { found, asked } = searched((x) => x, { target: 1e-3 });
		expect(asked).toEqual(near([1, 1 / 2, 1 / 8, 1 / 128, 1 / 32768]));
		expect(found).toBeCloseTo(1 / 32768, 12);
	});

	it("keeps to [low, high]: it gives high itself, and nothing below low", () => {
		const bounds = { low: 0.01, high: 100 };
		expect(searched((x) => x, { ...bounds, target: 1000 })).toEqual({ found: 100, asked: near([1, 2, 8, 100]) });
		expect(searched((x) => x, { ...bounds, target: 1e-3 })).toEqual({ found: undefined, asked: near([1, 1 / 2, 1 / 8, 0.01]) });
		expect(searched((x) => x, { start: 100, high: 100, target: 1000 })).toEqual({ found: 100, asked: near([100]) });
		expect(searched((x) => x, { start: 0.01, low: 0.01, target: 1e-3 })).toEqual({ found: undefined, asked: near([0.01]) });
	});

	it("takes what is just the target for what is not above it", () => {
		expect(searched((x) => x, {})).toEqual({ found: 1, asked: near([1, 2]) });
		const flat = searched((x) => (x > 10 ? 2 : 1), { near: (a, b) => b < a * 1.5 });
		expect(flat.found).toBeLessThan(10);
		expect(flat.found).toBeGreaterThan(10 / 1.5);
	});

	it("finds the root of a power at once", () => {
		const { asked } = searched((x) => x ** 3 / 1e6, { near: () => false });
		expect(asked[4]).toBeCloseTo(100, 9);
	});

	it.each<[string, Value]>([
		["bent up", (x) => Math.exp(Math.log(x) ** 3 - 0.1)],
		["bent down", (x) => Math.exp(Math.cbrt(Math.log(x)) - 0.6)],
		["curved both ways", (x) => Math.exp(Math.sinh(3 * (Math.log(x) - 0.5)))],
		["a jump of more than any number", (x) => (x < 1.2 ? 0 : Number.POSITIVE_INFINITY)],
		["a jump close to the upper end", (x) => (x < 1.99999 ? 0.9999999 : Number.POSITIVE_INFINITY)],
		["a jump close to the lower end", (x) => (x < 1.00001 ? 0 : 1.0000001)],
	])("goes by the Illinois method: %s", (_, value) => {
		const { asked } = searched(value, { near: () => false });
		expect(asked.slice(0, 2)).toEqual(near([1, 2]));
		expect(asked.slice(2, 14)).toEqual(near(illinois(value, 1, 2, 12)));
	});

	it("ends after 60 points in the bracket, with one that is not above the target", () => {
		const { found, asked } = searched((x) => (x < 1.7 ? 0.5 : 3), { near: () => false });
		expect(asked.length).toBe(2 + 60);
		expect(found).toBeLessThan(1.7);
		expect(found).toBeCloseTo(1.7, 6);
	});
});
