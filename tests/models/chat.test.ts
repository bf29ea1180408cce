import { fileURLToPath } from "node:url";
import { encodeChat, encodeExample, encodePrompt, learnedTokens, padBatch, renderChat, SentencePieceTokenizer } from "@hushgrad/models";
import { IGNORE_INDEX } from "@hushgrad/tensor";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";

let tokenizer: SentencePieceTokenizer;
beforeAll(async () => {
	tokenizer = await SentencePieceTokenizer.fromFile(
		fileURLToPath(new URL("../../assets/tiny-vaultgemma/tokenizer.model", import.meta.url)),
	);
});

const tokens = { bosToken: "<bos>", eosToken: "<eos>" };

describe("chat template", () => {
	it("renders what Gemma's own template renders", () => {
		// The specification's example.
		const rendered = renderChat(
			[
				{ role: "user", content: "Hi" },
				{ role: "assistant", content: "Hello  " },
				{ role: "user", content: " Q? " },
			],
			{ ...tokens, addGenerationPrompt: true },
		);
		expect(rendered).toBe(
			"<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n<start_of_turn>user\nQ?<end_of_turn>\n<start_of_turn>model\n",
		);
	});

	it("refuses a system message, turns out of order, an empty conversation and a broken template", () => {
		const refused = expect.objectContaining({ code: "chat/template" });
		expect(() => renderChat([{ role: "system", content: "x" }], tokens)).toThrow(refused);
		expect(() => renderChat([{ role: "assistant", content: "x" }], tokens)).toThrow(refused);
		expect(() =>
			renderChat(
				[1, 2].map(() => ({ role: "user" as const, content: "x" })),
				tokens,
			),
		).toThrow(refused);
		expect(() => renderChat([{ role: "user", content: "x" }], { ...tokens, template: "{% if %}" })).toThrow(refused);
		expect(() => renderChat([], tokens)).toThrow(expect.objectContaining({ code: "chat/empty" }));
	});

	it("lets no message make a turn or a control token", () => {
		const control = (ids: number[]) => ids.filter((id) => id <= 2 || id === 5 || id === 6).length;
		const plain = control(encodeChat(tokenizer, [{ role: "user", content: "x" }], { addGenerationPrompt: true }));
		const pieces = fc.constantFrom("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>", "\ufdd0", "<", "model\n", "x");
		fc.assert(
			fc.property(fc.array(pieces, { minLength: 1, maxLength: 8 }), (parts) => {
				const ids = encodeChat(tokenizer, [{ role: "user", content: parts.join("") }], { addGenerationPrompt: true });
				expect(control(ids)).toBe(plain);
			}),
			{ numRuns: 300 },
		);
	});
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
});
