import type { Mutant } from "./mutants.operations.ts";

const DP = "packages/dp/src";
const LAUNCHES = "packages/tensor/src/launches.ts";
const CHANGING = ["tests/privacy/attacks.replays.test.ts"];
const REPLAYS = ["tests/dp/replays.test.ts"];
const CAPTURE = ["tests/engine/capture.test.ts"];

/** Faults of replayed batches: a program that is not what was captured, inputs of the batch before, memory in use. */
export const REPLAY_MUTANTS: readonly Mutant[] = [
	{
		name: "a replay that is not checked",
		file: `${DP}/replays.ts`,
		from: "captured.step.difference(() => program.run(captured.batch, mayTouch));",
		to: "undefined as string | undefined;",
		tests: CHANGING,
		only: "curriculum",
	},
	{
		name: "a replay that is checked once",
		file: `${DP}/replays.ts`,
		from: "const isKnown = bucket.checked === step ||",
		to: "const isKnown = bucket.checked !== undefined ||",
		tests: CHANGING,
		only: "curriculum",
	},
	{
		name: "a replay that reads what is public no more",
		file: `${DP}/replays.ts`,
		from: "if (program.open !== undefined && !captured.step.usesOnly(",
		to: "if (program.open === undefined && !captured.step.usesOnly(",
		tests: CHANGING,
		only: "even unchecked",
	},
	{
		name: "a replay on the batch before",
		file: `${DP}/replays.ts`,
		from: "\t\tstaged.write(captured.batch, captured.staged);\n",
		to: "",
		tests: REPLAYS,
		only: "flat clipping, instantiated",
	},
	{
		name: "padding of the batch before",
		file: `${DP}/records.ts`,
		from: "if (this.#weights.some((w, i) => w !== before.#weights[i]))",
		to: "if (this.#weights.every((w, i) => w !== before.#weights[i]))",
		tests: REPLAYS,
		only: "flat clipping, instantiated",
	},
	{
		name: "losses that pass for norms",
		file: `${DP}/diagnostics.ts`,
		from: "both: losses.device.keep(cat([losses, norms]))",
		to: "both: losses.device.keep(cat([losses, losses]))",
		tests: ["tests/dp/wiring.test.ts"],
	},
	{
		name: "a plain sum in memory that the next batch is computed in",
		file: `${DP}/plainTrainer.ts`,
		from: "return batches.length === 1\n",
		to: "return batches.length >= 1\n",
		tests: REPLAYS,
		only: "3 parts",
	},
	{
		name: "two plain steps at a time in one memory",
		file: `${DP}/plainTrainer.ts`,
		from: "mayReplay: this.#running === 1",
		to: "mayReplay: true",
		tests: REPLAYS,
		only: "two steps at a time",
	},
	{
		name: "captured memory that is given up while it is in use",
		file: `${DP}/replays.ts`,
		from: "if (!this.isBusy) for (const bucket",
		to: "for (const bucket",
		tests: REPLAYS,
		only: "in use",
	},
	{
		name: "other numbers that pass for the same",
		file: LAUNCHES,
		from: "if (!same(a.params, b.params)) {",
		to: "if (a.params.length !== b.params.length) {",
		tests: CAPTURE,
		only: "sees a number",
	},
	{
		name: "another tensor that passes for the same",
		file: LAUNCHES,
		from: "return same(a.places, b.places) && same(a.ranges, b.ranges)",
		to: "return same(a.ranges, b.ranges)",
		tests: CAPTURE,
		only: "another tensor from outside",
	},
	{
		name: "another part of a tensor that passes for the same",
		file: LAUNCHES,
		from: "return same(a.places, b.places) && same(a.ranges, b.ranges)",
		to: "return same(a.places, b.places)",
		tests: CAPTURE,
		only: "another part of a tensor",
	},
	{
		name: "another result that passes for the same",
		file: LAUNCHES,
		from: "a.place === b.place && a.view === b.view",
		to: "a.view === b.view",
		tests: CAPTURE,
		only: "sees another result",
	},
	{
		name: "a step that is only recorded, and runs",
		file: "packages/tensor/src/gpu/recorder.ts",
		from: "\t\tif (this.#isRehearsing) return;\n",
		to: "",
		tests: CAPTURE,
		only: "runs nothing",
	},
	{
		name: "a tensor without values that is read",
		file: "packages/tensor/src/gpu/recorder.ts",
		from: "if (!storage.isReal) throw unreal(storage);",
		to: "if (storage.size < 0) throw unreal(storage);",
		tests: CAPTURE,
		only: "no tensor with values",
	},
	{
		name: "joined parts that begin where the last ones did",
		file: "packages/tensor/src/ops/cat.kernel.ts",
		from: "\t\tgroup = [];\n\t\tfrom = start;\n",
		to: "\t\tgroup = [];\n",
		tests: ["tests/tensor/cat.test.ts"],
	},
];
