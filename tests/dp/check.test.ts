import { describe, expect, it } from "vitest";
import {
	checkClipNorm,
	checkDelta,
	checkInteger,
	checkNonNegative,
	checkPositive,
	checkSampleRate,
	checkSignificance,
	refuse,
} from "../../packages/dp/src/check.ts";

const tiny = Number.MIN_VALUE;
const below = 1 - 2 ** -53;
const NEVER = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, "0.5", undefined, null, [0.5]];
const probability = "a probability strictly between 0 and 1";

describe("a number outside its domain is refused by its name, what it must be and what came", () => {
	it.each<[string, string, (v: number) => void, number[], unknown[]]>([
		["x", "a finite number above 0", (v) => checkPositive("x", v), [tiny, 1, Number.MAX_VALUE], [0, -tiny]],
		["x", "a finite number, 0 or more", (v) => checkNonNegative("x", v), [0, -0, tiny, Number.MAX_VALUE], [-tiny]],
		["n", "an integer in 1..9007199254740991", (v) => checkInteger("n", v), [1, 2 ** 53 - 1], [0, -1, 1.5, 2 ** 53]],
		["n", "an integer in 0..9007199254740991", (v) => checkInteger("n", v, { min: 0 }), [0, 1], [-1, 0.5]],
		["n", "an integer in 1..7", (v) => checkInteger("n", v, { max: 7 }), [1, 7], [0, 8]],
		["sampleRate", "a probability in [0, 1]", checkSampleRate, [0, tiny, below, 1], [-tiny, 1 + 2 ** -52]],
		["delta", probability, checkDelta, [tiny, below], [0, 1, -tiny]],
		["significance", probability, checkSignificance, [tiny, below], [0, 1, -tiny]],
	])("%s must be %s", (name, expected, check, good, bad) => {
		for (const value of good) expect(() => check(value)).not.toThrow();
		for (const value of [...bad, ...NEVER]) {
			expect(() => check(value as number), String(value)).toThrow(
				expect.objectContaining({
					...{ name: "ValueError", code: `dp/${name}` },
					message: expect.stringContaining(`${name} must be ${expected}, got `),
				}),
			);
		}
	});

	it("a clipping norm is one that sums on a grid in f32 can hold", () => {
		for (const good of [2 ** -104, 1, 2 ** 126]) expect(() => checkClipNorm("maxGradNorm", good)).not.toThrow();
		for (const bad of [2 ** -104 * below, tiny, 2 ** 126 * (1 + 2 ** -52), Number.MAX_VALUE]) {
			expect(() => checkClipNorm("maxGradNorm", bad)).toThrow(
				expect.objectContaining({
					...{ name: "ValueError", code: "dp/maxGradNorm" },
					message: expect.stringContaining(`maxGradNorm must be between 2⁻¹⁰⁴ and 2¹²⁶, got ${bad}`),
				}),
			);
		}
		for (const bad of [0, -1, ...NEVER])
			expect(() => checkClipNorm("maxGradNorm", bad as number)).toThrow("maxGradNorm must be a finite number above 0, got ");
	});

	it("numbers stand in full, other values as their kind, with a hint where there is one", () => {
		expect(() => refuse("a", "b", 1 / 3)).toThrow("a must be b, got 0.3333333333333333");
		expect(() => refuse("a", "b", { c: 1 })).toThrow("a must be b, got an object");
		expect(() => refuse("a", "b", 1)).toThrow(expect.objectContaining({ hint: undefined }));
		expect(() => refuse("a", "b", 1, "d")).toThrow(expect.objectContaining({ hint: "d", message: "a must be b, got 1\n  Hint: d" }));
	});
});
