import { ValueError } from "@hushgrad/tensor";
import { z } from "zod";
import { type Command, ExitCode } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { readArguments } from "../settings/arguments.ts";
import { answer, answerFlags, tunedFlags } from "./flags.ts";
import { withAnswerer } from "./session.ts";
import { show } from "./show.ts";
import { checkTuned, findTuned } from "./tuned.ts";

const FLAGS = {
	prompt: z.string().meta({ description: "what the model is asked" }),
	...answerFlags,
	...tunedFlags,
};

/** `hushgrad generate`. */
export const generateCommand: Command = {
	name: "generate",
	summary: "answers one prompt with a run, an adapter or a model",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad generate RUN --prompt TEXT [flags]",
				about:
					"Writes what a model answers to stdout, and nothing else. RUN is a folder that hushgrad train made, an adapter, or a model by itself.",
				flags: FLAGS,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { values, positionals } = await readArguments(FLAGS, args, { positionals: ["run"] });
		if (values.prompt.trim() === "") throw new ValueError("cli/arguments", "--prompt is empty", { hint: "write what the model is asked" });
		const tuned = await findTuned(positionals[0] ?? "", values);
		await checkTuned(tuned);
		return () =>
			withAnswerer(tuned, { terminal, gpu: values.gpu }, async (answerer) => {
				await show(answer(answerer, answerer.form.prompt(values.prompt), values), terminal);
				return terminal.interrupted.aborted ? ExitCode.interrupted : ExitCode.done;
			});
	},
};
