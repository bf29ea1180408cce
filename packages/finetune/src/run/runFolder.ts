import { stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "@hushgrad/tensor";
import { readSettingsFrom, type Settings } from "../settings/settings.ts";

/**
 * What lies in the folder of a run. All but `privateMetrics`, `checkpoints` and what `evaluation` says of records that were kept from training
 * is public: it tells nothing of a record that the guarantee does not cover. Written from the first step on, each file whole or not at all.
 */
export const runFiles = (folder: string) => ({
	/** Every setting, defaults included: `Settings` as JSON. `hushgrad resume` reads it. */
	settings: join(folder, "settings.json"),
	/** Versions, device, driver, platform, SHA-256 of the base. */
	environment: join(folder, "environment.json"),
	/** The privacy plan in numbers. */
	plan: join(folder, "plan.json"),
	/** A line of JSON for each step: step, epsilon, lr. Not its seconds: they tell how many records it drew. */
	metrics: join(folder, "metrics.jsonl"),
	/** A line for each step of what ε does not cover; only where it was asked for. */
	privateMetrics: join(folder, "private-metrics.jsonl"),
	/** The privacy statement so far. */
	statement: join(folder, "statement.txt"),
	/** Evaluations before and after training. */
	evaluation: join(folder, "evaluation.json"),
	/** What an attack on a copy of the run could tell: `AuditResult`. */
	audit: join(folder, "audit.json"),
	/** The last two checkpoints, one folder each: for this run alone, to be removed when it is over. */
	checkpoints: join(folder, "checkpoints"),
	/** The trained adapter, in peft's format. */
	adapter: join(folder, "adapter"),
	/** One page that shows it all. */
	report: join(folder, "report.html"),
});

/** Paths of the files of a run. */
export type RunFiles = ReturnType<typeof runFiles>;

/** The settings of the run in a folder. @throws FormatError for a folder without a run, and as `readSettingsFrom`. */
export async function settingsOfRun(folder: string): Promise<Settings> {
	const { settings } = runFiles(folder);
	const isRun = await stat(settings).then(
		(s) => s.isFile(),
		() => false,
	);
	if (isRun) return readSettingsFrom(settings);
	throw new FormatError("run/folder", "there is no run in this folder", { path: folder, hint: "name a folder that hushgrad train made" });
}
