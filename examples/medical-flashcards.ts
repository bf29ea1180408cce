/**
 * Fine-tunes a VaultGemma on medical flashcards without giving the cards away: a 4-bit base, LoRA, and differential
 * privacy to a target epsilon. `npm run demo` runs it on the small model of this repository; `--model DIR` on any
 * other VaultGemma, the released 1B included.
 */
import { PrivacyEngine, planPrivacy } from "@hushgrad/dp";
import {
	fromPretrained,
	loadAdapter,
	readGenerationConfig,
	SentencePieceTokenizer,
	saveAdapter,
	type VaultGemmaForCausalLM,
} from "@hushgrad/models";
import { AdamW, applyLora, cosineWithWarmup, type LoraConfig, loraConfig, loraLayers, trainableParametersLine } from "@hushgrad/nn";
import { data, foldIn, HushgradError, key, requestDevice } from "@hushgrad/tensor";
import { type Card, readCards, splitCards } from "./support/cards.ts";
import { answer, encodeCard, evaluate, type Session, trainingLosses } from "./support/finetuning.ts";
import { baseHash, logitsOf } from "./support/model.ts";
import { helpText, type Options, readOptions } from "./support/options.ts";
import { PlainTrainer } from "./support/plainTrainer.ts";
import { field, heading, meanLoss, ProgressLine, perplexity } from "./support/report.ts";

const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const QUESTIONS = 3;

async function main(options: Options): Promise<void> {
	heading("Cards");
	const cards = splitCards(await readCards(options.data), options.seed);
	const tokenizer = await SentencePieceTokenizer.fromFile(`${options.model}/tokenizer.model`);
	const { eosTokenIds } = await readGenerationConfig(options.model);
	const endIds = [...eosTokenIds, tokenizer.idOf("<end_of_turn>")];
	const train = cards.train.map((card) => encodeCard(card, { tokenizer, options }));
	const heldOut = cards.heldOut.map((card) => encodeCard(card, { tokenizer, options }));
	field("cards", `${train.length} to train on, ${heldOut.length} held out (${options.data})`);

	const goal = {
		datasetSize: train.length,
		expectedBatchSize: options.batch,
		targetEpsilon: options.epsilon,
		steps: options.steps,
		maxGradNorm: options["max-grad-norm"],
	};
	if (options.dp) {
		const { sampleRate, noiseMultiplier, epsilon, delta } = planPrivacy({ ...goal, delta: options.delta });
		field(
			"privacy",
			`ε = ${epsilon.toFixed(4)} at δ = ${delta.toExponential()} after ${options.steps} steps, with q = ${sampleRate.toFixed(4)}, σ = ${noiseMultiplier.toFixed(4)}`,
		);
	}

	heading("Model");
	const seed = key(options.seed);
	const device = await requestDevice();
	const load = () => fromPretrained(options.model, { device, quantization: "nf4" });
	const model = await load();
	const lora: LoraConfig = loraConfig({
		r: options.rank,
		lora_alpha: options.alpha,
		lora_dropout: options.dropout,
		target_modules: PROJECTIONS,
		base_model_name_or_path: options.model,
	});
	applyLora(model, lora, { device, key: foldIn(seed, 0) });
	const session: Session = { device, model, tokenizer, options, endIds };
	const baseBefore = await baseHash(model);
	field("device", device.info.description || device.info.vendor);
	field("base", `${options.model}, linear layers in NF4 with double quantisation`);
	field("LoRA", trainableParametersLine(model));

	const asked = cards.heldOut.slice(0, QUESTIONS);
	const ask = (who: VaultGemmaForCausalLM, card: Card, i: number) => answer({ ...session, model: who }, card, foldIn(foldIn(seed, 3), i));
	const answersBefore: string[] = [];
	for (const [i, card] of asked.entries()) answersBefore.push(await ask(model, card, i));
	const lossBefore = await evaluate(session, heldOut);

	heading(options.dp ? "Private training" : "Training without privacy");
	const parameters = model.trainableParameters();
	const optimizer = new AdamW(parameters.values(), { lr: options.lr, weightDecay: options["weight-decay"] });
	// One step more than there are, so that none is spent at rate 0.
	const schedule = cosineWithWarmup(options["warmup-steps"], options.steps + 1);
	const engine = options.dp
		? PrivacyEngine.makePrivateWithEpsilon({
				...goal,
				parameters,
				optimizer,
				physicalBatchSize: options["physical-batch"],
				targetDelta: options.delta,
			})
		: undefined;
	const trainer =
		engine ??
		new PlainTrainer({
			device,
			parameters: [...parameters.values()],
			optimizer,
			datasetSize: train.length,
			batchSize: Math.min(options.batch, train.length),
			physicalBatchSize: options["physical-batch"],
			key: foldIn(seed, 2),
		});
	const progress = new ProgressLine(options.steps);
	for (let step = 1; step <= options.steps; step++) {
		optimizer.lr = options.lr * schedule(step);
		const { loss } = await trainer.step((batch) => trainingLosses(session, train, batch, foldIn(foldIn(seed, 1), step)));
		const spent = engine === undefined ? "" : `  ε ${engine.getEpsilon().toFixed(3)} of ${options.epsilon}`;
		progress.update(step, meanLoss(loss) + spent);
	}

	heading("Evaluation");
	const lossAfter = await evaluate(session, heldOut);
	field("before", `${lossBefore.toFixed(4)} nats per response token (${perplexity(lossBefore)})`);
	field("after", `${lossAfter.toFixed(4)} nats per response token (${perplexity(lossAfter)}), ${(lossAfter - lossBefore).toFixed(4)}`);

	heading("Adapter");
	await saveAdapter(model, options.output, lora);
	const reloaded = await load();
	await loadAdapter(reloaded, options.output, device);
	const probe = heldOut[0].ids;
	const [ours, theirs] = [await logitsOf(model, probe), await logitsOf(reloaded, probe)];
	const moved = await Promise.all(
		[...loraLayers(model).values()].map(async (l) => (await data(l.lora_B.weight.value)).some((v) => v !== 0)),
	);
	field("saved", options.output);
	field(
		"reloaded",
		`base and adapter: logits ${same(
			ours.every((v, i) => v === theirs[i]),
			"bit-identical",
			"DIFFERENT",
		)}`,
	);
	field("LoRA B moved", `${moved.filter(Boolean).length} of ${moved.length}`);
	field("base weights", same((await baseHash(model)) === baseBefore, `unchanged (sha256 ${baseBefore.slice(0, 16)}…)`, "CHANGED"));

	heading("Held-out questions");
	for (const [i, card] of asked.entries()) {
		console.log(`  ${card.input}`);
		field("  before", answersBefore[i]);
		field("  after", await ask(reloaded, card, i));
		field("  card", `${card.output}\n`);
	}

	heading("Privacy");
	console.log(engine?.statement() ?? "None: this run was made with --no-dp. Its adapter may give its cards away.");
	device.destroy();
}

/** Words for a check; a failed one fails the run. */
function same(holds: boolean, yes: string, no: string): string {
	if (!holds) process.exitCode = 1;
	return holds ? yes : no;
}

try {
	const options = readOptions(process.argv.slice(2));
	if (options === undefined) console.log(helpText());
	else await main(options);
} catch (error) {
	if (!(error instanceof HushgradError)) throw error;
	console.error(`${error.name} [${error.code}]: ${error.message}`);
	process.exit(1);
}
