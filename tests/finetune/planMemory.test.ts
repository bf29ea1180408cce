import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readConfig } from "@hushgrad/models";
import { expect, it } from "vitest";
import { measureStep } from "../../packages/finetune/src/plan/measure.ts";
import { estimateMemory } from "../../packages/finetune/src/plan/memory.ts";
import { readSettings } from "../../packages/finetune/src/settings/readSettings.ts";

const MODEL = join(fileURLToPath(new URL("../..", import.meta.url)), "assets/tiny-vaultgemma");

it.each([
	["80", "64", "16", "--no-gradient-checkpointing"],
	["40", "32", "4", "--no-gradient-checkpointing"],
	["160", "64", "4", "--no-gradient-checkpointing"],
	["80", "64", "8", "--gradient-checkpointing"],
])(
	"the memory of %s tokens, %s learned, %s records, %s is within a fifth of what a step takes",
	async (length, learned, rows, checkpoints) => {
		const sizes = ["--max-length", length, "--max-response", learned, "--physical-batch-size", rows];
		const { settings } = await readSettings(["--data", "x.csv", "--model", MODEL, "--records", "400", ...sizes, checkpoints]);
		const estimate = Object.values(estimateMemory(await readConfig(MODEL), settings)).reduce((a, b) => a + b);
		const { peakBytes } = await measureStep(settings, () => {});
		expect(estimate / peakBytes).toBeGreaterThan(0.8);
		expect(estimate / peakBytes).toBeLessThan(1.25);
	},
);
