import { numberText } from "../cli/units.ts";
import type { Records } from "../data/records.ts";
import { usualRate } from "../settings/defaults.ts";
import type { Settings } from "../settings/settings.ts";
import type { Earlier } from "./privacy.ts";

/** What a plan is judged by. */
export interface Judged {
	/** All settings. */
	readonly settings: Settings;
	/** Numbers that the model holds. */
	readonly parameters: number;
	/** The records as texts. */
	readonly records: Records;
	/** Earlier runs on them, as the ledger has them. */
	readonly earlier: Earlier | undefined;
}

/** An ε above which a guarantee says little. */
const WEAK = 10;

/** What is legal and unwise, a sentence each. None holds a word of a record. */
export function warnings(judged: Judged): string[] {
	return [...privacyWarnings(judged), ...trainingWarnings(judged), ...dataWarnings(judged)];
}

function privacyWarnings({ settings, earlier }: Judged): string[] {
	if (!settings.private) return ["--no-private: the adapter may give its records away. Keep it as secret as the data."];
	const { epsilon, delta, records } = settings;
	const found: string[] = [];
	if (epsilon > WEAK) found.push(`ε = ${epsilon} is above ${WEAK}: whoever looks for one record may be sure to find it. 1 to 8 is usual.`);
	if (10 * delta * records > 1)
		found.push(
			`δ = ${numberText(delta)} is above 1/(10·N) = ${numberText(Number((1 / (10 * records)).toPrecision(2)))}: with that probability a record may be published whole.`,
		);
	if (settings.privateLosses) found.push("--private-losses shows losses of private records, which ε does not cover: for your eyes alone.");
	if (earlier !== undefined && earlier.runs.length > 0) {
		const all =
			earlier.together === undefined
				? "which protect another unit, so that they do not add up"
				: `all together ε = ${earlier.together.toFixed(2)}`;
		found.push(
			`There ${earlier.runs.length === 1 ? "is an earlier run" : `are ${earlier.runs.length} earlier runs`} on the same records, by the ledger: ${all}. What people are told is the sum.`,
		);
	}
	return found;
}

function trainingWarnings({ settings, parameters }: Judged): string[] {
	const { steps, warmupSteps, lr, batchSize } = settings;
	const found: string[] = [];
	if (warmupSteps >= steps) found.push(`The warm-up of ${warmupSteps} steps is as long as the run of ${steps}: its rate is never reached.`);
	else if (2 * warmupSteps > steps) found.push(`The warm-up of ${warmupSteps} steps takes more than half of the run of ${steps}.`);
	const usual = usualRate(parameters, settings.private);
	if (lr > 5 * usual)
		found.push(
			`A learning rate of ${lr} is ${numberText(Number((lr / usual).toPrecision(2)))} times what suits a model of this size, ${usual}.`,
		);
	if (settings.private && batchSize < 32)
		found.push(`In a batch of ${batchSize} the noise weighs more than the gradients: take as many records a step as time allows.`);
	return found;
}

function dataWarnings({ settings, records }: Judged): string[] {
	const found: string[] = [];
	const { train, heldOut, placeName } = records;
	const ratio = train.length / settings.records;
	if (settings.private && (ratio > 1.25 || ratio < 0.8)) {
		found.push(
			`N = ${settings.records} is declared, which is ${ratio > 1 ? "less" : "more"} than the file has to train on, by more than a quarter: the noise is measured by N.`,
		);
	}
	if (settings.heldOut > 0 && heldOut.length === 0)
		found.push(
			"No record is held out: nothing will show whether anything was learned. Another --seed, or a larger --held-out, changes that.",
		);
	const copies = duplicates(records);
	if (copies.length > 0) {
		const shown = copies.slice(0, 5).map((places) => places.slice(0, 4).join(" and "));
		found.push(
			`${copies.length} record${copies.length === 1 ? " stands" : "s stand"} more than once in the data (${placeName}s ${shown.join("; ")}${copies.length > 5 ? "; …" : ""}): each copy is protected by itself, so that what they share is protected less.`,
		);
	}
	return found;
}

/** Places of the records that are the same. */
function duplicates({ train, heldOut }: Records): number[][] {
	const places = new Map<string, number[]>();
	for (const { prompt, response, place } of [...train, ...heldOut]) {
		const text = `${prompt}\0${response}`;
		places.set(text, [...(places.get(text) ?? []), place]);
	}
	return [...places.values()].filter((all) => all.length > 1).map((all) => all.sort((a, b) => a - b));
}
