import { recordLosses } from "@hushgrad/dp";
import { deviceOf, type Example, learnedTokens, padExample, type TrainingRecord, type VaultGemmaForCausalLM } from "@hushgrad/models";

/** How losses are computed. */
export interface LossOptions {
	/** Texts on the GPU at a time. */
	readonly physicalBatchSize: number;
	/** Token that fills up. */
	readonly padId: number;
	/** Is told how many texts are done. */
	readonly onProgress?: ((done: number) => void) | undefined;
}

/**
 * The summed loss of the learned tokens of each text, in nats: −ln of the likelihood of its response. Texts of a physical batch are padded to
 * the longest of all; logits are never held in full.
 */
export async function summedLosses(
	model: VaultGemmaForCausalLM,
	examples: readonly Example[],
	{ physicalBatchSize, padId, onProgress }: LossOptions,
): Promise<Float64Array> {
	const device = deviceOf(model);
	const size = {
		length: Math.max(1, ...examples.map(({ ids }) => ids.length)),
		learned: Math.max(1, ...examples.map(learnedTokens)),
		padId,
	};
	const sums = new Float64Array(examples.length);
	for (let at = 0; at < examples.length; at += physicalBatchSize) {
		const part = examples.slice(at, at + physicalBatchSize);
		const means = await recordLosses(
			{ device, count: part.length, physicalBatchSize },
			(i) => padExample(part[i] as Example, size),
			(record: TrainingRecord) => model.loss(record),
		);
		means.forEach((mean, i) => {
			sums[at + i] = mean * learnedTokens(part[i] as Example);
		});
		onProgress?.(at + part.length);
	}
	return sums;
}
