import { nextToken } from "@hushgrad/models";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { argmax, repetitionPenalty, sampleToken, softmaxProbabilities, temperature, topK, topP } from "../../packages/models/src/logits.ts";
import { goldenJson } from "../support/goldens.ts";

interface Case {
	readonly name: string;
	readonly logits: number[];
	readonly seen: number[];
	readonly repetitionPenalty: number | null;
	readonly temperature: number | null;
	readonly topK: number | null;
	readonly topP: number | null;
	readonly output: (number | null)[];
}

describe("logits processors", () => {
	const { cases } = goldenJson<{ cases: Case[] }>("logits/logits.json");

	it.each(cases)("equal transformers: $name", (c) => {
		const input = Float32Array.from(c.logits);
		let scores: Float32Array = input.slice();
		if (c.repetitionPenalty !== null) scores = repetitionPenalty(scores, c.seen, c.repetitionPenalty);
		if (c.temperature !== null) scores = temperature(scores, c.temperature);
		if (c.topK !== null) scores = topK(scores, c.topK);
		if (c.topP !== null) scores = topP(scores, c.topP);
		expect([...scores]).toEqual([...Float32Array.from(c.output, (v) => v ?? Number.NEGATIVE_INFINITY)]);
	});

	it("do not change their input", () => {
		const input = Float32Array.of(3, -1, 2, 0.5);
		const copy = input.slice();
		repetitionPenalty(input, [0, 1], 2);
		temperature(input, 0.5);
		topK(input, 2);
		topP(input, 0.5);
		softmaxProbabilities(input);
		expect(input).toEqual(copy);
	});

	it("topP drops from the least up, of equal ones the first, whatever their signs", () => {
		const value = fc.constantFrom(0, -0, 1, -1, 0.5, -0.5, -3, -1e-30, Number.NEGATIVE_INFINITY);
		fc.assert(
			fc.property(fc.array(value, { minLength: 1, maxLength: 12 }), fc.double({ min: 0.01, max: 0.99, noNaN: true }), (values, p) => {
				fc.pre(values.some(Number.isFinite));
				const logits = Float32Array.from(values);
				const weights = softmaxProbabilities(logits);
				const order = values.map((_, i) => i).sort((a, b) => (values[a] === values[b] ? a - b : values[a] - values[b]));
				let below = 0;
				const dropped = order.slice(0, -1).filter((i) => {
					below = Math.fround(below + weights[i]);
					return below <= Math.fround(1 - p);
				});
				const expected = logits.map((v, i) => (dropped.includes(i) ? Number.NEGATIVE_INFINITY : v));
				expect([...topP(logits, p)]).toEqual([...expected]);
				const within = Float32Array.from([9, ...values]).subarray(1);
				expect([...topP(within, p)]).toEqual([...expected]);
			}),
			{ numRuns: 500 },
		);
	});

	it("sampling takes each token with its probability and never one of probability 0", () => {
		const p = Float32Array.of(0, 0.5, 0.25, 0, 0.25, 0);
		const tokens = Array.from({ length: 1000 }, (_, i) => sampleToken(p, i / 1000));
		const share = (t: number) => tokens.filter((x) => x === t).length / 1000;
		expect([1, 2, 4].map(share)).toEqual([0.5, 0.25, 0.25]);
		fc.assert(
			fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (u) => {
				expect(p[sampleToken(p, u)]).toBeGreaterThan(0);
			}),
		);
	});

	it("an end token waits for the minimum length", () => {
		const logits = Float32Array.of(1, 9, 5, 8);
		const options = { maxNewTokens: 5, minNewTokens: 2, eosTokenIds: [1, 3] };
		expect([0, 1, 2].map((written) => nextToken(logits, [], options, written))).toEqual([2, 2, 1]);
	});

	it("the next token is the likeliest unless one is drawn", () => {
		const logits = Float32Array.of(1, 5, 5, -2);
		expect(argmax(logits)).toBe(1);
		expect(nextToken(logits, [1], { maxNewTokens: 1, repetitionPenalty: 2 })).toBe(2);
		expect(nextToken(logits, [], { maxNewTokens: 1, sample: { uniform: () => 0.99, topK: 1, temperature: 0.5 } })).toBe(2);
	});
});
