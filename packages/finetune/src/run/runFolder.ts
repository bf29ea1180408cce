import { join } from "node:path";

/**
 * What lies in the folder of a run. All but `privateMetrics` is public: it says nothing of a record that the guarantee does not cover.
 * Written from the first step on, each file whole or not at all.
 */
export const runFiles = (folder: string) => ({
	/** Every setting, defaults included: `Settings` as JSON. `hushgrad resume` reads it. */
	settings: join(folder, "settings.json"),
	/** Versions, device, driver, platform, fingerprint of data and base. */
	environment: join(folder, "environment.json"),
	/** The privacy plan in numbers. */
	plan: join(folder, "plan.json"),
	/** A line of JSON for each step: step, epsilon, lr, seconds. */
	metrics: join(folder, "metrics.jsonl"),
	/** A line for each step of what ε does not cover; only where it was asked for. */
	privateMetrics: join(folder, "private-metrics.jsonl"),
	/** The privacy statement so far. */
	statement: join(folder, "statement.txt"),
	/** Evaluations before and after training. */
	evaluation: join(folder, "evaluation.json"),
	/** The last two checkpoints, one folder each. */
	checkpoints: join(folder, "checkpoints"),
	/** The trained adapter, in peft's format. */
	adapter: join(folder, "adapter"),
	/** One page that shows it all. */
	report: join(folder, "report.html"),
});

/** Paths of the files of a run. */
export type RunFiles = ReturnType<typeof runFiles>;
