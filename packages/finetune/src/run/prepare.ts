import type { PrivacyPlan } from "@hushgrad/dp";
import { openCheckpoint, readConfig, SentencePieceTokenizer, VaultGemmaForCausalLM } from "@hushgrad/models";
import { type LoraConfig, linearLayers, loraConfig, matchesTarget } from "@hushgrad/nn";
import { ValueError } from "@hushgrad/tensor";
import { readRecords } from "../data/readRecords.ts";
import { type TokenizedRecords, tokenizeRecords } from "../data/tokenizeRecords.ts";
import type { Settings } from "../settings/settings.ts";
import { privacyPlan } from "./privacyPlan.ts";

/** All that a run needs and that takes no GPU: read, checked, planned. */
export interface Prepared {
	/** What was asked for. */
	readonly settings: Settings;
	/** The records as tokens: private. */
	readonly records: TokenizedRecords;
	/** SHA-256 of the data. */
	readonly fingerprint: string;
	/** How the text of the model is cut. */
	readonly tokenizer: SentencePieceTokenizer;
	/** What is trained. */
	readonly lora: LoraConfig;
	/** How many numbers that are. */
	readonly trained: number;
	/** What is spent; undefined without privacy. */
	readonly plan: PrivacyPlan | undefined;
}

/** Reads and checks all that a run needs, without a GPU; errors as of `readRecords`, `tokenizeRecords`, `privacyPlan`. */
export async function prepare(settings: Settings, isResearch = false): Promise<Prepared> {
	const tokenizer = await SentencePieceTokenizer.fromFile(`${settings.model}/tokenizer.model`);
	const weights = await openCheckpoint(settings.model);
	await weights.close();
	const lora = loraConfig({
		r: settings.rank,
		lora_alpha: settings.alpha,
		lora_dropout: settings.dropout,
		target_modules: [...settings.targetModules],
		base_model_name_or_path: settings.model,
	});
	const trained = await countTrained(settings.model, lora);
	const texts = await readRecords(settings);
	const records = tokenizeRecords(tokenizer, texts, settings);
	return { settings, records, fingerprint: texts.fingerprint, tokenizer, lora, trained, plan: privacyPlan(settings, isResearch) };
}

/** Numbers that LoRA trains on a model. @throws ValueError where it fits no layer. */
async function countTrained(model: string, { r, target_modules }: LoraConfig): Promise<number> {
	const layers = [...linearLayers(new VaultGemmaForCausalLM(await readConfig(model)))];
	const matching = layers.filter(([path]) => matchesTarget(path, target_modules));
	if (matching.length > 0) return matching.reduce((sum, [, { inFeatures, outFeatures }]) => sum + r * (inFeatures + outFeatures), 0);
	const names = [...new Set(layers.map(([path]) => path.slice(path.lastIndexOf(".") + 1)))];
	throw new ValueError("lora/targets", `--target-modules names no linear layer of the model: ${String(target_modules)}`, {
		hint: `it has ${names.join(", ")}`,
	});
}
