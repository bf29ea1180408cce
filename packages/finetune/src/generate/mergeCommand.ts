import { ValueError } from "@hushgrad/tensor";
import { z } from "zod";
import { type Command, ExitCode } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { openDevice } from "../cli/openDevice.ts";
import { printerOf } from "../cli/printer.ts";
import { shellWord } from "../cli/shellWord.ts";
import { checkFree } from "../run/claim.ts";
import { Progress } from "../run/progress.ts";
import { readArguments } from "../settings/arguments.ts";
import { settingsSchema } from "../settings/schema.ts";
import { mergeInto } from "./merge.ts";
import { checkBase, checkTuned, findTuned } from "./tuned.ts";

const FLAGS = {
	output: z.string().min(1).meta({ description: "folder of the whole model; must not exist or be empty" }),
	dtype: z.enum(["f32", "bf16", "f16"]).default("bf16").meta({ description: "type of its numbers" }),
	model: z.string().min(1).optional().meta({ description: "folder of the base, where it is not where it was" }),
	gpu: settingsSchema.shape.gpu,
};

const TYPES = { f32: "F32", bf16: "BF16", f16: "F16" } as const;

/** `hushgrad merge`. */
export const mergeCommand: Command = {
	name: "merge",
	summary: "puts an adapter into its base, as a model by itself",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad merge RUN --output DIR [flags]",
				about:
					"Adds what the adapter in RUN, a folder of a run or of an adapter, has learned to the weights of its base, and writes a model that needs no adapter. The guarantee of the adapter holds for it, too.",
				flags: FLAGS,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { values, positionals } = await readArguments(FLAGS, args, { positionals: ["run"] });
		const { output, dtype, model, gpu } = values;
		const tuned = await findTuned(positionals[0] ?? "", { model });
		const { adapter } = tuned;
		if (adapter === undefined) {
			throw new ValueError("merge/no-adapter", "this is a model, and there is no adapter in it", { hint: "name a run or an adapter" });
		}
		await checkFree(output);
		await checkTuned(tuned);
		return async () => {
			const progress = new Progress(terminal);
			const tell = progress.tell.bind(progress);
			try {
				await checkBase(tuned, tell);
				tell({ kind: "opening" });
				const device = await openDevice(gpu);
				try {
					await mergeInto(device, { base: tuned.base, adapter, output, dtype: TYPES[dtype], tell });
				} finally {
					device.destroy();
				}
			} finally {
				await progress.close();
			}
			const { field } = printerOf(terminal);
			field("model", output);
			field("ask it", `hushgrad chat ${shellWord(output)}`);
			return ExitCode.done;
		};
	},
};
