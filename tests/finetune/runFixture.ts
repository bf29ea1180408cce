import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { planPrivacy, privacyStatement } from "@hushgrad/dp";
import { runFiles, type Settings, settingsText } from "@hushgrad/finetune";
import { settingsSchema } from "../../packages/finetune/src/settings/schema.ts";

/** What markup would do harm with in a page. */
export const EVIL = `<script>alert("x")</script>'><img src=x onerror=alert(1)> \u202egnp.exe`;

const EVALUATION = {
	records: 44,
	lossPerToken: 4.8123,
	multipleChoice: { questions: 44, accuracy: 0.5682, accuracyPerToken: 0.6136, accuracyMutualInfo: 0.6364 },
	answers: { count: 44, tokenF1: 0.2134, exactMatch: 0, empty: 0, garbled: 0 },
	publicText: { tokens: 412, lossPerToken: 4.2 },
	isPublic: true,
	covered: true,
	examples: [
		{
			prompt: "What does insulin do?",
			response: "Insulin moves glucose from the blood into the cells.",
			answer: "Insulin is a hormone that lowers the blood sugar.",
		},
		{ prompt: EVIL, response: "No markup.", answer: EVIL },
	],
};

/** What a fixture has, where it is not what a finished private run has. */
export interface FixtureOptions {
	readonly stepsTaken?: number;
	readonly isPrivate?: boolean;
	readonly data?: string;
	readonly isPublic?: boolean;
	readonly isBare?: boolean;
	readonly epsilonLower?: number;
}

/** Writes the folder of a run, as training does, evaluated and audited. */
export function writeRun(folder: string, options: FixtureOptions = {}): void {
	const { stepsTaken = 16, isPrivate = true, data = "cards.csv", isPublic = true, isBare = false, epsilonLower = 0.62 } = options;
	const files = runFiles(folder);
	const derived = {
		records: 400,
		delta: 1e-5,
		maxLength: 80,
		maxResponse: 64,
		steps: 16,
		batchSize: 100,
		physicalBatchSize: 16,
		lr: 0.01,
		saveEvery: 2,
	};
	const settings = settingsSchema.parse({
		data,
		model: "assets/tiny-vaultgemma",
		output: folder,
		ledger: `${data}.ledger`,
		private: isPrivate,
		...derived,
	});
	writeFileSync(files.settings, settingsText(settings as Settings));
	if (isBare) return;
	const plan = planPrivacy({
		...{ targetEpsilon: 8, targetDelta: 1e-5, datasetSize: 400, expectedBatchSize: 100, maxGradNorm: 1, steps: 16 },
		sampling: { kind: "random-allocation" },
	});
	const json = (path: string, value: unknown) => writeFileSync(path, JSON.stringify(value));
	json(files.plan, isPrivate ? plan : { private: false, steps: 16 });
	const line = (step: number) => ({
		step,
		lr: 0.01,
		...(isPrivate ? { epsilon: plan.epsilonAfter(step), notFinite: 0.3 } : { loss: 5 - step / 10 }),
	});
	writeFileSync(files.metrics, Array.from({ length: stepsTaken }, (_, i) => `${JSON.stringify(line(i + 1))}\n`).join(""));
	writeFileSync(files.statement, `${isPrivate ? privacyStatement(plan, { stepsTaken, secure: true }) : "NOT PRIVATE: --no-private"}\n`);
	json(files.environment, {
		versions: { node: "20.20.2", "@hushgrad/finetune": "0.1.0", webgpu: "0.6.2" },
		platform: { name: "linux", arch: "x64", memoryBytes: 25276325888 },
		device: { vendor: "mesa", description: "llvmpipe (LLVM 19.1.7, 256 bits)", hasF16: true },
		sha256: { base: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" },
	});
	const before = {
		...EVALUATION,
		lossPerToken: 5.5751,
		isPublic,
		covered: isPublic,
		examples: EVALUATION.examples.map((e) => ({ ...e, answer: "The heart is a heart." })),
	};
	json(files.evaluation, { before, after: { ...EVALUATION, isPublic, covered: isPublic } });
	const exposure = { mean: 1.81, most: 5.1, possible: 6.04, byChance: 1.44 };
	json(files.audit, {
		canaries: 128,
		included: 61,
		withData: false,
		steps: 16,
		epsilonLower,
		epsilon: plan.epsilon,
		delta: 1e-5,
		significance: 0.05,
		exposure,
	});
}

/** Works in the folder of a run, and takes it away. */
export async function withRun<T>(options: FixtureOptions, act: (folder: string) => Promise<T>): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "report-"));
	try {
		writeRun(folder, options);
		return await act(folder);
	} finally {
		rmSync(folder, { recursive: true });
	}
}
