import { type Ceilings, ceilingsOf, type Present, timeProbes } from "./ceilings.ts";
import { medianOf } from "./clock.ts";
import type { Comparison } from "./report.ts";
import { costed, recordStep } from "./step.ts";
import { type Subject, training } from "./subject.ts";

/** A small VaultGemma. */
const small = (hidden: number, layers: number, vocabulary: number, heads = 4): Subject["config"] => ({
	model_type: "vaultgemma",
	vocab_size: vocabulary,
	hidden_size: hidden,
	intermediate_size: 4 * hidden,
	num_hidden_layers: layers,
	num_attention_heads: heads,
	num_key_value_heads: heads,
	head_dim: hidden / heads,
	query_pre_attn_scalar: hidden / heads,
	attn_logit_softcapping: null,
	final_logit_softcapping: null,
	layer_types: Array(layers).fill("full_attention"),
	sliding_window: null,
	max_position_embeddings: 512,
});

const subject = (config: Subject["config"], batch: number, length: number, plain = false): Subject => ({ config, batch, length, plain });

/** Steps that predictions are held against: sizes of model, batch and record, with and without privacy. */
export const STEPS: readonly Subject[] = [
	subject(small(64, 2, 512), 4, 32),
	subject(small(64, 2, 512), 4, 32, true),
	subject(small(64, 4, 512), 2, 16),
	subject(small(96, 3, 2048), 4, 32),
	subject(small(96, 3, 2048), 8, 64),
	subject(small(96, 3, 2048), 8, 64, true),
	subject(small(128, 2, 8192), 4, 64),
	subject(small(192, 4, 1024), 4, 64),
	subject(small(256, 2, 4096), 2, 128),
	subject(small(256, 2, 4096, 2), 4, 96, true),
	subject(small(384, 1, 2048), 8, 32),
	subject(small(512, 2, 1024), 1, 64),
];

const nameOf = ({ config, batch, length, plain }: Subject): string =>
	`D = ${config.hidden_size}, L = ${config.num_hidden_layers}, V = ${config.vocab_size}, B = ${batch}, T = ${length}${plain ? ", plain" : ""}`;

/** Runs steps on the present device in turn with all of its probes, and predicts each from the medians of the probes. */
export async function compare(
	present: Present,
	subjects: readonly Subject[],
	rounds: number,
): Promise<{ found: Ceilings; compared: Comparison[] }> {
	const steps: (() => Promise<unknown>)[] = [];
	for (const one of subjects) {
		const step = training(present.device, one, "random")();
		for (let i = 0; i < 2; i++) await step();
		steps.push(step);
	}
	const probes: number[][] = [];
	const times = subjects.map((): number[] => []);
	for (let r = 0; r < rounds; r++) {
		for (const [i, step] of steps.entries()) {
			// Other work slows a processor down from one second to the next: both are measured in all of them.
			probes.push(await timeProbes(present));
			times[i].push(await present.time(step));
		}
	}
	const found = await ceilingsOf(present, probes);
	const compared: Comparison[] = [];
	for (const [i, one] of subjects.entries()) {
		const { dispatches } = await recordStep(found.machine, one);
		const predicted = costed(found.machine, dispatches).reduce((sum, c) => sum + c.prediction.milliseconds, 0);
		compared.push({ name: nameOf(one), dispatches: dispatches.length, predicted, measured: medianOf(times[i]) });
	}
	return { found, compared };
}
