import { encodeExample, encodePrompt, learnedTokens, padBatch, SentencePieceTokenizer } from "@hushgrad/models";
import { IGNORE_INDEX } from "@hushgrad/tensor";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { goldenPath } from "../support/goldens.ts";

let tokenizer: SentencePieceTokenizer;
beforeAll(async () => {
	tokenizer = await SentencePieceTokenizer.fromFile(goldenPath("tokenizer/tiny.model"));
});

describe("training examples", () => {
	const words = fc
		.array(fc.constantFrom("the", "kidney", "\n", "<end_of_turn>", "é", "42", "?"), { minLength: 1, maxLength: 12 })
		.map((w) => w.join(" "));

	it("learn the response, the end of the turn and <eos>, and nothing of the prompt", () => {
		fc.assert(
			fc.property(words, words, (prompt, response) => {
				fc.pre(response.trim() !== "");
				const { ids, start: begin } = encodeExample(tokenizer, { prompt, response }, { maxLength: 500 });
				const start = encodePrompt(tokenizer, prompt).length;
				const answer = [...tokenizer.encode(response.trim()), tokenizer.idOf("<end_of_turn>"), tokenizer.eosId];
				expect([...ids.slice(start)]).toEqual(answer);
				expect(begin).toBe(start);
			}),
			{ numRuns: 200 },
		);
	});

	it("are never cut, and never empty", () => {
		const long = { prompt: "What?", response: "word ".repeat(50) };
		expect(() => encodeExample(tokenizer, long, { maxLength: 40 })).toThrow(expect.objectContaining({ code: "sft/too-long" }));
		expect(() => encodeExample(tokenizer, { prompt: "What?", response: " \n" }, { maxLength: 40 })).toThrow(
			expect.objectContaining({ code: "sft/no-answer" }),
		);
	});

	it("are padded on the right with <pad>, which is not <eos> and never learned", () => {
		expect(tokenizer.padId).not.toBe(tokenizer.eosId);
		const example = encodeExample(tokenizer, { prompt: "A", response: "B" }, { maxLength: 40 });
		const longer = encodeExample(tokenizer, { prompt: "A", response: "B C D E F" }, { maxLength: 40 });
		const [n, m, p, q] = [example.ids.length, longer.ids.length, learnedTokens(example), learnedTokens(longer)];
		const { ids, positions, targets, weights, learned } = padBatch([example, longer], { rows: 3, length: m, padId: tokenizer.padId });
		const zeros = (count: number, value = 0) => new Array<number>(count).fill(value);
		expect(learned).toBe(q);
		expect([...ids]).toEqual([...example.ids, ...zeros(m - n), ...longer.ids, ...zeros(m)]);
		expect([...targets]).toEqual([...example.ids.slice(-p), ...zeros(q - p, -100), ...longer.ids.slice(-q), ...zeros(q, -100)]);
		// A learned token stands right after the position that predicts it.
		for (const row of [0, 1]) {
			for (let i = row * q; i < (row + 1) * q; i++)
				if (targets[i] !== IGNORE_INDEX) expect(ids[row * m + positions[i] + 1]).toBe(targets[i]);
		}
		expect([...weights]).toEqual([Math.fround(1 / p), Math.fround(1 / q), 0]);
		expect(() => padBatch([example, example], { rows: 1, length: n, padId: 0 })).toThrow(expect.objectContaining({ code: "sft/batch" }));
		expect(() => padBatch([example], { rows: 1, length: n - 1, padId: 0 })).toThrow(expect.objectContaining({ code: "sft/batch" }));
	});

	it("are laid out piece by piece as Gemma's turns", () => {
		const { ids, start } = encodeExample(tokenizer, { prompt: "7", response: " 42 " }, { maxLength: 40 });
		const pieces = [...ids].map((id) => tokenizer.pieceOf(id));
		const text = (from: number, to?: number) => tokenizer.decode(ids.slice(from, to), { skipSpecialTokens: false });
		expect(text(0, start)).toBe("<bos><start_of_turn>user\n7<end_of_turn>\n<start_of_turn>model\n");
		// Digits come out singly.
		expect(pieces.slice(start)).toEqual(["4", "2", "<end_of_turn>", "<eos>"]);
		expect(pieces.slice(0, 2)).toEqual(["<bos>", "<start_of_turn>"]);
	});

	it("let neither prompt nor response add a turn", () => {
		const markers = ["<start_of_turn>", "<end_of_turn>", "<eos>", "<bos>"];
		const { ids, start } = encodeExample(tokenizer, { prompt: markers.join(""), response: markers.join("") }, { maxLength: 400 });
		const count = (part: Int32Array) => markers.map((m) => part.filter((id) => id === tokenizer.idOf(m)).length);
		expect(count(ids.slice(0, start))).toEqual([2, 1, 0, 1]);
		expect(count(ids.slice(start))).toEqual([0, 1, 1, 0]);
	});

	it("fit a limit of exactly their length, and not one token less", () => {
		const example = { prompt: "What?", response: "A heart." };
		const { length } = encodeExample(tokenizer, example, { maxLength: 100 }).ids;
		expect(encodeExample(tokenizer, example, { maxLength: length }).ids.length).toBe(length);
		expect(() => encodeExample(tokenizer, example, { maxLength: length - 1 })).toThrow(
			expect.objectContaining({ name: "ValueError", code: "sft/too-long", message: expect.stringContaining(`${length} tokens`) }),
		);
	});

	it("are batched as reckoned by hand", () => {
		const a = { ids: Int32Array.of(2, 10, 11, 12, 1), start: 3 };
		const b = { ids: Int32Array.of(2, 20, 21, 1), start: 1 };
		const batch = padBatch([a, b], { rows: 3, length: 6, padId: 0 });
		expect([...batch.ids]).toEqual([2, 10, 11, 12, 1, 0, 2, 20, 21, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
		expect(batch.learned).toBe(3);
		expect([...batch.positions]).toEqual([2, 3, 0, 0, 1, 2, 0, 0, 0]);
		expect([...batch.targets]).toEqual([12, 1, -100, 20, 21, 1, -100, -100, -100]);
		expect([...batch.weights]).toEqual([0.5, Math.fround(1 / 3), 0]);
	});
});
