import {
	bandedSquareRoot,
	insecureNoiseForTests,
	PlainTrainer,
	PrivacyEngine,
	type PrivacyPlan,
	planPrivacy,
	recordLosses,
	type Sampling,
} from "@hushgrad/dp";
import { type DataSettings, readRecords, type TokenSettings, tokenizeRecords } from "@hushgrad/finetune";
import { fromPretrained, learnedTokens, padExample, SentencePieceTokenizer, type TrainingRecord } from "@hushgrad/models";
import { AdamW, applyLora, constant, cosineWithWarmup, loraConfig, SGD } from "@hushgrad/nn";
import { type Device, type DropoutKey, foldIn, key } from "@hushgrad/tensor";
import type { Options, Variant } from "./variants.ts";

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

/** What of the cards is read: one in ten is held out by a hash and the seed, or none. */
export const dataSettings = ({ data }: Options, seed: number, heldOut: 0 | 0.1): DataSettings => ({ data, broken: "stop", heldOut, seed });

/** How cards become tokens. */
export const tokenSettings = (options: Options): TokenSettings => ({
	...{ template: "gemma", maxLength: options["max-length"], maxResponse: options["max-answer"], tooLong: "stop" },
});

/** Cards to train on, of a file of so many. */
export const trainingSize = (cards: number): number => Math.round(0.9 * cards);

/** The plan of a variant; undefined for one without privacy. */
export function planOf({ options }: Variant, targetEpsilon: number, datasetSize: number): PrivacyPlan | undefined {
	if (!options.dp) return undefined;
	const { steps, batch: expectedBatchSize, delta: targetDelta } = options;
	const maxGradNorm = options["max-grad-norm"];
	const { sampling: kind, bands } = options;
	const sampling: Sampling = kind === "balls-in-bins" ? { kind, strategyCoefs: bandedSquareRoot(bands) } : { kind };
	return planPrivacy({ targetEpsilon, targetDelta, datasetSize, expectedBatchSize, maxGradNorm, steps, sampling });
}

/** The tutorial's training without its answers: split, NF4, LoRA, AdamW; the held-out loss before and after. */
export async function trainOnce(device: Device, { options, freezeA }: Variant, plan: PrivacyPlan | undefined, n: number): Promise<Outcome> {
	const seed = key(n);
	const tokenizer = await SentencePieceTokenizer.fromFile(`${options.model}/tokenizer.model`);
	const model = await fromPretrained(options.model, { device, quantization: "nf4" });
	const lora = loraConfig({
		r: options.rank,
		lora_alpha: options.alpha,
		lora_dropout: options.dropout,
		target_modules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
	});
	for (const { lora_A } of applyLora(model, lora, { device, key: foldIn(seed, 0) }).values()) if (freezeA) lora_A.freeze();

	const cards = tokenizeRecords(tokenizer, await readRecords(dataSettings(options, n, 0.1)), tokenSettings(options));
	const { size } = cards;
	const [train, heldOut] = [cards.train, cards.heldOut].map((records) => records.map(({ example }) => example));
	const loss = (record: TrainingRecord, dropout?: DropoutKey) => model.loss(record, { dropout });
	const encode = (i: number) => padExample(train[i], size);

	const parameters = model.trainableParameters();
	const schedule = options.schedule === "cosine" ? cosineWithWarmup(options["warmup-steps"], options.steps + 1) : constant;
	const { lr, beta1 } = options;
	const optimizer =
		options.optimizer === "sgd"
			? new SGD(parameters, { lr, schedule })
			: new AdamW(parameters, { lr, weightDecay: options["weight-decay"], betas: [beta1, 0.999], schedule });
	const physicalBatchSize = options["physical-batch"];
	const common = { optimizer, physicalBatchSize, key: foldIn(seed, 1) };
	const evaluate = async () => {
		const each = await recordLosses({ device, physicalBatchSize, count: heldOut.length }, (i) => padExample(heldOut[i], size), loss);
		const tokens = heldOut.map(learnedTokens);
		return tokens.reduce((sum, n, i) => sum + n * each[i], 0) / tokens.reduce((a, b) => a + b, 0);
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
