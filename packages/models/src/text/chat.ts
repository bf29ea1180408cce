import { Template } from "@huggingface/jinja";
import { ValueError } from "@hushgrad/tensor";
import type { SentencePieceTokenizer } from "./tokenizer.ts";

const ROLES = ["system", "user", "assistant"] as const;

/** One turn of a conversation. */
export interface ChatMessage {
	/** Who speaks: "system", "user" or "assistant". */
	readonly role: (typeof ROLES)[number];
	/** What is said, as text; markers in it are characters. */
	readonly content: string;
}

/** How to render a conversation. */
export interface ChatOptions {
	/** Jinja source, as chat_template in a tokenizer_config.json; `GEMMA_CHAT_TEMPLATE` when left out. */
	readonly template?: string | undefined;
	/** End with the opening of the model's turn; false when left out. */
	readonly addGenerationPrompt?: boolean | undefined;
}

/**
 * The chat format of a Gemma, as Jinja: bos, then the turns of user and model, the user first, contents trimmed, no system
 * message.
 */
export const GEMMA_CHAT_TEMPLATE = `{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
{{ raise_exception('a Gemma has no system message') }}
{%- endif -%}
{%- for message in messages -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('user and assistant must alternate, the user first') }}
{%- endif -%}
{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<start_of_turn>model\\n' }}
{%- endif -%}`;

/**
 * Renders a conversation with a chat template, as transformers' apply_chat_template; the template sees bos_token, eos_token,
 * messages and add_generation_prompt. Contents go in as they are: `encodeChat` protects against markers in them.
 * @throws ValueError for no message, an unknown role, and when the template refuses.
 */
export function renderChat(
	messages: readonly ChatMessage[],
	{
		bosToken,
		eosToken,
		template = GEMMA_CHAT_TEMPLATE,
		addGenerationPrompt = false,
	}: ChatOptions & { readonly bosToken: string; readonly eosToken: string },
): string {
	if (messages.length === 0) throw new ValueError("chat/empty", "the conversation has no message");
	const stranger = messages.find((m) => !ROLES.includes(m.role));
	if (stranger !== undefined) {
		throw new ValueError("chat/role", `a message has the role ${JSON.stringify(stranger.role)}`, { hint: `use ${ROLES.join(", ")}` });
	}
	try {
		return parsed(template).render({
			messages: messages.map((m) => ({ ...m })),
			bos_token: bosToken,
			eos_token: eosToken,
			add_generation_prompt: addGenerationPrompt,
		});
	} catch (cause) {
		throw new ValueError("chat/template", `the chat template refused the conversation: ${(cause as Error).message}`, { cause });
	}
}

let latest: { readonly source: string; readonly template: Template } | undefined;

/** The template of a source; that of the call before is kept, for a data set renders one again and again. */
function parsed(source: string): Template {
	if (latest?.source !== source) latest = { source, template: new Template(source) };
	return latest.template;
}

/**
 * A conversation as ids. Whatever the messages say, only the template itself makes turn markers and control tokens.
 * @throws ValueError as `renderChat`, and for a tokenizer without begin or end token.
 */
export function encodeChat(tokenizer: SentencePieceTokenizer, messages: readonly ChatMessage[], options: ChatOptions = {}): number[] {
	const protectedMessages = messages.map((m) => ({ ...m, content: tokenizer.protect(m.content) }));
	const bosToken = tokenizer.pieceOf(tokenizer.bosId);
	const eosToken = tokenizer.pieceOf(tokenizer.eosId);
	return tokenizer.encodeTemplate(renderChat(protectedMessages, { ...options, bosToken, eosToken }));
}
