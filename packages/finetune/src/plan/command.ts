import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { PrivacyPlan } from "@hushgrad/dp";
import { readConfig, SentencePieceTokenizer, type VaultGemmaConfig } from "@hushgrad/models";
import { z } from "zod";
import { type Command, ExitCode, type Terminal } from "../cli/command.ts";
import { helpText } from "../cli/help.ts";
import { type Printer, printerOf } from "../cli/printer.ts";
import { shellWord } from "../cli/shellWord.ts";
import { bytesText, countText, durationText, numberText, placesText, sigmaText } from "../cli/units.ts";
import { padTo } from "../cli/width.ts";
import { readRecords } from "../data/readRecords.ts";
import type { Records } from "../data/records.ts";
import { type TokenizedRecords, tokenizeRecords } from "../data/tokenizeRecords.ts";
import type { RunEvent } from "../run/events.ts";
import { privacyPlan } from "../run/privacyPlan.ts";
import { Progress } from "../run/progress.ts";
import { parameterCount } from "../settings/defaults.ts";
import { readSettings } from "../settings/readSettings.ts";
import type { Settings } from "../settings/settings.ts";
import type { Sources } from "../settings/sources.ts";
import { spread, tokensText } from "./examples.ts";
import { type Measured, measureStep } from "./measure.ts";
import { estimateMemory, trainedCount } from "./memory.ts";
import { type Earlier, earlierRuns, roughNoise, type Spending, spendings } from "./privacy.ts";
import { showSettings } from "./settingsView.ts";
import { warnings } from "./warnings.ts";

const flags = {
	showExamples: z.boolean().default(false).meta({ description: "print five records as tokens, the learned ones set off: private text" }),
	measure: z
		.boolean()
		.default(false)
		.meta({ description: "open the GPU and take two steps on texts without meaning, to tell the time of a run" }),
};

/** All that a plan shows. */
interface Planned {
	readonly settings: Settings;
	readonly sources: Sources;
	readonly config: VaultGemmaConfig;
	readonly tokenizer: SentencePieceTokenizer;
	readonly records: Records;
	readonly tokenized: TokenizedRecords;
	/** Whether training would stop at what is wrong with the records. */
	readonly isStopped: boolean;
	/** Undefined without privacy, and where training would stop: it takes the most time of all. */
	readonly plan: PrivacyPlan | undefined;
	/** ε over its steps. */
	readonly curve: readonly Spending[];
	/** What smaller ε would cost: the noise multiplier of each. */
	readonly smaller: readonly { readonly epsilon: number; readonly sigma: number }[];
	readonly earlier: Earlier | undefined;
}

/** `hushgrad plan`: all that can be said of a run before it: no GPU, nothing written, nothing spent. */
export const plan: Command = {
	name: "plan",
	summary: "checks data and settings, and says what a run would do, need and spend; opens no GPU",
	help: (columns) =>
		helpText(
			{
				usage: "hushgrad plan --data FILE --model DIR --records N [flags]",
				about:
					"Reads the data and the settings of a run and shows every default with where it comes from, what is wrong with which record, memory, noise, ε over the steps, what a smaller ε would cost, and what is legal but unwise. Nothing is written and nothing is spent. Takes every flag of hushgrad train.",
				flags,
				settings: true,
			},
			columns,
		),
	prepare: async (args, terminal) => {
		const { settings, sources, own } = await readSettings(args, { flags });
		const planned = await working(terminal, (tell) => {
			tell({ kind: "preparing" });
			return gather(settings, sources);
		});
		return async () => {
			const print = printerOf(terminal);
			show(print, planned, own.showExamples);
			if (own.measure && !planned.isStopped) showTime(print, settings, await working(terminal, (tell) => measureStep(settings, tell)));
			return end(print, terminal, planned, commandLine(args));
		};
	},
};

/** Does what may take seconds, with a line that moves meanwhile. */
async function working<T>(terminal: Terminal, act: (tell: (event: RunEvent) => void) => Promise<T>): Promise<T> {
	const progress = new Progress(terminal);
	try {
		return await act((event) => progress.tell(event));
	} finally {
		await progress.close();
	}
}

/** Reads everything; what training would stop at is left out here, and counted. */
async function gather(settings: Settings, sources: Sources): Promise<Planned> {
	const tokenizer = await SentencePieceTokenizer.fromFile(join(settings.model, "tokenizer.model"));
	const config = await readConfig(settings.model);
	const records = await readRecords({ ...settings, broken: "drop" });
	const tokenized = tokenizeRecords(tokenizer, records, { ...settings, tooLong: settings.tooLong === "stop" ? "drop" : settings.tooLong });
	const isStopped =
		(settings.broken === "stop" && records.broken.length > 0) || (settings.tooLong === "stop" && tokenized.tooLong.length > 0);
	const plan = isStopped ? undefined : privacyPlan(settings);
	const ledger = plan === undefined ? undefined : await readFile(settings.ledger, "utf8").catch(() => undefined);
	const earlier = plan === undefined || ledger === undefined ? undefined : await earlierRuns(ledger, records.fingerprint, plan);
	const curve = plan === undefined ? [] : spendings(plan);
	const targets = plan === undefined ? [] : [plan.epsilon / 2, plan.epsilon / 4];
	const smaller = targets.map((epsilon) => ({ epsilon, sigma: plan === undefined ? 0 : roughNoise(plan, epsilon) }));
	return { settings, sources, config, tokenizer, records, tokenized, isStopped, plan, curve, smaller, earlier };
}

function show(print: Printer, planned: Planned, withExamples: boolean): void {
	const { settings, sources, config, tokenizer, tokenized, isStopped, plan, curve, smaller } = planned;
	const { heading, field, line } = print;
	heading("Settings");
	showSettings(print, settings, sources);
	heading("Data");
	showData(print, planned);
	if (withExamples) {
		heading("Examples: learned tokens set off");
		for (const one of spread(tokenized.train, 5))
			field(`${planned.records.placeName} ${one.record.place}`, tokensText(tokenizer, one, print));
	} else {
		line("Examples are private text: --show-examples prints five of them as tokens.");
	}
	heading("Model");
	const trained = trainedCount(config, settings);
	const parameters = parameterCount(config);
	field("base", `${countText(parameters)} numbers, ${settings.quantization === "nf4" ? "linear layers in NF4" : "not quantised"}`);
	field("adapter", `${countText(trained)} of them trained, ${((100 * trained) / (parameters + trained)).toPrecision(2)} % of all`);
	heading("GPU memory, about");
	const memory = Object.entries(estimateMemory(config, settings));
	for (const [name, bytes] of memory) field(name, bytesText(bytes));
	field("together", bytesText(memory.reduce((sum, [, bytes]) => sum + bytes, 0)));
	heading("Privacy");
	if (plan !== undefined) showPrivacy(print, plan, curve, smaller);
	else if (isStopped && settings.private) line("Noise and ε are worked out once training would not stop at the records above.");
	else line("None: --no-private trains without clipping and noise.");
}

function showData(print: Printer, { settings, records, tokenized }: Planned): void {
	const { field } = print;
	const { train, heldOut, broken, placeName } = records;
	const n = settings.private ? `; N = ${countText(settings.records)} is what becomes public` : "";
	field("records", `${countText(train.length)} to train on, ${countText(heldOut.length)} held out${n}`);
	field("tokens", `${settings.maxLength} a record, at most ${settings.maxResponse} of them learned; all are padded to it`);
	const { tooLong } = tokenized;
	if (broken.length === 0) field("broken", "none");
	else field("broken", `${countText(broken.length)} ${settings.broken === "stop" ? "at which training would stop" : "left out"}:`);
	for (const { place, fault } of broken.slice(0, 12)) field("", `${placeName} ${place}: ${fault}`);
	if (broken.length > 12) field("", `and ${broken.length - 12} more`);
	const of = (became: string): number[] =>
		tooLong
			.filter((t) => t.became === became)
			.map((t) => t.place)
			.sort((a, b) => a - b);
	const [dropped, cut] = [of("dropped"), of("cut")];
	if (tooLong.length === 0) field("too long", "none");
	if (dropped.length > 0) {
		const what = settings.tooLong === "stop" ? "at which training would stop" : "left out";
		field("too long", `${countText(dropped.length)} ${what}: ${placeName} ${placesText(dropped)}`);
	}
	if (cut.length > 0) field("too long", `${countText(cut.length)} cut: ${placeName} ${placesText(cut)}`);
}

function showPrivacy({ field, line, dim }: Printer, plan: PrivacyPlan, curve: Planned["curve"], smaller: Planned["smaller"]): void {
	const { targetDelta, steps, sampleRate, noiseMultiplier, maxGradNorm, expectedBatchSize } = plan;
	field("noise", `σ = ${sigmaText(noiseMultiplier)}, of the clipping norm C = ${maxGradNorm}`);
	field(
		"sampling",
		`${plan.sampling.kind}: q = ${sampleRate.toFixed(4)}, about ${expectedBatchSize} of ${plan.datasetSize} records in each of ${steps} steps`,
	);
	field("ε by step", `at δ = ${numberText(targetDelta)}`);
	for (const { step, epsilon } of curve) {
		const bar = "█".repeat(Math.max(1, Math.round((16 * epsilon) / plan.epsilon)));
		line(`${padTo("", 16)}step ${String(step).padStart(String(steps).length)}  ε ${epsilon.toFixed(3).padStart(7)}  ${dim(bar)}`);
	}
	field("a smaller ε", "of the same run would cost");
	for (const { epsilon, sigma } of smaller) {
		line(
			`${padTo("", 16)}ε ${epsilon.toPrecision(3).padEnd(5)}  σ about ${sigma.toPrecision(3)}: ${(sigma / noiseMultiplier).toPrecision(2)} times the noise`,
		);
	}
}

function showTime({ heading, field }: Printer, settings: Settings, { first, second, peakBytes, device }: Measured): void {
	heading("Time, measured");
	const { steps, batchSize, physicalBatchSize } = settings;
	const batches = Math.ceil(batchSize / physicalBatchSize);
	field("GPU", device);
	field("a step", `${durationText(second * batches)}: ${batches} batches of ${physicalBatchSize} records, ${durationText(second)} each`);
	field("training", `about ${durationText(first + second * batches * steps)} for ${steps} steps, evaluation and loading not counted`);
	field("memory", `${bytesText(peakBytes)} at most`);
}

function end(print: Printer, terminal: Terminal, planned: Planned, next: string): ExitCode {
	const { settings, config, records, isStopped, earlier } = planned;
	const found = warnings({ settings, parameters: parameterCount(config), records, earlier });
	print.heading(found.length === 0 ? "Nothing unwise was found." : "Legal, but is it wise?");
	for (const warning of found) print.warning(warning);
	if (isStopped) {
		terminal.err(
			`\n${print.bad("error:")} training would stop at the records above\n  Hint: mend them, or use --broken drop, --too-long drop or --too-long cut\n`,
		);
		return ExitCode.refused;
	}
	print.heading("Next");
	print.line(next);
	return ExitCode.done;
}

/** What to type next: `hushgrad train` with the same flags, less those of the plan itself. */
function commandLine(args: readonly string[]): string {
	const own = ["--show-examples", "--no-show-examples", "--measure", "--no-measure"];
	const words = args.filter((arg) => !own.includes(arg)).map((arg) => `${arg.startsWith("--") ? " \\\n    " : " "}${shellWord(arg)}`);
	return `hushgrad train${words.join("")}`;
}
