import type { Mutant } from "./mutants.operations.ts";

const MECHANISM = "packages/dp/src/mechanism.ts";
const SUM = "packages/dp/src/boundedSum.ts";
const ENGINE = "packages/dp/src/engine.ts";
const SAMPLER = "packages/dp/src/sampler.ts";
const FACTORS = "packages/dp/src/clip/clipFactors.ts";
const AUDIT = ["tests/dp/audit.test.ts"];

/** Faults that take away half of the privacy that is claimed, or more: an audit of what the steps show has to find them, by that alone. */
export const AUDIT_MUTANTS: readonly Mutant[] = [
	{
		name: "half of the noise",
		file: MECHANISM,
		from: "(mechanism.sumNoiseMultiplier * mechanism.sensitivity) / mechanism.grid;",
		to: "(mechanism.sumNoiseMultiplier * mechanism.sensitivity) / mechanism.grid / 2;",
		tests: AUDIT,
	},
	{
		name: "a clipping norm that is twice what noise is made for",
		file: "packages/dp/src/clip/clip.ts",
		from: "return [maxGradNorm];",
		to: "return [2 * maxGradNorm];",
		tests: AUDIT,
	},
	{
		name: "no clipping",
		file: FACTORS,
		from: 'min(p.most, ${alike ? "p.clip" : "clips_at(k)"} / max(sqrt(own) + p.gamma, 1e-30)) * p.perGrid',
		to: "p.most * p.perGrid",
		tests: AUDIT,
	},
	{
		name: "Poisson sampling at twice the rate",
		file: SAMPLER,
		from: 'if (sampling.kind === "poisson") return poissonBatch({ datasetSize: count, sampleRate }, source);',
		to: 'if (sampling.kind === "poisson") return poissonBatch({ datasetSize: count, sampleRate: Math.min(1, 2 * sampleRate) }, source);',
		tests: AUDIT,
	},
	{
		name: "two steps of an epoch for each record",
		file: SAMPLER,
		from: "filter((i) => steps[i] === own)",
		to: "filter((i) => Math.floor(steps[i] / 2) === Math.floor(own / 2))",
		tests: AUDIT,
	},
	{
		name: "noise that is divided by the batch size twice",
		file: SUM,
		from: "add(mean, 0, run, start, perStep);",
		to: "add(mean, 0, run.map((v) => Math.round((v - 2 ** 52 - 2 ** 51) / expectedBatchSize) + 2 ** 52 + 2 ** 51), start, perStep);",
		tests: AUDIT,
	},
	{
		name: "noise of each physical batch, averaged over them",
		file: ENGINE,
		from: "const draw = await drawn();",
		to: "const averaged = Math.sqrt(Math.max(1, Math.ceil(records.length / this.#rows)));\nconst draw = mechanism.given((await drawn()).take().subarray(0, mechanism.length).map((v) => (v * mechanism.grid) / averaged));",
		tests: AUDIT,
	},
	{
		name: "the noise of the first step in all of them",
		file: ENGINE,
		from: "this.#stepNoise.begin(mechanism, source,",
		to: "this.#stepNoise.begin(mechanism, this.#noise.forStep(1),",
		tests: AUDIT,
	},
	{
		name: "one normal for all coordinates",
		file: MECHANISM,
		from: "round(run.subarray(0, end), deviation);",
		to: "round(run.fill(run[0]).subarray(0, end), deviation);",
		tests: AUDIT,
	},
];
