import { deviceOf, loadAdapter } from "@hushgrad/models";
import { writeFileAtomic } from "@hushgrad/nn/files";
import { ValueError } from "@hushgrad/tensor";
import { z } from "zod";
import { type Command, ExitCode, type Terminal } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { printerOf } from "../cli/printer.ts";
import { withAnswerer } from "../generate/session.ts";
import { checkBase } from "../generate/tuned.ts";
import { runFiles } from "../run/runFolder.ts";
import { readArguments } from "../settings/arguments.ts";
import { settingsSchema } from "../settings/schema.ts";
import { type EvaluateOptions, evaluate } from "./evaluate.ts";
import type { Evaluation, EvaluationPair } from "./evaluation.ts";
import { partLine } from "./partLine.ts";
import { findSubject, type Subject } from "./subject.ts";
import { coverageText, showEvaluation } from "./table.ts";

const { prompt, response, model, gpu } = settingsSchema.shape;

const FLAGS = {
	data: z
		.string()
		.min(1)
		.optional()
		.meta({ description: "private records to evaluate, all of them; those the run held out when left out" }),
	publicEval: z.string().min(1).optional().meta({ description: "records that are public: only of them may the numbers be published" }),
	prompt,
	response,
	template: z.string().min(1).optional().meta({ description: "as of train; an adapter that lies in no run needs it" }),
	model: model.optional().meta({ description: "folder of the base, where it is not where it was" }),
	examples: z.int().min(0).default(5).meta({ description: "answers that are kept and shown, of public or consented records" }),
	consented: z.boolean().default(false).meta({ description: "whose records are evaluated has agreed that answers are shown" }),
	maxNewTokens: z.int().min(1).default(48).meta({ description: "tokens of an answer, at most" }),
	gpu,
};

/** `hushgrad eval`. */
export const evalCommand: Command = {
	name: "eval",
	summary: "measures an adapter against its base, on records it was not trained on",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad eval RUN [flags]",
				about:
					"Evaluates the adapter in RUN, a folder of a run or of an adapter, and its base: loss of the response tokens, the right answer among four by likelihood, token F1 and exact match of greedy answers, and what was forgotten of a public text. No ε covers what is measured on private records.",
				flags: FLAGS,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { values, positionals } = await readArguments(FLAGS, args, { positionals: ["run"] });
		const { publicEval, data, examples, consented, maxNewTokens, gpu: device, ...named } = values;
		if (publicEval !== undefined && data !== undefined) {
			throw new ValueError("cli/arguments", "--data and --public-eval are given, expected one of them");
		}
		const subject = await findSubject(positionals[0] ?? "", { ...named, data: publicEval ?? data });
		const isPublic = publicEval !== undefined;
		const kept = isPublic || consented ? examples : undefined;
		return async () => {
			const pair = await measured(subject, { terminal, gpu: device }, { isPublic, maxNewTokens, keptExamples: kept });
			if (pair === undefined) {
				terminal.err("interrupted: nothing was kept of the evaluation\n");
				return ExitCode.interrupted;
			}
			const { run } = subject;
			if (run !== undefined) await writeFileAtomic(runFiles(run).evaluation, `${JSON.stringify(pair, undefined, "\t")}\n`);
			show(terminal, pair, subject.dropped);
			return ExitCode.done;
		};
	},
};

type Measured = { readonly [When in keyof EvaluationPair]-?: Evaluation };

/** Evaluates the base, puts the adapter on it and evaluates it again. Undefined where it was interrupted. */
async function measured(
	{ tuned, records, physicalBatchSize }: Subject,
	place: { readonly terminal: Terminal; readonly gpu: string | undefined },
	options: Pick<EvaluateOptions, "isPublic" | "maxNewTokens" | "keptExamples">,
): Promise<Measured | undefined> {
	const signal = place.terminal.interrupted;
	const line = partLine(place.terminal);
	try {
		await checkBase(tuned, (event) => event.kind === "checking" && line.show("hashing the base", event.done, event.total));
		return await withAnswerer({ ...tuned, adapter: undefined }, place, async ({ model, tokenizer, form, endIds }) => {
			const measure = (when: string): Promise<Evaluation> =>
				evaluate(model, tokenizer, records, {
					...{ ...options, form: { ...form, endIds }, physicalBatchSize, signal },
					onProgress: (what, done, total) => line.show(`${when}: ${what}`, done, total),
				});
			const before = await measure("before");
			await loadAdapter(model, tuned.adapter ?? "", deviceOf(model));
			return { before, after: await measure("after") };
		});
	} catch (error) {
		if (signal.aborted) return undefined;
		throw error;
	} finally {
		line.end();
	}
}

function show(terminal: Terminal, { before, after }: Measured, dropped: number): void {
	const { heading, field, line, warning } = printerOf(terminal);
	heading(`${after.records} records, before → after`);
	if (dropped > 0) warning(`${dropped} records are too long for the model, and left out`);
	showEvaluation({ field }, { before, after });
	for (const [i, { prompt, response, answer }] of (after.examples ?? []).entries()) {
		heading(prompt);
		field("before", before.examples?.[i]?.answer ?? "");
		field("after", answer);
		field("record", response);
	}
	heading("What ε covers");
	line(coverageText(after));
}
