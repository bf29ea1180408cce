import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { FormatError } from "@hushgrad/tensor";
import { z } from "zod";
import { type AuditResult, auditSchema } from "../audit/auditResult.ts";
import { type EvaluationPair, evaluationSchema } from "../evaluation/evaluation.ts";
import { runFiles, settingsOfRun } from "../run/runFolder.ts";
import type { Settings } from "../settings/settings.ts";

const number = z.number();

const plan = z.object({
	targetEpsilon: number.optional(),
	targetDelta: number,
	datasetSize: number,
	expectedBatchSize: number,
	maxGradNorm: number,
	steps: z.int().min(0),
	sampling: z.object({ kind: z.enum(["poisson", "random-allocation"]) }),
	unit: z.object({ name: z.string(), maxRecords: number }).optional(),
	sampleRate: number,
	noiseMultiplier: number,
	epsilon: number,
});

const step = z.object({ step: z.int().min(0), epsilon: number.optional(), lr: number.optional(), loss: number.optional() });

/** The privacy plan of a run, as its plan.json has it. */
export type PlanRecord = z.output<typeof plan>;
/** A line of metrics.jsonl. */
export type StepRecord = z.output<typeof step>;

/** All that a report shows: what lies in the folder of a run and is public. */
export interface RunFacts {
	/** The folder. */
	readonly folder: string;
	/** The name of the folder. */
	readonly name: string;
	/** Settings of the run. */
	readonly settings: Settings;
	/** What was planned; undefined without privacy. */
	readonly plan: PlanRecord | undefined;
	/** The steps taken so far. */
	readonly steps: readonly StepRecord[];
	/** What is guaranteed. */
	readonly statement: string | undefined;
	/** Versions, device, platform, fingerprints: names and values, in groups. */
	readonly environment: unknown;
	/** Before and after training. */
	readonly evaluation: EvaluationPair;
	/** What an attack could tell. */
	readonly audit: AuditResult | undefined;
}

/**
 * Reads the public files of a run, of which all but the settings may be missing: a run that goes on, or was interrupted, has what it has.
 * @throws FormatError for a folder without a run, and for a file that is not what the run wrote.
 */
export async function readRunFacts(folder: string): Promise<RunFacts> {
	const files = runFiles(folder);
	const settings = await settingsOfRun(folder);
	const lines = ((await textOf(files.metrics)) ?? "").split("\n").slice(0, -1);
	const steps = lines.map((line) => checked(step, parsed(line, files.metrics), files.metrics));
	const planned = await jsonOf(files.plan);
	return {
		...{ folder, name: basename(resolve(folder)), settings, steps },
		plan: planned === undefined || !settings.private ? undefined : checked(plan, planned, files.plan),
		statement: (await textOf(files.statement))?.trimEnd(),
		environment: await jsonOf(files.environment),
		evaluation: checked(evaluationSchema, (await jsonOf(files.evaluation)) ?? {}, files.evaluation),
		audit: optionally(await jsonOf(files.audit), (value) => checked(auditSchema, value, files.audit)),
	};
}

const optionally = <T>(value: unknown, read: (value: unknown) => T): T | undefined => (value === undefined ? undefined : read(value));

const textOf = (path: string): Promise<string | undefined> =>
	readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT") return undefined;
		throw error;
	});

async function jsonOf(path: string): Promise<unknown> {
	const text = await textOf(path);
	return text === undefined ? undefined : parsed(text, path);
}

function parsed(text: string, path: string): unknown {
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new FormatError("run/damaged", "the file is not JSON", { path, hint: HINT, cause });
	}
}

function checked<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
	const result = schema.safeParse(value);
	if (result.success) return result.data;
	const [issue] = result.error.issues;
	throw new FormatError("run/damaged", `${issue?.path.join(".") || "the file"} is not what a run writes`, { path, hint: HINT });
}

const HINT = "the file was changed or damaged: restore it, or remove it and let hushgrad write it again";
