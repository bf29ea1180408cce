import { plantCanaries, randomCanaries, sampledCanaries, scoreCanaries } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import { describe, expect, test } from "vitest";
import { chiSquare, chiSquareQuantile } from "./statistics.ts";

const LOGITS = [0, 1, 2, -1];

/** Shares of tokens at a temperature. */
function softmax(logits: readonly number[], temperature: number): number[] {
	const weights = logits.map((v) => Math.exp(v / temperature));
	const total = weights.reduce((sum, w) => sum + w, 0);
	return weights.map((w) => w / total);
}

function histogram(canaries: readonly Int32Array[], vocabSize: number): number[] {
	const counts = Array.from({ length: vocabSize }, () => 0);
	for (const canary of canaries) for (const token of canary) counts[token]++;
	return counts;
}

describe("random canaries", () => {
	test("are uniform, different, and follow from the seed", async () => {
		const asked = { count: 500, length: 20, vocabSize: 10, seed: 3 };
		const canaries = await randomCanaries(asked);
		expect(canaries.map((c) => c.length)).toEqual(Array(500).fill(20));
		expect(new Set(canaries.map(String)).size).toBe(500);
		expect(chiSquare(histogram(canaries, 10), Array(10).fill(1000))).toBeLessThan(chiSquareQuantile(9, 4));
		expect(await randomCanaries(asked)).toEqual(canaries);
		expect(await randomCanaries({ ...asked, seed: 4 })).not.toEqual(canaries);
	});

	test("do not come twice, where there are enough", async () => {
		expect(new Set((await randomCanaries({ count: 8, length: 3, vocabSize: 2 })).map(String)).size).toBe(8);
		await expect(randomCanaries({ count: 9, length: 3, vocabSize: 2 })).rejects.toThrow(ValueError);
	});
});

describe("sampled canaries", () => {
	test.each([0.8, 1, 2])("are drawn from the softmax at temperature %f", async (temperature) => {
		const canaries = await sampledCanaries({ count: 400, length: 25, temperature, seed: 1, nextLogits: () => LOGITS });
		const expected = softmax(LOGITS, temperature).map((share) => share * 400 * 25);
		expect(chiSquare(histogram(canaries, 4), expected)).toBeLessThan(chiSquareQuantile(3, 4));
	});

	test("follow what the model says of the tokens before", async () => {
		const next = async (tokens: readonly number[]) =>
			LOGITS.map((_, t) => (t === ((tokens.at(-1) ?? -1) + 1) % 4 ? 0 : Number.NEGATIVE_INFINITY));
		expect(await sampledCanaries({ count: 1, length: 6, nextLogits: next })).toEqual([Int32Array.of(0, 1, 2, 3, 0, 1)]);
		await expect(sampledCanaries({ count: 2, length: 6, nextLogits: next })).rejects.toThrow("only 1 different canaries of 2");
	});

	test("are refused where they tell nothing", async () => {
		const asked = { count: 1, length: 2, nextLogits: () => LOGITS };
		await expect(sampledCanaries({ ...asked, temperature: 0.7 })).rejects.toThrow("temperature must be 0.8 or more");
		await expect(sampledCanaries({ ...asked, nextLogits: () => [Number.NaN, 0] })).rejects.toThrow(ValueError);
		await expect(sampledCanaries({ ...asked, nextLogits: () => [] })).rejects.toThrow(ValueError);
	});
});

describe("planted canaries", () => {
	const records = Array.from({ length: 300 }, (_, i) => `record ${i}`);
	const canaries = Array.from({ length: 1000 }, (_, i) => `canary ${i}`);

	test("are in or out by fair coins, anywhere among the records, which keep their order", () => {
		const { records: all, included, excluded } = plantCanaries(records, canaries, { seed: 2 });
		expect([...included, ...excluded].toSorted()).toEqual(canaries.toSorted());
		expect(Math.abs(included.length - 500)).toBeLessThan(4 * Math.sqrt(250));
		expect(all.filter((r) => r.startsWith("record"))).toEqual(records);
		expect(all.filter((r) => r.startsWith("canary")).toSorted()).toEqual(included.toSorted());
		const places = all.flatMap((r, i) => (r.startsWith("canary") ? [i / all.length] : []));
		expect(places.reduce((sum, p) => sum + p, 0) / places.length).toBeCloseTo(0.5, 1);
		expect(plantCanaries(records, canaries, { seed: 2 }).included).toEqual(included);
		expect(plantCanaries(records, canaries).included).not.toEqual(included);
	});

	test("each have a coin of their own", () => {
		const isIn = (seed: number) => new Set(plantCanaries([], canaries, { seed }).included);
		const [a, b] = [isIn(1), isIn(2)];
		expect(Math.abs(canaries.filter((c) => a.has(c) === b.has(c)).length - 500)).toBeLessThan(4 * Math.sqrt(250));
		const neighbours = canaries.slice(1).filter((c, i) => a.has(c) === a.has(canaries[i]));
		expect(Math.abs(neighbours.length - 500)).toBeLessThan(4 * Math.sqrt(250));
	});

	test("are scored by their losses, the smaller the higher", async () => {
		const { included, excluded } = plantCanaries<number, number>([], [1, 2, 3, 4]);
		const scores = await scoreCanaries({ included, excluded }, async (canary) => canary / 2);
		expect(scores).toEqual({ included: Float64Array.from(included, (c) => -c / 2), excluded: Float64Array.from(excluded, (c) => -c / 2) });
	});
});
