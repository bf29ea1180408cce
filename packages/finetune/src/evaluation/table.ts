import type { Printer } from "../cli/printer.ts";
import { displayWidth } from "../cli/width.ts";
import type { Evaluation, EvaluationPair } from "./evaluation.ts";

/** A line of the table of an evaluation. */
export interface EvaluationRow {
	/** What is measured, and in what. */
	readonly name: string;
	/** Before training; "" where it was not measured. */
	readonly before: string;
	/** After training. */
	readonly after: string;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const nats = (loss: number): string => loss.toFixed(4);
const perplexity = (loss: number): string => Math.exp(loss).toFixed(1);

const ROWS: readonly {
	readonly name: string;
	readonly read: (evaluation: Evaluation) => string | undefined;
}[] = [
	{ name: "↓ loss per response token, nats", read: (e) => optional(e.lossPerToken, nats) },
	{ name: "↓ perplexity of responses", read: (e) => optional(e.lossPerToken, perplexity) },
	{ name: "↑ right answer among four, by likelihood", read: (e) => optional(e.multipleChoice?.accuracy, percent) },
	{ name: "↑ the same, by likelihood a token", read: (e) => optional(e.multipleChoice?.accuracyPerToken, percent) },
	{ name: "↑ the same, by what the question adds", read: (e) => optional(e.multipleChoice?.accuracyMutualInfo, percent) },
	{ name: "↑ token F1 of greedy answers", read: (e) => optional(e.answers?.tokenF1, percent) },
	{ name: "↑ exact match of greedy answers", read: (e) => optional(e.answers?.exactMatch, percent) },
	{ name: "↓ empty answers", read: (e) => optional(e.answers?.empty, percent) },
	{ name: "↓ answers with broken characters", read: (e) => optional(e.answers?.garbled, percent) },
	{ name: "↓ loss per token of public text, nats", read: (e) => optional(e.publicText?.lossPerToken, nats) },
	{ name: "↓ perplexity of public text", read: (e) => optional(e.publicText?.lossPerToken, perplexity) },
];

const optional = (value: number | undefined, show: (value: number) => string): string | undefined =>
	value === undefined ? undefined : show(value);

/** The table of an evaluation: what was measured before or after training. */
export function evaluationRows({ before, after }: EvaluationPair): EvaluationRow[] {
	return ROWS.flatMap(({ name, read }) => {
		const [first, second] = [before && read(before), after && read(after)];
		return first === undefined && second === undefined ? [] : [{ name, before: first ?? "", after: second ?? "" }];
	});
}

/** Shows the table of an evaluation. */
export function showEvaluation({ field }: Pick<Printer, "field">, pair: EvaluationPair): void {
	const rows = evaluationRows(pair);
	const columns = Math.max(...rows.map(({ name }) => displayWidth(name))) + 2;
	const width = Math.max(...rows.map(({ before }) => displayWidth(before)));
	for (const { name, before, after } of rows) field(name, `${before.padStart(width)} → ${after}`, columns);
}

/** What the numbers of an evaluation say about people, in a sentence. */
export const coverageText = ({ isPublic }: Evaluation): string =>
	isPublic
		? "Measured on public records: these numbers say nothing of private ones that ε does not cover."
		: "Not covered by ε: measured on held-out private records. Publish these numbers only if their owners agree.";
