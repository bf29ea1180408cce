import { stat } from "node:fs/promises";
import { FormatError } from "@hushgrad/tensor";
import { type Command, ExitCode, type Terminal } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { printerOf } from "../cli/printer.ts";
import { readArguments } from "../settings/arguments.ts";
import { type FoundAdapter, listAdapters } from "./listAdapters.ts";

/** `hushgrad adapters`. */
export const adaptersCommand: Command = {
	name: "adapters",
	summary: "lists the runs and adapters in a folder, and what each has spent",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad adapters FOLDER",
				about:
					"Lists the runs and adapters in FOLDER and in the three levels below it, each with its base, rank and ε. hushgrad chat RUN --adapter OTHER puts another adapter on the same base.",
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { positionals } = await readArguments({}, args, { positionals: ["folder"] });
		const [folder = ""] = positionals;
		await checkFolder(folder);
		return async () => {
			const found = await listAdapters(folder);
			if (found.length === 0) terminal.err(`no run and no adapter in ${folder}\n`);
			for (const one of found) print(terminal, one);
			return ExitCode.done;
		};
	},
};

function print(terminal: Terminal, { folder, base, rank, steps, epsilon, isPrivate }: FoundAdapter): void {
	const { heading, field } = printerOf(terminal);
	heading(folder);
	field("base", base === "" ? "not named" : base);
	field("rank", String(rank));
	if (steps !== undefined) field("steps", `${steps[0]} of ${steps[1]}`);
	const spent = epsilon === undefined ? "0" : (Math.ceil(epsilon * 1e3) / 1e3).toFixed(3);
	field("ε", isPrivate === undefined ? "not known" : isPrivate ? spent : "none: not private");
}

/** @throws FormatError for what is no folder. */
async function checkFolder(path: string): Promise<void> {
	const info = await stat(path).catch((cause: NodeJS.ErrnoException) => {
		throw new FormatError(
			"adapters/folder",
			cause.code === "ENOENT" ? "there is no such folder" : `the folder cannot be read (${cause.code})`,
			{
				path,
				cause,
			},
		);
	});
	if (!info.isDirectory()) throw new FormatError("adapters/folder", "this is a file, expected a folder", { path });
}
