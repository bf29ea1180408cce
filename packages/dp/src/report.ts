import { expects, named } from "@hushgrad/tensor/author";
import { epsilon } from "./accountant/spent.ts";
import { checkInteger, refuse } from "./check.ts";
import { sumMultiplier } from "./clip/adaptive.ts";
import type { PlannedClipping } from "./clip/clip.ts";
import type { LedgerRun } from "./ledger.ts";
import { checkPlan, type PrivacyPlan } from "./plan.ts";
import { historyAfter, isAllocated, stepsPerEpoch } from "./sampler.ts";
import { factorAt, type PlannedSchedule, rangeOf } from "./schedule.ts";
import type { PrivacyUnit } from "./units.ts";

/** What a run did of its plan. */
export interface RunFacts {
	/** Steps counted, 0 or more. */
	readonly stepsTaken: number;
	/** Earlier and other runs on the same records, as a ledger has them; undefined where there is no ledger. */
	readonly earlier?: readonly LedgerRun[] | undefined;
	/** Whether the noise came from `secureNoise()`: `NoiseSource.secure`. */
	readonly secure: boolean;
}

/**
 * The privacy statement of a run, as plain text: what is guaranteed, for whom, by which mechanism, and what is not covered. ε has
 * 4 decimals and is never rounded down. Without secure noise it begins with NOT PRIVATE; δ above 1/(10 N) adds a warning.
 * @throws ValueError for facts that no run can have.
 */
export const privacyStatement = named("privacyStatement", (plan: PrivacyPlan, facts: RunFacts): string => {
	checkPlan(plan);
	expects("privacyStatement", { facts }, { facts: "options" });
	const { stepsTaken, secure, earlier } = facts;
	expects("privacyStatement", { earlier }, { earlier: "list?" });
	for (const run of earlier ?? []) expects("privacyStatement", { "earlier[]": run }, { "earlier[]": "options" });
	checkInteger("stepsTaken", stepsTaken, { min: 0 });
	if (typeof secure !== "boolean") refuse("secure", "true or false", secure);
	const { targetDelta: delta, datasetSize, expectedBatchSize, steps, targetEpsilon } = plan;
	const epsilonSpent = plan.epsilonAfter(stepsTaken);
	const target = targetEpsilon === undefined ? "" : `, target ${targetEpsilon}`;
	const lines = secure
		? [`Differential privacy: (ε = ${budget(epsilonSpent)}, δ = ${delta.toExponential()})`]
		: [
				"NOT PRIVATE: noise came from a seed; whoever knows the seed can take it off again",
				`With secure noise the same run would have (ε = ${budget(epsilonSpent)}, δ = ${delta.toExponential()})`,
			];
	lines.push(
		`  unit         ${unitLine(plan.unit)}`,
		`  sampling     ${samplingLine(plan)} (N = ${datasetSize}${plan.unit ? ` of kind ${plan.unit.name}` : ""} declared public, L = ${digits(expectedBatchSize)})`,
		...mechanismLines(plan),
		`  steps        T = ${stepsTaken} of ${steps} planned (ε = ${budget(plan.epsilon)} at the end${target})`,
		`  accountant   privacy loss distributions (PLD), an upper bound${rdpLine(plan, stepsTaken)}`,
		`  worst case   ${worstCase(plan, stepsTaken)}`,
		`  other runs   ${otherRuns(plan, stepsTaken, earlier)}`,
		"Not covered:",
		"  - losses and other measures printed from private records, and evaluation on them",
		"  - the choice of hyper-parameters, of the number of steps or of a checkpoint by looking at private results",
		"  - filters, vocabulary or lengths derived from the private records",
		"  - the base model: its own guarantee, if any, is separate and covers other data",
	);
	if (10 * delta * datasetSize > 1) {
		lines.push(`Warning: δ = ${delta.toExponential()} is above 1/(10·N) = ${digits(1 / (10 * datasetSize))}`);
	}
	return lines.join("\n");
});

/** Noise, clipping and divisor. */
function mechanismLines(plan: PrivacyPlan): string[] {
	const { noiseMultiplier, noiseSchedule, maxGradNorm, maxGradNormSchedule, clipping, sampling } = plan;
	const sigma = `σ = ${inCourse(noiseMultiplier, noiseSchedule)}${sampling.kind === "balls-in-bins" ? correlation(sampling.strategyCoefs) : ""}`;
	if (clipping.kind !== "adaptive") {
		const norm = `C = ${inCourse(maxGradNorm, maxGradNormSchedule)}`;
		return [`  mechanism    Gaussian noise, ${sigma}, on a sum of gradients ${toNorm(clipping)} ${norm}, divided by L`];
	}
	const { targetUnclippedQuantile: quantile, unclippedNumStd, minClipbound, maxClipbound } = clipping;
	const onSum = digits(sumMultiplier(noiseMultiplier, unclippedNumStd));
	const first = noiseSchedule === undefined ? "" : " in the first step";
	return [
		`  mechanism    Gaussian noise, ${sigma}, on a sum of gradients clipped to C and a count of those that were not, divided by L`,
		`  clipping     C = ${digits(maxGradNorm)} in the first step, then by the noisy count towards the quantile ${quantile} of the norms, within ${digits(minClipbound)} and ${digits(maxClipbound)}; of σ the sum has ${onSum}${first}, the count noise of ${digits(unclippedNumStd)} records`,
	];
}

/** How noise is correlated. */
function correlation(coefs: readonly number[]): string {
	if (coefs.length === 1) return "";
	const shown = `${coefs.slice(0, 4).map(digits).join(", ")}${coefs.length > 4 ? ", …" : ""}`;
	return `, correlated by C⁻¹, C of ${coefs.length} bands in proportion to ${shown} and of columns of norm 1`;
}

/** What is done to a gradient, up to the norm. */
function toNorm({ kind }: PlannedClipping): string {
	if (kind === "perLayer") return "clipped parameter by parameter, to C_k with Σ C_k² = C²,";
	return kind === "automatic" ? "scaled to" : "clipped to";
}

/** A number that may follow a schedule. */
function inCourse(value: number, schedule: PlannedSchedule | undefined): string {
	if (schedule === undefined) return String(value);
	const { kind, every, steps } = schedule;
	const stages = every === 1 ? "step by step" : `every ${every} steps`;
	const { least, largest } = rangeOf(schedule);
	const range = `${digits(value * least)} to ${digits(value * largest)}`;
	return `${value} in the first step, ${digits(value * factorAt(schedule, steps))} in the last (${kind}, ${stages}; ${range})`;
}

/** Who is protected. */
function unitLine(unit: PrivacyUnit | undefined): string {
	if (unit === undefined) return "one record, added or removed; a person with several records is protected less";
	const { name, maxRecords } = unit;
	return `one ${name} with all of its records, added or removed; at most ${maxRecords} of them count, as the mean of their losses`;
}

const nameOf = ({ unit }: PrivacyPlan): string => unit?.name ?? "record";

function samplingLine(plan: PrivacyPlan): string {
	const { sampling, sampleRate } = plan;
	const unit = nameOf(plan);
	if (sampling.kind === "random-allocation") {
		return `random allocation: each ${unit} enters one of the ${stepsPerEpoch(plan)} steps of an epoch, any of them alike, on its own`;
	}
	if (sampling.kind === "balls-in-bins") {
		return `balls in bins: each ${unit} is in one of ${stepsPerEpoch(plan)} bins for the whole run, any of them alike, on its own, and the steps take the bins in turn`;
	}
	const cap = sampling.kind === "poisson" ? "" : `; of more than ${sampling.maxBatchSize} a random subset of so many is kept`;
	return `Poisson: each ${unit} enters a step with q = ${digits(sampleRate)}, on its own${cap}`;
}

/** The looser figure of Rényi divergences, where they cover the sampling. */
function rdpLine(plan: PrivacyPlan, steps: number): string {
	if (plan.sampling.kind !== "poisson") return "";
	return `; by Rényi divergences (RDP) ε = ${budget(epsilon(historyAfter(plan, steps), { delta: plan.targetDelta, accountant: "rdp" }))}`;
}

/** What the steps would cost if it were known which ones a record is in. */
function worstCase(plan: PrivacyPlan, steps: number): string {
	const inEpochs = isAllocated(plan.sampling);
	const known = historyAfter(plan, steps).map((event) => ({
		sampleRate: 1,
		noiseMultiplier: event.noiseMultiplier,
		steps: event.sampling === "random-allocation" ? event.epochs : event.steps,
	}));
	const spent = epsilon(known, { delta: plan.targetDelta, accountant: "gdp" });
	return `ε = ${budget(spent)} without amplification by sampling, as if ${inEpochs ? `the step of the ${nameOf(plan)} were known in every epoch` : `the ${nameOf(plan)} were in every step`}`;
}

/** What other runs on the same records have spent, and all runs together. */
function otherRuns(plan: PrivacyPlan, steps: number, earlier: readonly LedgerRun[] | undefined): string {
	if (earlier === undefined) return "not known: no ledger was kept; what they spent on the same records is spent besides";
	const all = earlier.filter((r) => r.taken > 0);
	const others = all.filter((r) => r.unit === plan.unit?.name);
	const foreign = all.length - others.length;
	const beside = foreign === 0 ? "" : `; ${foreign} that protect${foreign === 1 ? "s" : ""} another unit, which does not add up with these`;
	if (others.length === 0) return `none on the same records, by the ledger${beside}`;
	const history = [...others.flatMap((r) => historyAfter(r, r.taken)), ...historyAfter(plan, steps)];
	const open = others.some((r) => !r.secure) ? "; some without secure noise, which gave the records away to whoever has the seed" : "";
	return `${others.length} on the same records, by the ledger; all together ε = ${budget(epsilon(history, { delta: plan.targetDelta }))}${open}${beside}`;
}

/** An ε with 4 decimals, never rounded down. */
function budget(epsilon: number): string {
	return Number.isFinite(epsilon) ? String(Math.ceil(epsilon * 1e4) / 1e4) : "∞";
}

function digits(value: number): string {
	return String(Number(value.toPrecision(6)));
}
