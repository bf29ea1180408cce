import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "@hushgrad/nn/files";
import { textForm } from "../data/textForm.ts";
import { evaluate } from "../evaluation/evaluate.ts";
import type { EvaluationPair } from "../evaluation/evaluation.ts";
import type { Keeper } from "./keeper.ts";
import type { Session } from "./session.ts";
import type { StepOptions } from "./steps.ts";

/** Held-out records that a run looks at, the first ones: `hushgrad eval` takes all. */
const RECORDS = 200;
/** Those of them that it answers. */
const ANSWERS = 8;

/** The evaluations of a run so far; empty where there are none. */
async function readEvaluation(path: string): Promise<EvaluationPair> {
	const text = await readFile(path, "utf8").catch(() => "{}");
	return JSON.parse(text) as EvaluationPair;
}

/**
 * Evaluates the model and keeps the result, unless it is there already; it takes no more memory than a step did. Gives whether it is there:
 * not, where it was interrupted.
 */
export async function evaluateOnce(
	{ model }: Session,
	keeper: Keeper,
	when: "before" | "after",
	{ tell, signal }: StepOptions,
): Promise<boolean> {
	const path = keeper.files.evaluation;
	const { settings, records, tokenizer } = keeper.prepared;
	const known = await readEvaluation(path);
	if (known[when] !== undefined) return true;
	try {
		const result = await evaluate(model, tokenizer, records.heldOut.slice(0, RECORDS), {
			form: textForm(tokenizer, settings.template),
			physicalBatchSize: settings.physicalBatchSize,
			answered: ANSWERS,
			signal,
			onProgress: (part, done, total) => tell({ kind: "evaluating", when, part, done, total }),
		});
		await writeFileAtomic(path, `${JSON.stringify({ ...known, [when]: result }, undefined, "\t")}\n`);
		return true;
	} catch (error) {
		if (signal?.aborted === true) return false;
		throw error;
	}
}
