import type { VaultGemmaConfig } from "@hushgrad/models";
import { typed } from "./names.ts";
import type { GivenSettings, Settings } from "./settings.ts";
import { type Sources, sourceText } from "./sources.ts";

/** Settings that only a private run has. */
const PRIVATE_ONLY = ["epsilon", "delta", "unit", "maxUnitRecords", "ledger", "sampling", "maxGradNorm"] as const;

/** What contradicts each other in what was given, a line each. */
export function contradictions(values: GivenSettings, given: Sources): string[] {
	const faults: string[] = [];
	const named = (name: string): string =>
		given[name]?.from === "file" ? `${typed(name)} (${sourceText(given[name])})` : `--${typed(name)}`;
	const isGiven = (name: string): boolean => given[name] !== undefined;
	if (isGiven("steps") && isGiven("epochs"))
		faults.push(`${named("steps")} and ${named("epochs")} both say how long the run is: leave one out`);
	if (given.maxUnitRecords?.from === "flag" && !isGiven("unit"))
		faults.push(`${named("maxUnitRecords")} needs --unit, the column that names whom a record belongs to`);
	if (values.warmupSteps > 0 && values.schedule === "constant")
		faults.push(`${named("warmupSteps")} needs --schedule cosine: a constant rate has no warm-up`);
	if (values.prompt !== undefined && values.prompt === values.response)
		faults.push(`${named("prompt")} and ${named("response")} are the same: the model would learn to repeat`);
	if (!values.private) {
		// A flag may switch off what a file gives.
		const idle = PRIVATE_ONLY.filter((name) => given[name]?.from === "flag");
		if (idle.length > 0)
			faults.push(`${named("private")} is off, so that ${idle.map(named).join(", ")} would do nothing: leave one or the other out`);
	}
	return faults;
}

/** What does not go together in resolved settings, a line each. */
export function misfits(settings: Settings, config: VaultGemmaConfig): string[] {
	const faults: string[] = [];
	const { batchSize, records, delta, maxLength, maxResponse, steps, saveEvery } = settings;
	if (batchSize > records) faults.push(`--batch-size is ${batchSize}, expected at most the ${records} records`);
	if (settings.private && delta * records >= 1) {
		faults.push(`--delta is ${delta}, expected below 1/N = 1/${records}: with more a whole record may be published`);
	}
	if (maxResponse >= maxLength)
		faults.push(`--max-response is ${maxResponse}, expected below max-length, ${maxLength}: the prompt needs room`);
	if (maxLength > config.max_position_embeddings) {
		faults.push(`--max-length is ${maxLength}, the model takes ${config.max_position_embeddings} tokens`);
	}
	if (settings.warmupSteps > steps)
		faults.push(`--warmup-steps is ${settings.warmupSteps}, expected at most the ${steps} steps of the run`);
	if (saveEvery > steps && settings.saveEvery !== 1)
		faults.push(`--save-every is ${saveEvery}, expected at most the ${steps} steps of the run`);
	return faults;
}
