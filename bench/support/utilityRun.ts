import { insecureNoiseForTests, PlainTrainer, PrivacyEngine, type PrivacyPlan, planPrivacy, recordLosses } from "@hushgrad/dp";
import { encodeExample, fromPretrained, learnedTokens, padExample, SentencePieceTokenizer, type TrainingRecord } from "@hushgrad/models";
import { AdamW, applyLora, constant, cosineWithWarmup, loraConfig } from "@hushgrad/nn";
import { type Device, type DropoutKey, foldIn, key } from "@hushgrad/tensor";
import { type Card, questionOf, readCards, splitCards } from "../../examples/support/cards.ts";
import { perLoss } from "../../examples/support/report.ts";
import type { Variant } from "./variants.ts";

/** What a run has come to. */
export interface Outcome {
	/** Numbers that are trained. */
	readonly trained: number;
	/** Held-out loss before training, in nats per response token. */
	readonly before: number;
	/** The same after it. */
	readonly after: number;
	/** Mean norm of a record's gradient before clipping, in each step. */
	readonly norms: readonly number[];
}

/** Cards to train on, of a file of so many: as `splitCards` cuts. */
export const trainingSize = (cards: number): number => Math.round(0.9 * cards);

/** The plan of a variant; undefined for one without privacy. */
export function planOf({ options }: Variant, targetEpsilon: number, datasetSize: number): PrivacyPlan | undefined {
	if (!options.dp) return undefined;
	const { steps, batch: expectedBatchSize, delta: targetDelta } = options;
	const maxGradNorm = options["max-grad-norm"];
	const sampling = { kind: options.sampling };
	return planPrivacy({ targetEpsilon, targetDelta, datasetSize, expectedBatchSize, maxGradNorm, steps, sampling });
}

/** The tutorial's training without its answers: split, NF4, LoRA, AdamW; the held-out loss before and after. */
export async function trainOnce(device: Device, { options, freezeA }: Variant, plan: PrivacyPlan | undefined, n: number): Promise<Outcome> {
	const seed = key(n);
	const cards = splitCards(await readCards(options.data), n);
	const tokenizer = await SentencePieceTokenizer.fromFile(`${options.model}/tokenizer.model`);
	const model = await fromPretrained(options.model, { device, quantization: "nf4" });
	const lora = loraConfig({
		r: options.rank,
		lora_alpha: options.alpha,
		lora_dropout: options.dropout,
		target_modules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
	});
	for (const { lora_A } of applyLora(model, lora, { device, key: foldIn(seed, 0) }).values()) if (freezeA) lora_A.freeze();

	const size = { length: options["max-length"], learned: options["max-answer"], padId: tokenizer.padId };
	const tokenize = (card: Card) =>
		encodeExample(tokenizer, { prompt: questionOf(card), response: card.output }, { maxLength: size.length });
	const [train, heldOut] = [cards.train.map(tokenize), cards.heldOut.map(tokenize)];
	const loss = (record: TrainingRecord, dropout?: DropoutKey) => model.loss(record, { dropout });
	const encode = (i: number) => padExample(train[i], size);

	const optimizer = new AdamW(model.trainableParameters(), {
		...{ lr: options.lr, weightDecay: options["weight-decay"], betas: [options.beta1, 0.999] },
		schedule: options.schedule === "cosine" ? cosineWithWarmup(options["warmup-steps"], options.steps + 1) : constant,
	});
	const physicalBatchSize = options["physical-batch"];
	const common = { optimizer, physicalBatchSize, key: foldIn(seed, 1) };
	const evaluate = async () => {
		const each = await recordLosses({ device, physicalBatchSize, count: heldOut.length }, (i) => padExample(heldOut[i], size), loss);
		return perLoss(each, heldOut.map(learnedTokens)).loss;
	};

	const before = await evaluate();
	const norms: number[] = [];
	if (plan === undefined) {
		const trainer = new PlainTrainer({ ...common, datasetSize: train.length, batchSize: Math.min(options.batch, train.length) });
		for (let step = 0; step < options.steps; step++) await trainer.step(encode, loss);
	} else {
		const engine = PrivacyEngine.follow(plan, { ...common, model, noise: insecureNoiseForTests(n) });
		for (let step = 0; step < options.steps; step++) {
			const report = await engine.step(encode, loss);
			norms.push(report.private.reveal().meanNorm);
		}
	}
	const after = await evaluate();
	const trained = optimizer.vector.length;
	optimizer.dispose();
	model.dispose();
	return { trained, before, after, norms };
}
