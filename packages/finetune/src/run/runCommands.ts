import { type Command, ExitCode, type Terminal, type Work } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { openDevice } from "../cli/openDevice.ts";
import { printerOf } from "../cli/printer.ts";
import { shellWord } from "../cli/shellWord.ts";
import { numberText, sigmaText } from "../cli/units.ts";
import { wrap } from "../cli/width.ts";
import { readArguments } from "../settings/arguments.ts";
import { readSettings } from "../settings/readSettings.ts";
import { settingsSchema } from "../settings/schema.ts";
import type { Prepared } from "./prepare.ts";
import { Progress } from "./progress.ts";
import { prepareResume, prepareTrain, type ReadyRun, type RunOptions, type RunResult } from "./run.ts";
import { runFiles } from "./runFolder.ts";

/** `hushgrad train`. */
export const trainCommand: Command = {
	name: "train",
	summary: "fine-tunes a model on private records, into a folder of its own",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad train --data FILE --model DIR --records N [flags]",
				about:
					"Checks everything, then trains a LoRA adapter with differential privacy. Checkpoints are written on the way: after Ctrl-C, a crash or a power cut `hushgrad resume` goes on, and no step is counted less than once. Exit code 0: done; 1: stopped by a fault; 2: nothing was begun; 3: interrupted and saved.",
				settings: true,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { settings } = await readSettings(args);
		return workOf(terminal, settings.output, (options) => prepareTrain(settings, options));
	},
};

const RESUME = { gpu: settingsSchema.shape.gpu };

/** `hushgrad resume`. */
export const resumeCommand: Command = {
	name: "resume",
	summary: "goes on with a run that was interrupted",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad resume RUN [flags]",
				about:
					"Goes on with the run in the folder RUN from its newest checkpoint. Data, base, settings and version must be what they were. Exit codes as of train.",
				flags: RESUME,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { values, positionals } = await readArguments(RESUME, args, { positionals: ["run"] });
		const [run = ""] = positionals;
		const openOther = (own?: string) => openDevice(values.gpu ?? own);
		return workOf(terminal, run, (options) => prepareResume(run, { ...options, openDevice: openOther }));
	},
};

/** Prepares a run, and gives the work of taking its steps, with a progress line all the while. */
async function workOf(terminal: Terminal, folder: string, prepareRun: (options: RunOptions) => Promise<ReadyRun>): Promise<Work> {
	const progress = new Progress(terminal);
	const signal = terminal.interrupted;
	const run = await prepareRun({ signal, openDevice, onEvent: (event) => progress.tell(event) }).catch(async (error) => {
		await progress.close();
		throw error;
	});
	return async () => {
		showPlan({ ...terminal, out: (text) => progress.print(text) }, run.prepared);
		const onInterrupt = (): void => progress.print("finishing the step, then saving; once more stops at once\n");
		signal.addEventListener("abort", onInterrupt, { once: true });
		const result = await run.start().finally(() => {
			signal.removeEventListener("abort", onInterrupt);
			return progress.close();
		});
		return printResult(terminal, folder, result, run.prepared.settings.steps);
	};
}

/** What is about to happen, in public numbers. */
function showPlan(terminal: Terminal, { settings, plan, trained }: Prepared): void {
	const { field } = printerOf(terminal);
	const { model, rank, quantization, records, batchSize, steps, lr, output, epsilon, delta } = settings;
	field("base", `${model}${quantization === "nf4" ? ", linear layers in 4 bits (NF4)" : ""}`);
	field("adapter", `LoRA of rank ${rank}, ${trained.toLocaleString("en")} trained numbers`);
	field("training", `${steps} steps of about ${batchSize} records, rate ${lr}`);
	field(
		"privacy",
		plan === undefined
			? "none (--no-private)"
			: `ε = ${epsilon} at δ = ${numberText(delta)} for ${records} records, σ = ${sigmaText(plan.noiseMultiplier)}`,
	);
	field("run", output);
}

function printResult(terminal: Terminal, folder: string, { isFinished, steps, statement }: RunResult, planned: number): ExitCode {
	if (!isFinished) {
		const text = `interrupted after step ${steps} of ${planned}, and saved: hushgrad resume ${shellWord(folder)} goes on`;
		terminal.err(`${wrap(text, terminal.columns, 2).join("\n")}\n`);
		return ExitCode.interrupted;
	}
	const { adapter, report } = runFiles(folder);
	terminal.out(`\n${wrap(statement, terminal.columns).join("\n")}\n\n`);
	const { field } = printerOf(terminal);
	field("adapter", adapter);
	field("report", report);
	field("ask it", `hushgrad chat ${shellWord(folder)}`);
	return ExitCode.done;
}
