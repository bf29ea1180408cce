/**
 * Fine-tunes a VaultGemma on medical flashcards without giving the cards away: a 4-bit base, LoRA, and differential
 * privacy to a target epsilon. `npm run demo` runs it on the small model of this repository; `npm run demo -- --model DIR`
 * on the released 1B. It is `hushgrad train` with the story told: read it from top to bottom.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import {
	type Answerer,
	answer,
	answerFlags,
	type Command,
	type EvaluationPair,
	ExitCode,
	evaluate,
	findTuned,
	helpText,
	main,
	openDevice,
	openTuned,
	Progress,
	printerOf,
	processTerminal,
	readRecords,
	readSettings,
	runFiles,
	showEvaluation,
	tokenizeRecords,
	train,
} from "@hushgrad/finetune";
import { SentencePieceTokenizer } from "@hushgrad/models";
import { loraLayers } from "@hushgrad/nn";
import { data } from "@hushgrad/tensor";

// Every flag of `hushgrad train` is one of the demo; these stand for those that are not given. How many cards there are is
// private, so N is a round number near nine tenths of them: declared, not counted. The ledger adds up what all runs spend.
const DEFAULTS = { data: "assets/flashcards.json", model: "assets/tiny-vaultgemma", output: unused("out/demo") };
const OF_THE_CARDS = { records: "400", ledger: "out/flashcards.ledger" };

/** The command line with the defaults put in. */
function completed(args: readonly string[]): readonly string[] {
	const isGiven = (name: string): boolean => args.some((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
	const own = isGiven("data") ? {} : args.includes("--no-private") ? { records: OF_THE_CARDS.records } : OF_THE_CARDS;
	const missing = Object.entries({ ...DEFAULTS, ...own }).filter(([name]) => !isGiven(name));
	return isGiven("config") ? args : [...missing.flatMap(([name, value]) => [`--${name}`, value]), ...args];
}

/** Answers that are shown, before and after. */
const ASKED = 3;
const { seed: _, ...flags } = answerFlags;

const demo: Command = {
	name: "demo",
	summary: "privately fine-tunes a VaultGemma on medical flashcards, and asks it before and after",
	help: (columns) => helpText({ usage: "npm run demo -- [flags]", about: `It ${demo.summary}.`, flags, settings: true }, columns),
	prepare: async (args, terminal) => {
		// 1. Settings. What is not given follows from the size of the model: the small one learns at a hundred times the rate of
		// the 1B. Noise is most of what a private gradient holds, so no step may weigh more than another: a constant rate, no
		// momentum (docs/utility.md).
		const { settings, own } = await readSettings(completed(args), { flags });

		// 2. Cards and tokens. One card in ten is held out, by a hash of its own text, to see afterwards whether anything was
		// learned that is not just the cards by heart. The model learns the answer and where it ends, not the question. All cards are
		// padded to one size, because a shape that followed the text would tell something about it.
		const tokenizer = await SentencePieceTokenizer.fromFile(`${settings.model}/tokenizer.model`);
		const cards = tokenizeRecords(tokenizer, await readRecords(settings), settings);

		return async () => {
			const { heading, field, line } = printerOf(terminal);
			heading("Training");
			field("cards", `N = ${settings.records} declared, about one in ten held out, ${cards.size.length} tokens each (${settings.data})`);
			field(
				"privacy",
				settings.private ? `ε = ${settings.epsilon} at δ = ${settings.delta.toExponential()}, for the whole run` : "none (--no-private)",
			);
			field("steps", `${settings.steps}, of about ${settings.batchSize} cards each`);

			// 3. Training. The base stays as it is, so four bits a weight are enough (NF4), and only two thin matrices beside every
			// linear layer are trained (LoRA): fewer trained numbers also mean less noise. A step draws cards, takes each one's
			// gradient by itself, clips it, adds noise to their sum, and counts ε, in the ledger and in the run's folder, where a
			// checkpoint, the adapter, the statement and the report lie from the first step on: `hushgrad resume` goes on after a
			// crash. Held-out cards are evaluated before and after.
			const progress = new Progress(terminal);
			const { interrupted: signal } = terminal;
			const run = await train(settings, { signal, openDevice, onEvent: (event) => progress.tell(event) }).finally(() => progress.close());
			if (!run.isFinished) {
				line(`Interrupted after step ${run.steps}, and saved: npm run hushgrad -- resume ${run.folder}`);
				return ExitCode.interrupted;
			}
			const files = runFiles(run.folder);

			heading("Held-out cards, before and after");
			const evaluation = JSON.parse(await readFile(files.evaluation, "utf8")) as EvaluationPair;
			showEvaluation({ field }, evaluation);

			// 4. Reloading. The adapter is a small file in peft's format. On a fresh base it must give the same number again, bit
			// for bit.
			heading("Reloaded");
			const device = await openDevice(settings.gpu);
			const base = await openTuned(device, await findTuned(settings.model), () => {});
			const tuned = await openTuned(device, await findTuned(run.folder), () => {});
			const how = { form: tuned.form, physicalBatchSize: settings.physicalBatchSize, answered: 0, signal };
			const { lossPerToken } = await evaluate(tuned.model, tokenizer, cards.heldOut.slice(0, evaluation.after?.records), how);
			const isSame = lossPerToken === evaluation.after?.lossPerToken;
			field("loss", isSame ? "of base and adapter, bit for bit the same" : `DIFFERENT: ${lossPerToken}`);
			const layers = [...loraLayers(tuned.model).values()];
			const moved = await Promise.all(layers.map(async ({ lora_B }) => (await data(lora_B.weight.value)).some((v) => v !== 0)));
			field("LoRA B moved", `${moved.filter(Boolean).length} of ${moved.length}`);

			// 5. Asking. Each token is drawn from the likeliest ones. The cards of this repository are public; others are not shown.
			const say = async (who: Answerer, prompt: string, n: number): Promise<string> => {
				const pieces: string[] = [];
				for await (const piece of answer(who, who.form.prompt(prompt), { ...own, seed: settings.seed }, n)) pieces.push(piece);
				return pieces.join("");
			};
			for (const [n, { record }] of cards.heldOut.slice(0, settings.data === DEFAULTS.data ? ASKED : 0).entries()) {
				heading(record.prompt.split("\n").at(-1) ?? "");
				field("before", await say(base, record.prompt, n));
				field("after", await say(tuned, record.prompt, n));
				field("card", record.response);
			}
			device.destroy();

			// 6. What is guaranteed, in words that can be shown to others, as the report can.
			heading("Guarantee");
			line(run.statement);
			field("report", files.report);
			field("adapter", files.adapter);
			field("ask it", `npm run hushgrad -- chat ${run.folder}`);
			return isSame ? ExitCode.done : ExitCode.failed;
		};
	},
};

/** A folder that is not there: no run overwrites another. */
function unused(path: string, n = 1): string {
	const candidate = n === 1 ? path : `${path}-${n}`;
	return existsSync(candidate) ? unused(path, n + 1) : candidate;
}

process.exitCode = await main([demo], ["demo", ...process.argv.slice(2)], processTerminal(), "");
// A driver's thread that is left must not keep the process.
setTimeout(() => process.exit(), 2000).unref();
