import { epsilon, type LedgerRun, PrivacyLedger, type PrivacyPlan, planPrivacy } from "@hushgrad/dp";

/** ε after some of the steps of a run. */
export interface Spending {
	/** Steps taken. */
	readonly step: number;
	/** ε spent by them, at the δ of the plan. */
	readonly epsilon: number;
}

/** ε after the first step and each quarter of the run. */
export function spendings(plan: PrivacyPlan): Spending[] {
	const { steps } = plan;
	const marks = new Set([1, ...[0.25, 0.5, 0.75].map((share) => Math.max(1, Math.round(share * steps)))]);
	const before = [...marks].filter((step) => step < steps).map((step) => ({ step, epsilon: plan.epsilonAfter(step) }));
	return [...before, { step: steps, epsilon: plan.epsilon }];
}

/**
 * The noise multiplier of the same run with another ε, to one part in a hundred: enough to compare, and faster than to calibrate. By secants
 * on logarithms, in which ε over σ is nearly a line.
 */
export function roughNoise(plan: PrivacyPlan, target: number): number {
	const { targetDelta, datasetSize, expectedBatchSize, maxGradNorm, steps, sampling, unit } = plan;
	const fixed = { targetDelta, datasetSize, expectedBatchSize, maxGradNorm, steps, sampling, unit, allowMeaninglessEpsilon: true };
	const excess = (logSigma: number): number => Math.log(planPrivacy({ ...fixed, noiseMultiplier: Math.exp(logSigma) }).epsilon / target);
	let a = Math.log(plan.noiseMultiplier);
	let b = a + 0.7 * Math.log(plan.epsilon / target);
	let [fa, fb] = [Math.log(plan.epsilon / target), excess(b)];
	for (let tries = 0; Math.abs(fb) > 0.01 && tries < 8; tries++) {
		[a, b] = [b, b - (fb * (b - a)) / (fb - fa)];
		[fa, fb] = [fb, excess(b)];
	}
	return Math.exp(b);
}

/** What a ledger says of earlier runs on the data, and what it would say after this one. */
export interface Earlier {
	/** Those that took a step. */
	readonly runs: readonly LedgerRun[];
	/** ε of all of them and of this one together, at the δ of the plan; undefined where they protect other units. */
	readonly together: number | undefined;
}

/** Reads the text of a ledger, and notes the planned run in a copy of it. @throws FormatError for one that was changed. */
export async function earlierRuns(text: string, dataset: string, plan: PrivacyPlan): Promise<Earlier> {
	let copy = text;
	const append = async (line: string): Promise<void> => {
		copy += line;
	};
	const ledger = await PrivacyLedger.open({ read: async () => copy, append });
	const runs = ledger.runsOn(dataset).filter(({ taken }) => taken > 0);
	if (runs.length === 0) return { runs, together: plan.epsilon };
	const name = "the run that is planned";
	await ledger.begin(name, dataset, plan, true);
	for (let step = 1; step <= plan.steps; step++) await ledger.step(name, step);
	const units = new Set(ledger.runsOn(dataset).map(({ unit }) => unit));
	return { runs, together: units.size > 1 ? undefined : epsilon(ledger.historyOf(dataset), { delta: plan.targetDelta }) };
}
