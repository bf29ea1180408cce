import { z } from "zod";
import { type Command, ExitCode } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { printerOf } from "../cli/printer.ts";
import { readArguments } from "../settings/arguments.ts";
import { readRunFacts } from "./runFacts.ts";
import { writeReport } from "./writeReport.ts";

const FLAGS = {
	privateResults: z
		.boolean()
		.default(false)
		.meta({ description: "also show evaluations on private records, which ε does not cover: not to be published" }),
};

/** `hushgrad report`. */
export const reportCommand: Command = {
	name: "report",
	summary: "writes one page that shows a run: for an ethics board, or to print",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad report RUN [flags]",
				about:
					"Writes RUN/report.html from what is public in the folder of a run, finished or not: what was trained on what, the guarantee in words and as curves, evaluation, audit, settings and environment. One file, without scripts, that loads nothing.",
				flags: FLAGS,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { values, positionals } = await readArguments(FLAGS, args, { positionals: ["run"] });
		const [folder = ""] = positionals;
		await readRunFacts(folder);
		return async () => {
			printerOf(terminal).field("report", await writeReport(folder, { withPrivateResults: values.privateResults }));
			return ExitCode.done;
		};
	},
};
