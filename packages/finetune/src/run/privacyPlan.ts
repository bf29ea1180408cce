import { type PrivacyPlan, planPrivacy } from "@hushgrad/dp";
import type { Settings } from "../settings/settings.ts";

/**
 * The privacy plan that settings ask for; undefined without privacy. `isResearch` plans for noise that hides nothing, where an ε that says
 * nothing is allowed.
 * @throws ValueError, PrivacyError for settings that no plan meets.
 */
export function privacyPlan(settings: Settings, isResearch = false): PrivacyPlan | undefined {
	if (!settings.private) return undefined;
	const { epsilon, delta, records, batchSize, maxGradNorm, steps, sampling, unit, maxUnitRecords } = settings;
	return planPrivacy({
		targetEpsilon: epsilon,
		targetDelta: delta,
		datasetSize: records,
		expectedBatchSize: batchSize,
		maxGradNorm,
		steps,
		sampling: { kind: sampling },
		unit: unit === undefined ? undefined : { name: unit, maxRecords: maxUnitRecords },
		allowMeaninglessEpsilon: isResearch,
	});
}
