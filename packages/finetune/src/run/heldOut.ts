import { recordLosses } from "@hushgrad/dp";
import { learnedTokens, padExample, type TrainingRecord } from "@hushgrad/models";
import type { Prepared } from "./prepare.ts";
import type { Session } from "./session.ts";
import type { StepOptions } from "./steps.ts";

/** What a model makes of the records that were kept from training. */
export interface HeldOut {
	/** Mean loss of a token of the responses, in nats; undefined where no record was kept. */
	readonly lossPerToken: number | undefined;
	/** Records that were evaluated. */
	readonly records: number;
}

/**
 * The loss of the held-out records, by the loss of training and in its physical batches: it needs no more memory than a step did. Undefined
 * where it was interrupted.
 */
export async function heldOutLoss(
	{ device, model }: Session,
	{ records: { heldOut, size }, settings: { physicalBatchSize } }: Prepared,
	when: "before" | "after",
	{ tell, signal }: StepOptions,
): Promise<HeldOut | undefined> {
	const tokens = heldOut.map(({ example }) => learnedTokens(example));
	let sum = 0;
	for (let at = 0; at < heldOut.length; at += physicalBatchSize) {
		if (signal?.aborted === true) return undefined;
		tell({ kind: "evaluating", when, done: at, total: heldOut.length });
		const part = heldOut.slice(at, at + physicalBatchSize);
		const losses = await recordLosses(
			{ device, count: part.length, physicalBatchSize },
			(i) => padExample((part[i] as (typeof part)[number]).example, size),
			(record: TrainingRecord) => model.loss(record),
		);
		losses.forEach((loss, i) => {
			sum += loss * (tokens[at + i] ?? 0);
		});
	}
	tell({ kind: "evaluating", when, done: heldOut.length, total: heldOut.length });
	const all = tokens.reduce((a, b) => a + b, 0);
	return { lossPerToken: all === 0 ? undefined : sum / all, records: heldOut.length };
}
