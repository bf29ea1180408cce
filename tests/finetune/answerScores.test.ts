import { readFileSync } from "node:fs";
import { exactMatch, normalizeAnswer, tokenF1 } from "@hushgrad/finetune";
import { describe, expect, it } from "vitest";

interface Golden {
	readonly normalized: readonly (readonly [text: string, normalized: string])[];
	readonly pairs: readonly { readonly answer: string; readonly expected: string; readonly f1: number; readonly exact: number }[];
}
const golden = JSON.parse(readFileSync(new URL("../goldens/squad.json", import.meta.url), "utf8")) as Golden;

describe("scores of answers are those of SQuAD's own script", () => {
	it("normalises", () => {
		for (const [text, normalized] of golden.normalized) expect(normalizeAnswer(text), JSON.stringify(text)).toBe(normalized);
	});

	it("compares", () => {
		expect(golden.pairs.length).toBe(441);
		for (const { answer, expected, f1, exact } of golden.pairs) {
			const pair = JSON.stringify([answer, expected]);
			expect(tokenF1(answer, expected), pair).toBeCloseTo(f1, 14);
			expect(exactMatch(answer, expected), pair).toBe(exact);
		}
	});
});
