import type { ChatMessage } from "@hushgrad/models";
import { type AnswerSettings, answer } from "./flags.ts";
import type { Answerer } from "./tuned.ts";

/** A conversation with a model: what was said is read again with each prompt, as far as there is room. */
export class Conversation {
	readonly #answerer: Answerer;
	readonly #settings: AnswerSettings;
	#messages: ChatMessage[] = [];
	#answers = 0;

	constructor(answerer: Answerer, settings: AnswerSettings) {
		this.#answerer = answerer;
		this.#settings = settings;
	}

	/** Whether the model was trained to read more than one prompt. */
	get hasMemory(): boolean {
		return this.#answerer.form.chat !== undefined;
	}

	/** Prompts and answers that it remembers. */
	get messages(): readonly ChatMessage[] {
		return this.#messages;
	}

	/** Forgets what was said. */
	reset(): void {
		this.#messages = [];
	}

	/** The answer to a prompt, piece by piece. One that is left early is remembered as far as it came. */
	async *ask(prompt: string): AsyncGenerator<string> {
		const { ids, messages } = this.#fitting([...this.#messages, { role: "user", content: prompt }]);
		let text = "";
		try {
			for await (const piece of answer(this.#answerer, ids, this.#settings, this.#answers++)) {
				text += piece;
				yield piece;
			}
		} finally {
			if (this.hasMemory) this.#messages = [...messages, { role: "assistant", content: text }];
		}
	}

	/** The newest messages that leave room for an answer. */
	#fitting(messages: readonly ChatMessage[]): { readonly ids: number[]; readonly messages: readonly ChatMessage[] } {
		const { form, model } = this.#answerer;
		const room = model.config.max_position_embeddings - this.#settings.maxNewTokens;
		for (let kept = messages; ; kept = kept.slice(2)) {
			const last = kept.length <= 2;
			const ids = form.chat === undefined ? form.prompt(messages[messages.length - 1]?.content ?? "") : form.chat(kept);
			if (last || form.chat === undefined || ids.length <= room) return { ids, messages: kept };
		}
	}
}
