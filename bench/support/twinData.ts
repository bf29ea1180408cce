/**
 * Writes what bench/utilityTwin.py trains on: the model with the weights that NF4 stands for, the cards as tokens, the splits of the
 * seeds, and the plan of each variant at each epsilon.
 *
 *     node --import tsx -C @hushgrad/source bench/support/twinData.ts FOLDER poisson,ffa 1,3,8 0,1,2,3,4
 */
import { mkdir, writeFile } from "node:fs/promises";
import { readRecords, tokenizeRecords } from "@hushgrad/finetune";
import { fromPretrained, SentencePieceTokenizer } from "@hushgrad/models";
import { data, key, permutation, requestDevice } from "@hushgrad/tensor";
import { dataSettings, planOf, tokenSettings, trainingSize } from "./utilityRun.ts";
import { variantOf } from "./variants.ts";

const [folder = "out/twin", variants = "poisson", epsilons = "3", seeds = "0,1,2,3,4"] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const { options } = variantOf("poisson");
const device = await requestDevice();
const model = await fromPretrained(options.model, { device, quantization: "nf4" });
const weights: Record<string, { readonly shape: readonly number[]; readonly at: number }> = {};
const parts: Float32Array[] = [];
let at = 0;
for (const [name, parameter] of model.namedParameters()) {
	const values = Float32Array.from(await data(parameter.dequantize()));
	weights[name] = { shape: parameter.shape, at };
	parts.push(values);
	at += values.length;
}
device.destroy();
await writeFile(`${folder}/weights.f32`, Buffer.concat(parts.map((p) => Buffer.from(p.buffer, p.byteOffset, p.byteLength))));

const tokenizer = await SentencePieceTokenizer.fromFile(`${options.model}/tokenizer.model`);
const { train: cards } = tokenizeRecords(tokenizer, await readRecords(dataSettings(options, 0, 0)), tokenSettings(options));
const plans = variants.split(",").flatMap((name) =>
	epsilons.split(",").map((epsilon) => {
		const variant = variantOf(name);
		const plan = planOf(variant, Number(epsilon), trainingSize(cards.length));
		return {
			variant: name,
			epsilon: plan && Number(epsilon),
			...variant,
			sigma: plan?.noiseMultiplier,
			q: plan?.sampleRate,
			strategy: plan?.sampling.kind === "balls-in-bins" ? plan.sampling.strategyCoefs : undefined,
		};
	}),
);
await writeFile(
	`${folder}/study.json`,
	JSON.stringify({
		weights,
		config: model.config,
		cards: cards.map(({ example: { ids, start } }) => ({ ids: [...ids], start })),
		splits: Object.fromEntries(seeds.split(",").map((seed) => [seed, [...permutation(cards.length, key(Number(seed)))]])),
		plans,
	}),
);
