import { insecureNoiseForTests, plantCanaries, randomCanaries, sampledCanaries, scoreCanaries } from "@hushgrad/dp";
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

describe("exactly", () => {
	const wrong = (v: unknown): never => v as never;
	const valueError = (code: string, message: string, hint?: string) =>
		expect.objectContaining({ name: "ValueError", code, message: expect.stringContaining(message), hint });

	test("random canaries are ⌊u V⌋ of the seed's uniforms, 0 when left out", async () => {
		for (const seed of [undefined, 7]) {
			const source = insecureNoiseForTests(seed ?? 0);
			const expected = Array.from({ length: 5 }, () => Int32Array.from({ length: 4 }, () => Math.floor(source.uniform53() * 1000)));
			expect(await randomCanaries({ count: 5, length: 4, vocabSize: 1000, seed })).toEqual(expected);
		}
	});

	test("a sampled token is the first whose weights up to it, e^(logit/temperature), add up to more than u of all", async () => {
		const logits = [0.3, Number.NEGATIVE_INFINITY, 2, -1, 700, 699.5];
		for (const temperature of [undefined, 0.8, 300]) {
			const asked: number[][] = [];
			const nextLogits = (tokens: readonly number[]) => {
				asked.push([...tokens]);
				return logits;
			};
			const got = await sampledCanaries({ count: 3, length: 6, seed: 4, temperature, nextLogits });
			const source = insecureNoiseForTests(4);
			const weights = logits.map((v) => Math.exp((v - 700) / (temperature ?? 1)));
			const total = weights.reduce((a, b) => a + b);
			const draw = () => {
				const u = source.uniform53() * total;
				let sum = 0;
				return weights.findIndex((w) => {
					sum += w;
					return u < sum;
				});
			};
			const expected: Int32Array[] = [];
			while (expected.length < 3) {
				const one = Int32Array.from({ length: 6 }, draw);
				if (!expected.some((e) => e.join() === one.join())) expected.push(one);
			}
			expect(got).toEqual(expected);
			expect(asked.slice(0, 6)).toEqual([0, 1, 2, 3, 4, 5].map((n) => [...got[0].subarray(0, n)]));
		}
	});

	test("as many are drawn as it takes, ten times the number at most", async () => {
		expect((await randomCanaries({ count: 2, length: 1, vocabSize: 2 })).map((c) => c[0]).sort()).toEqual([0, 1]);
		let drawn = 0;
		const constant = () => {
			drawn++;
			return [1];
		};
		await expect(sampledCanaries({ count: 3, length: 2, nextLogits: constant })).rejects.toThrow(
			valueError("dp/canaries", "sampledCanaries: only 1 different canaries of 3 came up", "make them longer, or the temperature higher"),
		);
		expect(drawn).toBe(2 * 10 * 3);
		await expect(randomCanaries({ count: 3, length: 1, vocabSize: 2 })).rejects.toMatchObject({
			op: "randomCanaries",
			message: expect.stringContaining("randomCanaries: only 2 different canaries of 3 came up"),
		});
	});

	test("what is no canary is refused by name", async () => {
		const sizes = { count: 1, length: 1, vocabSize: 9 };
		for (const name of ["count", "length", "vocabSize"]) {
			const call = async () => randomCanaries({ ...sizes, [name]: 0 });
			await expect(call()).rejects.toThrow(valueError(`dp/${name}`, `${name} must be an integer in 1..`));
		}
		await expect(async () => randomCanaries({ ...sizes, seed: -1 })).rejects.toThrow("seed must be");
		expect(() => randomCanaries(wrong(3))).toThrow("randomCanaries: options is 3, expected options in an object");
		const nextLogits = () => [0, 1];
		await expect(sampledCanaries(wrong(3))).rejects.toThrow("sampledCanaries: options is 3, expected options in an object");
		await expect(sampledCanaries({ ...sizes, nextLogits: wrong(3) })).rejects.toThrow(
			"sampledCanaries: nextLogits is 3, expected a function",
		);
		await expect(sampledCanaries({ ...sizes, nextLogits, temperature: 0.79 })).rejects.toThrow(
			valueError("dp/temperature", "temperature must be 0.8 or more, got 0.79", "colder samples repeat what the model says anyway"),
		);
		await expect(sampledCanaries({ ...sizes, nextLogits, temperature: -1 })).rejects.toThrow("temperature must be a finite number above 0");
		expect(await sampledCanaries({ ...sizes, nextLogits, temperature: 0.8 })).toHaveLength(1);
		for (const none of [[], [Number.NaN], [Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY]]) {
			await expect(sampledCanaries({ ...sizes, nextLogits: () => none })).rejects.toThrow(
				valueError("dp/nextLogits", "nextLogits must be a function that gives finite logits, got "),
			);
		}
	});

	test("planted canaries have coins and places of the seed, 0 when left out", () => {
		const records = Array.from({ length: 9 }, (_, i) => i);
		const canaries = Array.from({ length: 12 }, (_, i) => `c${i}`);
		for (const seed of [undefined, 0, 3, 8]) {
			const source = insecureNoiseForTests(seed ?? 0);
			const coins = canaries.map(() => source.uniform53() < 0.5);
			const included = canaries.filter((_, i) => coins[i]);
			const places = included.map(() => Math.floor(source.uniform53() * 10));
			const expected = [...records, undefined].flatMap((record, i) => [
				...included.filter((_, k) => places[k] === i),
				...(record === undefined ? [] : [record]),
			]);
			const planted = plantCanaries(records, canaries, seed === undefined ? {} : { seed });
			expect(planted).toEqual({ records: expected, included, excluded: canaries.filter((_, i) => !coins[i]) });
		}
		expect(plantCanaries([], ["a"], { seed: 1 }).records.length).toBeLessThan(2);
		for (const [message, call] of [
			["plantCanaries: records is 3, expected a list", () => plantCanaries(wrong(3), [])],
			["plantCanaries: canaries is 3, expected a list", () => plantCanaries([], wrong(3))],
			["plantCanaries: options is 3, expected options in an object", () => plantCanaries([], [], wrong(3))],
			["seed must be an integer in 0..", () => plantCanaries([], [], { seed: -1 })],
		] as const) {
			expect(call).toThrow(message);
		}
	});

	test("scores are losses with their sign turned, one asked for after the other", async () => {
		const asked: number[] = [];
		const loss = async (c: number) => {
			await new Promise((resolve) => setTimeout(resolve, 3 - c));
			asked.push(c);
			return c / 2;
		};
		expect(await scoreCanaries({ included: [1, 2], excluded: [3] }, loss)).toEqual({
			...{ included: Float64Array.of(-0.5, -1), excluded: Float64Array.of(-1.5) },
		});
		expect(asked).toEqual([1, 2, 3]);
		await expect(scoreCanaries(wrong(3), loss)).rejects.toThrow("scoreCanaries: planted is 3, expected options in an object");
		await expect(scoreCanaries({ included: [], excluded: [] }, wrong(3))).rejects.toThrow("scoreCanaries: loss is 3, expected a function");
		await expect(scoreCanaries(wrong({ included: 3, excluded: [] }), loss)).rejects.toThrow(
			"scoreCanaries: included is 3, expected a list",
		);
		await expect(scoreCanaries(wrong({ included: [], excluded: 3 }), loss)).rejects.toThrow(
			"scoreCanaries: excluded is 3, expected a list",
		);
	});
});
