/**
 * Fine-tunes a VaultGemma on medical flashcards without giving the cards away: a 4-bit base, LoRA, and differential
 * privacy to a target epsilon. `npm run demo` runs it on the small model of this repository; `npm run demo -- --model DIR`
 * on the released 1B. Read it from top to bottom: it has the eight sections of the usual notebook.
 */
import { type PlainReport, PlainTrainer, PrivacyEngine, recordLosses, type StepReport, type Trainer } from "@hushgrad/dp";
import * as models from "@hushgrad/models";
import { AdamW, applyLora, constant, cosineWithWarmup, loraConfig, trainableParametersLine } from "@hushgrad/nn";
import { type DropoutKey, foldIn, key, requestDevice } from "@hushgrad/tensor";
import { type Card, declaredSize, questionOf, readCards, splitCards } from "./support/cards.ts";
import { baseHash, checkReload } from "./support/checks.ts";
import { field, heading, ProgressLine, perLoss, planLine, stepLine } from "./support/report.ts";
import { run } from "./support/run.ts";

await run(async (options) => {
	// A GPU is opened once and passed on; nothing here is global. Randomness that may be repeated comes from one seed, the
	// privacy noise from the platform's cryptographic generator, which has none.
	heading("1. Set-up");
	const device = await requestDevice();
	const seed = key(options.seed);
	field("device", device.info.description || device.info.vendor);

	// Every card is a question and its answer. One in ten is held out, to see afterwards whether anything was learned that is not
	// just the cards by heart. How many there are is private too: N is a round number near it, declared and not counted.
	heading("2. Cards");
	const cards = splitCards(await readCards(options.data), options.seed);
	const datasetSize = declaredSize(options);
	field("cards", `N = ${datasetSize} declared, about one in ten held out (${options.data})`);

	// The base stays as it is, so four bits a weight are enough (NF4, its scales in eight bits). `loadBase` is a function,
	// because in the end the base is loaded once more, to prove what was saved.
	heading("3. Base model in 4 bits");
	const tokenizer = await models.SentencePieceTokenizer.fromFile(`${options.model}/tokenizer.model`);
	const { eosTokenIds } = await models.readGenerationConfig(options.model);
	const loadBase = () => models.fromPretrained(options.model, { device, quantization: "nf4" });
	const model = await loadBase();
	field("base", `${options.model}, linear layers in NF4 with double quantisation`);

	// Only two thin matrices beside every linear layer are trained (LoRA). Fewer trained numbers also mean less noise: some is
	// added to each of them.
	heading("4. LoRA");
	const lora = loraConfig({
		r: options.rank,
		lora_alpha: options.alpha,
		lora_dropout: options.dropout,
		target_modules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
		base_model_name_or_path: options.model,
	});
	applyLora(model, lora, { device, key: foldIn(seed, 0) });
	const baseBefore = await baseHash(model);
	field("LoRA", trainableParametersLine(model));

	// The model learns the answer and where it ends, not the question: only those tokens have targets. All records are padded
	// to one size, because a shape that followed the text would tell something about it.
	heading("5. Tokens and targets");
	const size = { length: options["max-length"], learned: options["max-answer"], padId: tokenizer.padId };
	const tokenize = (card: Card) =>
		models.encodeExample(tokenizer, { prompt: questionOf(card), response: card.output }, { maxLength: size.length });
	const [train, heldOut] = [cards.train.map(tokenize), cards.heldOut.map(tokenize)];
	const pad = (example: models.Example) => models.padExample(example, size);
	field("tokens", `${size.length} a card, at most ${size.learned} of them learned`);

	// Noise is most of what a private gradient holds, so no step may weigh more than another: a constant rate, no momentum
	// (docs/utility.md). One loss, of one record: it serves training with and without privacy. The engine pads each card that a step draws, by itself,
	// clips its gradient, adds noise to the sum of them, and keeps count of epsilon.
	heading("6. Optimiser and privacy");
	const { steps, gradientCheckpointing } = options;
	const loss = (record: models.TrainingRecord, dropout?: DropoutKey) => model.loss(record, { dropout, gradientCheckpointing });
	const optimizer = new AdamW(model.trainableParameters(), {
		...{ lr: options.lr, weightDecay: options["weight-decay"], betas: [options.beta1, 0.999] },
		schedule: options.schedule === "cosine" ? cosineWithWarmup(options["warmup-steps"], steps + 1) : constant,
	});
	const common = { optimizer, datasetSize, physicalBatchSize: options["physical-batch"], key: foldIn(seed, 1) };
	const budget = { targetEpsilon: options.epsilon, targetDelta: options.delta, maxGradNorm: options["max-grad-norm"] };
	const sampling = { kind: options.sampling };
	const engine = options.dp
		? PrivacyEngine.makePrivateWithEpsilon({ ...common, ...budget, model, sampling, expectedBatchSize: options.batch, steps })
		: undefined;
	const trainer: Trainer<StepReport | PlainReport> =
		engine ?? new PlainTrainer({ ...common, batchSize: Math.min(options.batch, train.length) });
	field("privacy", planLine(engine?.plan));

	// Before and after, the held-out cards are asked for their loss a token. A private step prints what it
	// costs: the loss of private cards is for your eyes, epsilon does not cover it (--private-losses shows it).
	heading("7. Training");
	const evaluate = async () => {
		const each = await recordLosses({ ...common, device, count: heldOut.length }, (i) => pad(heldOut[i]!), loss);
		return perLoss(each, heldOut.map(models.learnedTokens));
	};
	const ask = (who: models.VaultGemmaForCausalLM, card: Card, n: number) =>
		models.generateText(who, tokenizer, questionOf(card), {
			...{ maxNewTokens: options["max-new-tokens"], minNewTokens: options["min-new-tokens"], eosTokenIds },
			repetitionPenalty: options["repetition-penalty"],
			sample:
				options.temperature === 0 ? undefined : { key: foldIn(seed, 2 + n), temperature: options.temperature, topP: options["top-p"] },
		});
	const asked = cards.heldOut.slice(0, 3);
	const answers: string[] = [];
	for (const [n, card] of asked.entries()) answers.push(await ask(model, card, n));
	const before = await evaluate();
	const progress = new ProgressLine(steps);
	for (let step = 1; step <= steps; step++) {
		const report = await trainer.stepOn(train, pad, loss);
		progress.update(step, stepLine(report, engine?.plan, options.privateLosses));
	}
	const after = await evaluate();
	field("before", before.text);
	field("after", `${after.text}, ${(after.loss - before.loss).toFixed(4)}`);

	// The adapter is a small file in peft's format. On a fresh base it must give the same numbers, bit for bit; then it answers
	// the held-out questions, drawing each token from the likeliest ones.
	heading("8. Save, reload, ask");
	await models.saveAdapter(model, options.output, lora);
	field("saved", options.output);
	const reloaded = await loadBase();
	await models.loadAdapter(reloaded, options.output, device);
	await checkReload(model, reloaded, { probe: heldOut[0]!.ids, baseBefore });
	for (const [n, card] of asked.entries()) {
		console.log(`\n  ${card.input}`);
		field("  before", answers[n]!);
		field("  after", await ask(reloaded, card, n));
		field("  card", card.output);
	}
	console.log(`\n${engine?.statement() ?? "None: this run was made with --no-dp. Its adapter may give its cards away."}`);
	device.destroy();
});
