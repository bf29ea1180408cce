import { fileURLToPath } from "node:url";
import { encodeChat, encodeExample, encodePrompt, padBatch, renderChat, SentencePieceTokenizer } from "@hushgrad/models";
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
				const { ids, targets, learned } = encodeExample(tokenizer, { prompt, response }, { maxLength: 500 });
				const start = encodePrompt(tokenizer, prompt).length;
				const answer = [...tokenizer.encode(response.trim()), tokenizer.idOf("<end_of_turn>"), tokenizer.eosId];
				expect([...ids.slice(start)]).toEqual(answer);
				targets.forEach((t, i) => expect(t).toBe(i >= start - 1 && i < ids.length - 1 ? ids[i + 1] : IGNORE_INDEX));
				expect(learned).toBe(answer.length);
				expect([...targets].filter((t) => t !== IGNORE_INDEX).at(-1)).toBe(tokenizer.eosId);
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
		const n = example.ids.length;
		const { ids, targets, weights } = padBatch([example], { rows: 2, length: n + 3, padId: tokenizer.padId });
		expect([...ids]).toEqual([...example.ids, 0, 0, 0, ...new Array(n + 3).fill(0)]);
		expect([...targets]).toEqual([...example.targets, -100, -100, -100, ...new Array(n + 3).fill(-100)]);
		expect([...weights]).toEqual([Math.fround(1 / example.learned), 0]);
		expect(() => padBatch([example, example], { rows: 1, length: n, padId: 0 })).toThrow(expect.objectContaining({ code: "sft/batch" }));
		expect(() => padBatch([example], { rows: 1, length: n - 1, padId: 0 })).toThrow(expect.objectContaining({ code: "sft/batch" }));
	});
});
