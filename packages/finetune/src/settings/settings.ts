import type { z } from "zod";
import type { settingsSchema } from "./schema.ts";

type Given = z.output<typeof settingsSchema>;

/** Settings that follow from model and data where they are not given. */
type Derived =
	| "delta"
	| "records"
	| "maxLength"
	| "maxResponse"
	| "steps"
	| "batchSize"
	| "physicalBatchSize"
	| "lr"
	| "ledger"
	| "saveEvery";

/** Every setting of a run, resolved: nothing is left open. `epochs` has become `steps`. */
export type Settings = Omit<Given, Derived | "epochs"> & { readonly [N in Derived]-?: NonNullable<Given[N]> };
