import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "@hushgrad/nn/files";
import { type HeldOut, heldOutLoss } from "./heldOut.ts";
import type { Keeper } from "./keeper.ts";
import type { Session } from "./session.ts";
import type { StepOptions } from "./steps.ts";

/** What the evaluation file of a run holds. */
export interface Evaluations {
	/** Before the first step. */
	readonly before?: HeldOut | undefined;
	/** After the last one. */
	readonly after?: HeldOut | undefined;
}

/** The evaluations of a run so far. */
export async function readEvaluations(path: string): Promise<Evaluations> {
	const text = await readFile(path, "utf8").catch(() => "{}");
	return JSON.parse(text) as Evaluations;
}

/** Evaluates the model and keeps the result, unless it is there already. Gives whether it is: not, where it was interrupted. */
export async function evaluateOnce(session: Session, keeper: Keeper, when: "before" | "after", options: StepOptions): Promise<boolean> {
	const path = keeper.files.evaluation;
	const known = await readEvaluations(path);
	if (known[when] !== undefined) return true;
	const result = await heldOutLoss(session, keeper.prepared, when, options);
	if (result === undefined) return false;
	await writeFileAtomic(path, `${JSON.stringify({ ...known, [when]: result }, undefined, "\t")}\n`);
	return true;
}
