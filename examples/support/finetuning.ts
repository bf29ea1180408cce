import type { PhysicalBatch } from "@hushgrad/dp";
import {
	type Example,
	encodeExample,
	encodePrompt,
	type GenerateOptions,
	generate,
	learnedTokens,
	padBatch,
	type SentencePieceTokenizer,
	type VaultGemmaForCausalLM,
} from "@hushgrad/models";
import { type Device, DropoutKeys, data, foldIn, type Key, markSamples, type Tensor, uniformValues } from "@hushgrad/tensor";
import type { Card } from "./cards.ts";
import type { Options } from "./options.ts";

/** A model with what is needed to feed it cards. */
export interface Session {
	readonly device: Device;
	readonly model: VaultGemmaForCausalLM;
	readonly tokenizer: SentencePieceTokenizer;
	readonly options: Options;
	/** Ids that end an answer. */
	readonly endIds: readonly number[];
}

const promptOf = ({ instruction, input }: Card): string => (instruction === "" ? input : `${instruction}\n\n${input}`);

/** Question and answer as one text, of which only the answer is learned. @throws ValueError naming a card that is too long */
export function encodeCard(card: Card, { tokenizer, options }: Pick<Session, "tokenizer" | "options">): Example {
	return encodeExample(tokenizer, { prompt: promptOf(card), response: card.output }, { maxLength: options["max-length"] });
}

/** Losses of one physical batch, one a row; rows beyond the examples are padding, of loss 0. */
export function lossesOf({ device, model, tokenizer, options }: Session, examples: readonly Example[], dropout?: DropoutKeys): Tensor {
	const rows = options["physical-batch"];
	const length = options["max-length"];
	const { ids, positions, targets, weights, learned } = padBatch(examples, { rows, length, padId: tokenizer.padId });
	// Marked data may only be differentiated sample by sample: the engine needs that, plain training must not claim it.
	const place = (t: Tensor): Tensor => (options.dp ? markSamples(t) : t);
	const upload = (values: Int32Array | Float32Array, shape: readonly number[]): Tensor => place(device.fromHost(values, shape));
	return model.losses(
		upload(ids, [rows, length]),
		{ targets: upload(targets, [rows, learned]), positions: upload(positions, [rows, learned]), weights: upload(weights, [rows]) },
		{ dropout, gradientCheckpointing: options.gradientCheckpointing && dropout !== undefined },
	);
}

/** The loss of a training step. In private training a dropout mask belongs to a record, not to a place in the batch. */
export function trainingLosses(session: Session, examples: readonly Example[], { indices }: PhysicalBatch, stepKey: Key): Tensor {
	const { device, options } = session;
	const records = [...indices].filter((i) => i >= 0);
	const keyOf = (record: number): Key => foldIn(stepKey, record + 1);
	const dropout = options.dp ? DropoutKeys.perSample(device, [...indices].map(keyOf)) : DropoutKeys.shared(device, keyOf(records[0]));
	return lossesOf(
		session,
		records.map((i) => examples[i]),
		dropout,
	);
}

/** Mean loss in nats over the response tokens of all examples, each token counted once. */
export async function evaluate(session: Session, examples: readonly Example[]): Promise<number> {
	const rows = session.options["physical-batch"];
	let total = 0;
	let tokens = 0;
	for (let at = 0; at < examples.length; at += rows) {
		const part = examples.slice(at, at + rows);
		const losses = session.device.scope<Tensor>(() => lossesOf(session, part));
		const values = await data(losses);
		losses.dispose();
		part.forEach((example, i) => {
			total += values[i] * learnedTokens(example);
			tokens += learnedTokens(example);
		});
	}
	return total / tokens;
}

/** The model's answer to a card's question. */
export async function answer({ model, tokenizer, options, endIds }: Session, card: Card, sampling: Key): Promise<string> {
	const uniforms = uniformValues(sampling, options["max-new-tokens"]);
	let drawn = 0;
	const how: GenerateOptions = {
		maxNewTokens: options["max-new-tokens"],
		minNewTokens: options["min-new-tokens"],
		eosTokenIds: endIds,
		repetitionPenalty: options["repetition-penalty"],
		sample:
			options.temperature === 0
				? undefined
				: { uniform: () => uniforms[drawn++], temperature: options.temperature, topP: options["top-p"] },
	};
	const ids: number[] = [];
	for await (const id of generate(model, encodePrompt(tokenizer, promptOf(card)), how)) ids.push(id);
	return tokenizer.decode(ids).trim().replace(/\s+/g, " ");
}
