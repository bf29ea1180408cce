import { createInterface } from "node:readline";
import { ValueError } from "@hushgrad/tensor";
import { type Command, ExitCode, type Terminal } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { wrap } from "../cli/width.ts";
import { readArguments } from "../settings/arguments.ts";
import { Conversation } from "./conversation.ts";
import { answerFlags, tunedFlags } from "./flags.ts";
import { withAnswerer } from "./session.ts";
import { show } from "./show.ts";
import { checkTuned, findTuned } from "./tuned.ts";

const FLAGS = { ...answerFlags, ...tunedFlags };

/** `hushgrad chat`. */
export const chatCommand: Command = {
	name: "chat",
	summary: "talks with a run, an adapter or a model",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad chat RUN [flags]",
				about:
					"Answers line after line from stdin, a terminal or a pipe. /reset forgets what was said, /quit ends. RUN is a folder that hushgrad train made, an adapter, or a model by itself.",
				flags: FLAGS,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { values, positionals } = await readArguments(FLAGS, args, { positionals: ["run"] });
		const tuned = await findTuned(positionals[0] ?? "", values);
		await checkTuned(tuned);
		return () =>
			withAnswerer(tuned, { terminal, gpu: values.gpu }, async (answerer) => {
				const isAsked = terminal.isInteractive && process.stdin.isTTY === true;
				const lines = createInterface({ input: process.stdin, signal: terminal.interrupted });
				await chat(new Conversation(answerer, values), lines, terminal, isAsked);
				return ExitCode.done;
			});
	},
};

/** Answers line after line until there are no more; `isAsked` says that a person types them. */
export async function chat(conversation: Conversation, lines: AsyncIterable<string>, terminal: Terminal, isAsked: boolean): Promise<void> {
	const ask = (): void => {
		if (isAsked) terminal.err("> ");
	};
	if (isAsked) terminal.err(`${wrap(conversation.hasMemory ? WELCOME : `${WELCOME}\n${SINGLE}`, terminal.columns).join("\n")}\n`);
	ask();
	for await (const line of lines) {
		const prompt = line.trim();
		if (prompt === "/quit") break;
		if (prompt === "/reset") {
			conversation.reset();
			terminal.err("forgotten\n");
		} else if (prompt.startsWith("/")) {
			terminal.err(`there is no ${prompt.split(" ")[0]}: /reset forgets what was said, /quit ends\n`);
		} else if (prompt !== "") {
			await say(conversation, prompt, terminal);
		}
		if (terminal.interrupted.aborted) break;
		ask();
	}
}

/** One answer. What is wrong with a prompt ends the answer, not the conversation. */
async function say(conversation: Conversation, prompt: string, terminal: Terminal): Promise<void> {
	try {
		await show(conversation.ask(prompt), terminal);
	} catch (error) {
		if (!(error instanceof ValueError)) throw error;
		terminal.err(`error: ${error.message}\n`);
	}
}

const WELCOME = "/reset forgets what was said, /quit ends";
const SINGLE = "each line is answered by itself: the model was trained on single prompts";
