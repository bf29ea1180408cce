import type { Mutant } from "./mutants.operations.ts";

const TENSOR = "packages/tensor/src";

/** Faults of tiles that were measured, and of what no tile may change. */
export const TUNING_MUTANTS: readonly Mutant[] = (
	[
		[
			"an update added in a tile before what stands there",
			"ops/gemm.tiled.kernel.ts",
			'`acc${i}_${h}${of}${update ? ` + u${i}${of}` : ""}`',
			'`(acc${i}_${h}${of}${update ? ` + u${i}${of}` : ""})`',
		],
		[
			"an update added to parts of a sum before what stands there",
			"ops/gemm.tiled.kernel.ts",
			'update ? "sum + u" : "sum"',
			'update ? "(sum + u)" : "sum"',
		],
		["a measured tile that is not taken", "ops/gemm.ts", "if (tuned) return tuned;", ""],
		["a tuning of another adapter", "tuning.ts", "!tuning.adapter.startsWith(own) || ", ""],
		["a tuning of another plan", "tuning.ts", 'tuning.plan !== plan || plan !== "gpu"', 'plan !== "gpu"'],
		["a tuning in plan cpu", "tuning.ts", ' || plan !== "gpu"', ""],
		["a tile that there is not", "tuning.ts", "!isTile(tile) || ", ""],
	] as const
).map(([name, file, from, to]): Mutant => ({ name, file: `${TENSOR}/${file}`, from, to, tests: ["tests/tensor/tuning.test.ts"] }));
