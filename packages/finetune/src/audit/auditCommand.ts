import { fileLedger } from "@hushgrad/dp/files";
import { writeFileAtomic } from "@hushgrad/nn/files";
import { z } from "zod";
import { type Command, ExitCode, type Terminal } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { openDevice } from "../cli/openDevice.ts";
import { printerOf } from "../cli/printer.ts";
import { numberText } from "../cli/units.ts";
import { budget } from "../report/guarantee.ts";
import { type Prepared, prepare } from "../run/prepare.ts";
import { Progress } from "../run/progress.ts";
import { runFiles, settingsOfRun } from "../run/runFolder.ts";
import { readArguments } from "../settings/arguments.ts";
import { settingsSchema } from "../settings/schema.ts";
import { type AuditOptions, audit } from "./audit.ts";
import type { AuditResult } from "./auditResult.ts";

const FLAGS = {
	canaries: z.int().min(20).max(5000).default(200).meta({ description: "made-up records, of which a coin takes each into training" }),
	withData: z.boolean().default(false).meta({ description: "train on the records of the run, too: spends its ε once more, in the ledger" }),
	auditSeed: z.int().min(0).optional().meta({ description: "of the canaries and coins; that of the run and 1 when left out" }),
	gpu: settingsSchema.shape.gpu,
};

/** `hushgrad audit`. */
export const auditCommand: Command = {
	name: "audit",
	summary: "attacks a copy of a run, and compares what it finds with what is guaranteed",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad audit RUN [flags]",
				about:
					"Trains a copy of the run in the folder RUN, with its settings, on made-up records, and guesses from the trained model which of them were there. How often that is right proves a lower bound on ε; the guarantee is the upper one. It takes as long as the run did, and touches nothing private unless --with-data is given. The adapter of the copy is thrown away.",
				flags: FLAGS,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { values, positionals } = await readArguments(FLAGS, args, { positionals: ["run"] });
		const { canaries, withData, auditSeed: seed, gpu } = values;
		const [folder = ""] = positionals;
		const files = runFiles(folder);
		const prepared = await prepare(await settingsOfRun(folder));
		return async () => {
			const result = await carryOut(prepared, { canaries, withData, seed, openDevice: (own) => openDevice(gpu ?? own) }, terminal);
			if (result === undefined) {
				terminal.err("interrupted: the audit tells nothing\n");
				return ExitCode.interrupted;
			}
			await writeFileAtomic(files.audit, `${JSON.stringify(result, undefined, "\t")}\n`);
			show(terminal, result);
			return ExitCode.done;
		};
	},
};

async function carryOut(prepared: Prepared, options: AuditOptions, terminal: Terminal): Promise<AuditResult | undefined> {
	const progress = new Progress(terminal);
	const { settings, plan } = prepared;
	const file = options.withData === true && plan !== undefined ? await fileLedger(settings.ledger) : undefined;
	try {
		const onEvent = progress.tell.bind(progress);
		return await audit(prepared, { ...options, ledger: file?.ledger, onEvent, signal: terminal.interrupted });
	} finally {
		await file?.close();
		await progress.close();
	}
}

function show(terminal: Terminal, { canaries, included, epsilonLower, epsilon, significance, exposure, delta }: AuditResult): void {
	const { heading, field, warning, line } = printerOf(terminal);
	heading(`${canaries} canaries, ${included} of them trained on`);
	field("ε, at least", `${epsilonLower.toFixed(4)} (at δ = ${numberText(delta)}; wrong with probability ${significance})`);
	field("ε, at most", epsilon === undefined ? "∞: the run is not private" : budget(epsilon));
	field("exposure", `${exposure.mean.toFixed(2)} bits, ${exposure.byChance.toFixed(2)} by chance, ${exposure.possible.toFixed(2)} at most`);
	if (epsilon !== undefined && epsilonLower > epsilon) {
		warning("the attack found more than is guaranteed: by a rare chance, or the guarantee does not hold. Please report it.");
	} else line("An attack that finds little proves little: it is the guarantee that counts.");
}
