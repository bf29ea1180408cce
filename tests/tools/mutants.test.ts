import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { ATTENTION_MUTANTS } from "../../tools/mutants.attention.ts";
import { AUDIT_MUTANTS } from "../../tools/mutants.audit.ts";
import { DECODING_MUTANTS } from "../../tools/mutants.decoding.ts";
import { FOURS_MUTANTS } from "../../tools/mutants.fours.ts";
import { FUSED_MUTANTS } from "../../tools/mutants.fused.ts";
import { LAYER_MUTANTS } from "../../tools/mutants.layers.ts";
import { LIBRARY_MUTANTS } from "../../tools/mutants.library.ts";
import { OPERATION_MUTANTS } from "../../tools/mutants.operations.ts";
import { PLAN_MUTANTS } from "../../tools/mutants.plans.ts";
import { PRIVACY_MUTANTS } from "../../tools/mutants.privacy.ts";
import { RECORD_MUTANTS } from "../../tools/mutants.records.ts";
import { TOGETHER_MUTANTS } from "../../tools/mutants.together.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const mutants = [
	...OPERATION_MUTANTS,
	...RECORD_MUTANTS,
	...PRIVACY_MUTANTS,
	...LIBRARY_MUTANTS,
	...LAYER_MUTANTS,
	...AUDIT_MUTANTS,
	...PLAN_MUTANTS,
	...FUSED_MUTANTS,
	...FOURS_MUTANTS,
	...TOGETHER_MUTANTS,
	...ATTENTION_MUTANTS,
	...DECODING_MUTANTS,
];

it.each(mutants.map(({ name, file, from }) => [name, file, from] as const))("the fault %s can be made in %s", (_, file, from) => {
	expect(readFileSync(`${root}/${file}`, "utf8").split(from)).toHaveLength(2);
});
