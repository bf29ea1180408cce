import {
	type ChatMessage,
	type Example,
	encodeChat,
	encodeExample,
	encodePrompt,
	renderChat,
	type SentencePieceTokenizer,
} from "@hushgrad/models";
import { ValueError } from "@hushgrad/tensor";

/** How a prompt and its response become one text, and a prompt by itself the beginning of one. */
export interface TextForm {
	/** Prompt and response, of which the response and its end are learned. */
	readonly example: (pair: { readonly prompt: string; readonly response: string }) => Example;
	/** A prompt, up to where the response begins: what generation goes on from. */
	readonly prompt: (prompt: string) => number[];
	/** A conversation that ends with a prompt, up to where the next response begins; undefined for a form of single prompts. */
	readonly chat?: ((messages: readonly ChatMessage[]) => number[]) | undefined;
	/** Tokens that end a response of this form. */
	readonly endIds: readonly number[];
}

/** The form of the notebooks that fine-tune on instructions, without a token that a base model has not seen. */
const PLAIN = `{{ bos_token }}Instruction:
{{ messages[0]['content'] }}

Response:
{% if not add_generation_prompt %}{{ messages[1]['content'] }}{{ eos_token }}{% endif %}`;

/**
 * The form that the setting `template` names: "gemma", "plain", or a chat template in Jinja, which sees bos_token, eos_token, messages
 * (the user's, then the assistant's) and add_generation_prompt.
 * @throws ValueError for a template that refuses, or whose text with a response does not begin with that without.
 */
export function textForm(tokenizer: SentencePieceTokenizer, template: string): TextForm {
	const unlimited = { maxLength: Number.MAX_SAFE_INTEGER };
	if (template === "gemma") {
		return {
			example: (pair) => encodeExample(tokenizer, pair, unlimited),
			prompt: (prompt) => encodePrompt(tokenizer, prompt),
			chat: (messages) => encodeChat(tokenizer, messages, { addGenerationPrompt: true }),
			endIds: [tokenizer.idOf("<end_of_turn>"), tokenizer.eosId],
		};
	}
	const source = template === "plain" ? PLAIN : template;
	if (template !== "plain" && !/\{\{|\{%/.test(template)) {
		throw new ValueError("cli/template", `--template is ${JSON.stringify(template)}, expected gemma, plain or a chat template in Jinja`);
	}
	const tokens = { bosToken: tokenizer.pieceOf(tokenizer.bosId), eosToken: tokenizer.pieceOf(tokenizer.eosId) };
	const render = (contents: readonly string[], addGenerationPrompt: boolean): string => {
		const messages = contents.map(
			(text, i): ChatMessage => ({ role: i === 0 ? "user" : "assistant", content: tokenizer.protect(text.trim()) }),
		);
		return renderChat(messages, { template: source, addGenerationPrompt, ...tokens });
	};
	return {
		example: ({ prompt, response }) => {
			const before = render([prompt], true);
			const whole = render([prompt, response], false);
			if (!whole.startsWith(before) || whole.length === before.length) {
				throw new ValueError("cli/template", "--template: the text with a response does not begin with the text without", {
					hint: "with add_generation_prompt it must end where the response would begin",
				});
			}
			const head = tokenizer.encodeTemplate(before);
			const tail = tokenizer.encodeTemplate(whole.slice(before.length));
			return { ids: Int32Array.from([...head, ...tail]), start: head.length };
		},
		prompt: (prompt) => tokenizer.encodeTemplate(render([prompt], true)),
		endIds: [tokenizer.eosId],
	};
}
