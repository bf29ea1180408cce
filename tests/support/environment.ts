import type { Plan } from "@hushgrad/tensor";

/** A setting of the run: from the environment of Node, or from vitest's configuration in a browser. */
export function setting(name: string): string | undefined {
	const configured = (import.meta as { readonly env?: Readonly<Record<string, string | undefined>> }).env?.[name];
	return configured ?? globalThis.process?.env?.[name];
}

/** The plan that the run forces, if any. */
export const PLAN = setting("HUSHGRAD_PLAN") as Plan | undefined;

/** Of plans cpu and gpu, in a file that tests both: the one that the run is of. Vitest's project "plan gpu" runs such a file once more. */
export const EACH_PLAN: readonly Plan[] = [PLAN ?? "cpu"];

/** Random cases for each primitive's forward pass; other properties take a part of it. */
export const RUNS = Number(setting("HUSHGRAD_PROPERTY_RUNS") ?? 40);

const SEED = setting("HUSHGRAD_PROPERTY_SEED");

/** The settings of a property that takes a part of the cases. */
export const part = (fraction: number) => ({
	numRuns: Math.max(2, Math.ceil(RUNS * fraction)),
	...(SEED === undefined ? {} : { seed: Number(SEED) }),
});
