import { encodeExample, encodePrompt, learnedTokens, padExample, SentencePieceTokenizer } from "@hushgrad/models";
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

	it("learn the response and the end of the turn, no <eos> behind it, and nothing of the prompt", () => {
		fc.assert(
			fc.property(words, words, (prompt, response) => {
				fc.pre(response.trim() !== "");
				const { ids, start: begin } = encodeExample(tokenizer, { prompt, response }, { maxLength: 500 });
				const start = encodePrompt(tokenizer, prompt).length;
				const answer = [...tokenizer.encode(response.trim()), tokenizer.idOf("<end_of_turn>")];
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
		const room = { length: m, learned: q, padId: tokenizer.padId };
		const [short, full] = [padExample(example, room), padExample(longer, room)];
		const filled = (count: number, value = tokenizer.padId) => new Array<number>(count).fill(value);
		expect([...short.ids]).toEqual([...example.ids, ...filled(m - n)]);
		expect([...full.ids]).toEqual([...longer.ids]);
		expect([...short.targets]).toEqual([...example.ids.slice(-p), ...filled(q - p, -100)]);
		expect([...full.targets]).toEqual([...longer.ids.slice(-q)]);
		// A learned token stands right after the position that predicts it.
		for (const { ids, positions, targets } of [short, full]) {
			targets.forEach((target, i) => {
				if (target !== IGNORE_INDEX) expect(ids[positions[i] + 1]).toBe(target);
			});
		}
		expect([short.weight, full.weight]).toEqual([1 / p, 1 / q]);
	});

	it("look alike from outside once they are padded, and are refused where they do not fit", () => {
		const examples = ["B", "B C D", "B C D E F"].map((response) => encodeExample(tokenizer, { prompt: "A", response }, { maxLength: 40 }));
		const { ids } = examples[2];
		const learned = learnedTokens(examples[2]);
		const sizes = examples.map((e) => {
			const { ids, positions, targets } = padExample(e, { length: 40, learned, padId: 0 });
			return [ids, positions, targets].map((v) => v.length);
		});
		expect(sizes).toEqual(examples.map(() => [40, learned, learned]));
		expect(padExample(examples[2], { length: ids.length, padId: 0 }).targets.length).toBe(ids.length);
		const refused = expect.objectContaining({ name: "ValueError", code: "sft/room", hint: expect.stringContaining("maxLength") });
		expect(() => padExample(examples[2], { length: ids.length - 1, padId: 0 })).toThrow(refused);
		expect(() => padExample(examples[2], { length: 40, learned: learned - 1, padId: 0 })).toThrow(refused);
	});

	it("are laid out piece by piece as Gemma's turns", () => {
		const { ids, start } = encodeExample(tokenizer, { prompt: "7", response: " 42 " }, { maxLength: 40 });
		const pieces = [...ids].map((id) => tokenizer.pieceOf(id));
		const text = (from: number, to?: number) => tokenizer.decode(ids.slice(from, to), { skipSpecialTokens: false });
		expect(text(0, start)).toBe("<bos><start_of_turn>user\n7<end_of_turn>\n<start_of_turn>model\n");
		// Digits come out singly.
		expect(pieces.slice(start)).toEqual(["4", "2", "<end_of_turn>"]);
		expect(pieces.slice(0, 2)).toEqual(["<bos>", "<start_of_turn>"]);
	});

	it("let neither prompt nor response add a turn", () => {
		const markers = ["<start_of_turn>", "<end_of_turn>", "<eos>", "<bos>"];
		const { ids, start } = encodeExample(tokenizer, { prompt: markers.join(""), response: markers.join("") }, { maxLength: 400 });
		const count = (part: Int32Array) => markers.map((m) => part.filter((id) => id === tokenizer.idOf(m)).length);
		expect(count(ids.slice(0, start))).toEqual([2, 1, 0, 1]);
		expect(count(ids.slice(start))).toEqual([0, 1, 0, 0]);
	});

	it("fit a limit of exactly their length, and not one token less", () => {
		const example = { prompt: "What?", response: "A heart." };
		const { length } = encodeExample(tokenizer, example, { maxLength: 100 }).ids;
		expect(encodeExample(tokenizer, example, { maxLength: length }).ids.length).toBe(length);
		expect(() => encodeExample(tokenizer, example, { maxLength: length - 1 })).toThrow(
			expect.objectContaining({ name: "ValueError", code: "sft/too-long", message: expect.stringContaining(`${length} tokens`) }),
		);
	});

	it("are padded as reckoned by hand", () => {
		const room = { length: 6, learned: 3, padId: 9 };
		expect(padExample({ ids: Int32Array.of(2, 10, 11, 12, 1), start: 3 }, room)).toEqual({
			ids: Int32Array.of(2, 10, 11, 12, 1, 9),
			positions: Int32Array.of(2, 3, 0),
			targets: Int32Array.of(12, 1, -100),
			weight: 1 / 2,
		});
		expect(padExample({ ids: Int32Array.of(2, 20, 21, 1), start: 1 }, room)).toEqual({
			ids: Int32Array.of(2, 20, 21, 1, 9, 9),
			positions: Int32Array.of(0, 1, 2),
			targets: Int32Array.of(20, 21, 1),
			weight: 1 / 3,
		});
	});
});
