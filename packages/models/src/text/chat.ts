import { Template } from "@huggingface/jinja";
import { ValueError } from "@hushgrad/tensor";
import { expects, type Kind, named, optionsOf, shown } from "@hushgrad/tensor/author";
import { type SentencePieceTokenizer, TOKENIZER } from "./tokenizer.ts";

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

const OPTIONS = { template: "text?", addGenerationPrompt: "flag?" } as const;
const MESSAGES: Kind = [
	(v) => Array.isArray(v) && v.every((m) => typeof m === "object" && m !== null && typeof m.content === "string"),
	"a list of messages { role, content }",
];

/**
 * Renders a conversation with a chat template, as transformers' apply_chat_template; the template sees bos_token, eos_token,
 * messages and add_generation_prompt. Contents go in as they are: `encodeChat` protects against markers in them.
 * @throws ValueError for no message, an unknown role, and when the template refuses.
 */
export function renderChat(
	messages: readonly ChatMessage[],
	options: ChatOptions & { readonly bosToken: string; readonly eosToken: string },
): string {
	const op = "renderChat";
	expects(op, { messages }, { messages: MESSAGES });
	const kinds = { ...OPTIONS, bosToken: "text", eosToken: "text" } as const;
	const { bosToken, eosToken, template = GEMMA_CHAT_TEMPLATE, addGenerationPrompt = false } = optionsOf(op, options, kinds);
	if (messages.length === 0) throw new ValueError("chat/empty", `${op}: the conversation has no message`, { op });
	const stranger = messages.find((m) => !ROLES.includes(m.role));
	if (stranger !== undefined) {
		throw new ValueError("chat/role", `${op}: a message has the role ${shown(stranger.role)}`, { op, hint: `use ${ROLES.join(", ")}` });
	}
	try {
		return parsed(template).render({
			messages: messages.map((m) => ({ ...m })),
			bos_token: bosToken,
			eos_token: eosToken,
			add_generation_prompt: addGenerationPrompt,
		});
	} catch (cause) {
		throw new ValueError("chat/template", `${op}: the chat template refused the conversation: ${(cause as Error).message}`, {
			op,
			cause,
		});
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
export const encodeChat = named(
	"encodeChat",
	(tokenizer: SentencePieceTokenizer, messages: readonly ChatMessage[], options: ChatOptions = {}): number[] => {
		expects("encodeChat", { tokenizer, messages }, { tokenizer: TOKENIZER, messages: MESSAGES });
		optionsOf("encodeChat", options, OPTIONS);
		const protectedMessages = messages.map((m) => ({ ...m, content: tokenizer.protect(m.content) }));
		const bosToken = tokenizer.pieceOf(tokenizer.bosId);
		const eosToken = tokenizer.pieceOf(tokenizer.eosId);
		return tokenizer.encodeTemplate(renderChat(protectedMessages, { ...options, bosToken, eosToken }));
	},
);
