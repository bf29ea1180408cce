/**
 * How good a private model becomes, by way of training and by epsilon: the tutorial's training on the shipped model and cards.
 *
 *     npm run utility -- --variants poisson,ffa,ffa+allocation,none --epsilons 1,3,8 --seeds 5 --out bench/results/utility.jsonl
 *     npm run utility -- --table bench/results/utility.jsonl
 *
 * Each run is a line of the file; those that are in it already are not made again. The second command prints the table. Variants are those
 * of support/variants.ts, joined by +; the seed sets split, start, dropout, batches and noise, so a run repeats and variants are compared
 * seed by seed. None of the runs is private: the noise follows from the seed, as it is for a study only.
 */
import { appendFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { PrivacyPlan } from "@hushgrad/dp";
import { countRecords } from "@hushgrad/finetune";
import { requestDevice } from "@hushgrad/tensor";
import { readFlags, whole } from "../tools/flags.mjs";
import { dataSettings, planOf, trainingSize, trainOnce } from "./support/utilityRun.ts";
import { readRuns, type UtilityRun, utilityTable } from "./support/utilityTable.ts";
import { variantOf } from "./support/variants.ts";

const HELP = `npm run utility -- [flags]
  --variants poisson,ffa,allocation,ffa+allocation   ways of training, of bench/support/variants.ts
  --epsilons 1,3,8
  --seeds 5             runs of each
  --out FILE            where a line is kept for each run; runs that are there are not made again
  --table FILE          only prints the table of a file
  --baseline poisson    that the table compares with`;
const values = readFlags(HELP, {
	variants: { type: "string", default: "poisson,ffa,allocation,ffa+allocation" },
	epsilons: { type: "string", default: "1,3,8" },
	seeds: { type: "string", default: "5" },
	out: { type: "string", default: "bench/results/utility.jsonl" },
	table: { type: "string" },
	baseline: { type: "string", default: "poisson" },
});

if (values.table !== undefined) console.log(utilityTable(await readRuns(values.table), values.baseline));
else await study(values.variants.split(","), values.epsilons.split(",").map(Number), whole("seeds", values.seeds), values.out);

/** Makes the runs that the file does not have yet, seed by seed, so that a study that is cut off compares what it has. */
async function study(names: readonly string[], epsilons: readonly number[], seeds: number, out: string): Promise<void> {
	await mkdir(dirname(out), { recursive: true });
	const device = await requestDevice();
	const plans = new Map<string, PrivacyPlan | undefined>();
	const wanted = epsilons.flatMap((epsilon) =>
		Array.from({ length: seeds }, (_, seed) => names.map((name) => ({ name, epsilon, seed }))).flat(),
	);
	for (const { name, epsilon: target, seed } of wanted) {
		const variant = variantOf(name);
		const epsilon = variant.options.dp ? target : null;
		if ((await readRuns(out)).some((r) => r.variant === name && r.epsilon === epsilon && r.seed === seed)) continue;
		const started = performance.now();
		const id = `${name}, epsilon ${epsilon ?? "none"}`;
		if (!plans.has(id)) {
			const cards = await countRecords(dataSettings(variant.options, 0, 0));
			plans.set(id, planOf(variant, target, trainingSize(cards)));
		}
		const plan = plans.get(id);
		const outcome = await trainOnce(device, variant, plan, seed);
		const seconds = Math.round((performance.now() - started) / 100) / 10;
		const run: UtilityRun = { variant: name, epsilon, seed, ...(plan && { plan: factsOf(plan) }), ...outcome, seconds };
		await appendFile(out, `${JSON.stringify(run)}\n`);
		console.log(`${id}, seed ${seed}: ${outcome.before.toFixed(4)} → ${outcome.after.toFixed(4)} in ${seconds} s`);
	}
	device.destroy();
}

const factsOf = (plan: PrivacyPlan): NonNullable<UtilityRun["plan"]> => ({
	sigma: plan.noiseMultiplier,
	q: plan.sampleRate,
	steps: plan.steps,
	L: plan.expectedBatchSize,
	C: plan.maxGradNorm,
	sampling: plan.sampling.kind,
});
