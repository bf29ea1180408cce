import { z } from "zod";
import { type Command, ExitCode } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { printerOf } from "../cli/printer.ts";
import { readArguments } from "../settings/arguments.ts";
import { examineMachine } from "./examine.ts";
import { showMachine } from "./lines.ts";

const flags = { json: z.boolean().default(false).meta({ description: "print the report as JSON" }) };

/** `hushgrad doctor`: what this machine has for Hushgrad, each of its adapters, what is missing, and the line that mends it. */
export const doctor: Command = {
	name: "doctor",
	summary: "says what this machine has for Hushgrad, what is missing, and the line that mends it",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad doctor [--json]",
				about:
					"Opens every adapter that WebGPU finds, shows what each can do, and names what keeps Hushgrad from running. Ends with 1 where something does.",
				flags,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { values } = await readArguments(flags, args);
		return async () => {
			const report = await examineMachine();
			if (values.json) terminal.out(`${JSON.stringify(report, null, 2)}\n`);
			else showMachine(printerOf(terminal), report);
			return report.ok ? ExitCode.done : ExitCode.failed;
		};
	},
};
