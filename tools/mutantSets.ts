import { ATTENTION_MUTANTS } from "./mutants.attention.ts";
import { AUDIT_MUTANTS } from "./mutants.audit.ts";
import { DECODING_MUTANTS } from "./mutants.decoding.ts";
import { FOURS_MUTANTS } from "./mutants.fours.ts";
import { FUSED_MUTANTS } from "./mutants.fused.ts";
import { LAYER_MUTANTS } from "./mutants.layers.ts";
import { LIBRARY_MUTANTS } from "./mutants.library.ts";
import { type Mutant, OPERATION_MUTANTS } from "./mutants.operations.ts";
import { PLAN_MUTANTS } from "./mutants.plans.ts";
import { PRIVACY_MUTANTS } from "./mutants.privacy.ts";
import { RECORD_MUTANTS } from "./mutants.records.ts";
import { SHARING_MUTANTS } from "./mutants.sharing.ts";
import { TOGETHER_MUTANTS } from "./mutants.together.ts";
import { TUNING_MUTANTS } from "./mutants.tuning.ts";

/** Faults by what they concern. */
export const SETS: Readonly<Record<string, readonly Mutant[]>> = {
	operations: OPERATION_MUTANTS,
	records: RECORD_MUTANTS,
	privacy: PRIVACY_MUTANTS,
	library: LIBRARY_MUTANTS,
	layers: LAYER_MUTANTS,
	audit: AUDIT_MUTANTS,
	fused: [...FUSED_MUTANTS, ...FOURS_MUTANTS, ...TOGETHER_MUTANTS, ...SHARING_MUTANTS],
	plans: [...PLAN_MUTANTS, ...TUNING_MUTANTS],
	attention: ATTENTION_MUTANTS,
	decoding: DECODING_MUTANTS,
};
