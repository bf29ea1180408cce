import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { readArguments } from "../../packages/finetune/src/settings/arguments.ts";
import { typed } from "../../packages/finetune/src/settings/names.ts";
import { readSettings } from "../../packages/finetune/src/settings/readSettings.ts";
import { settingsSchema } from "../../packages/finetune/src/settings/schema.ts";
import { readSettingsFrom, settingsText } from "../../packages/finetune/src/settings/settings.ts";
import { type Source, sourceText } from "../../packages/finetune/src/settings/sources.ts";
import { useFolder } from "./folder.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const MODEL = join(root, "assets/tiny-vaultgemma");
const DATA = join(root, "assets/flashcards.json");
const BASE = ["--model", MODEL, "--data", DATA, "--records", "400"];

const { path: folder, file } = useFolder();
const text = (source: Source | undefined): string => (source === undefined ? "" : sourceText(source));
const refusal = (args: readonly string[]): Promise<string> =>
	readSettings(args).then(
		() => "accepted",
		(error: Error) => error.message,
	);

describe("readSettings", () => {
	it("completes the tutorial's settings for the small model", async () => {
		const { settings, sources } = await readSettings(BASE);
		expect(settings).toMatchObject({
			...{ records: 400, delta: 1e-5, steps: 16, batchSize: 100, physicalBatchSize: 16, lr: 1e-2, maxLength: 80, maxResponse: 64 },
			...{ rank: 8, alpha: 16, dropout: 0.05, maxGradNorm: 1, beta1: 0, private: true, sampling: "random-allocation", saveEvery: 2 },
		});
		expect(settings).not.toHaveProperty("epochs");
		expect(text(sources.lr)).toBe("by model size");
		expect(text(sources.records)).toBe("--records");
		expect(text(sources.rank)).toBe("default");
		expect(Object.keys(sources).sort()).toEqual(Object.keys(settings).sort());
	});

	it("does not train the 1B at the small model's rate", async () => {
		const config = { model_type: "vaultgemma", vocab_size: 256000, hidden_size: 1152, intermediate_size: 6912, num_attention_heads: 4 };
		await file("config.json", JSON.stringify({ ...config, num_key_value_heads: 4, head_dim: 256 }));
		await file("tokenizer.model", "");
		const { settings } = await readSettings(["--model", folder(), "--data", "x.csv", "--records", "7700"]);
		expect(settings).toMatchObject({ lr: 1e-4, batchSize: 128, maxLength: 256, delta: 1e-5 });
	});

	it("lets a flag go before the file, and says where each comes from", async () => {
		const config = await file("run.yaml", "epsilon: 3\n# a comment\nlr: 1e-3\nprivate-losses: true\n");
		const { settings, sources } = await readSettings([...BASE, "--config", config, "--lr", "2e-3", "--dropout=0"]);
		expect(settings).toMatchObject({ epsilon: 3, lr: 2e-3, privateLosses: true, dropout: 0 });
		expect(sources.epsilon).toEqual({ from: "file", where: `${config}:1` });
		expect(sources.lr).toEqual({ from: "flag", where: "--lr" });
	});

	it("reads the same from JSON, and a run's own settings again", async () => {
		const { settings } = await readSettings([...BASE, "--target-modules", "q_proj,v_proj", "--no-private", "--seed", "7"]);
		const path = await file("settings.json", settingsText(settings));
		expect(await readSettingsFrom(path)).toEqual(settings);
		expect((await readSettings(["--config", path])).settings).toEqual(settings);
	});

	it("counts the records only of data that is not private", async () => {
		const { settings, sources } = await readSettings([...BASE.slice(0, 4), "--no-private"]);
		expect(settings.records).toBeGreaterThan(370);
		expect(text(sources.records)).toBe("from data");
		expect(await refusal(BASE.slice(0, 4))).toMatch(/--records is missing: .* private/);
	});

	it("knows what settings are called elsewhere", async () => {
		const config = await file("elsewhere.yaml", "learning_rate: 0.01\nlora-alpha: 8\nper_device_train_batch_size: 4\n");
		const message = await refusal([...BASE, "--config", config, "--max-steps", "3", "--target_epsilon", "3"]);
		for (const name of ["lr", "alpha", "physical-batch-size", "--steps", "--epsilon"]) expect(message).toContain(`did you mean ${name}?`);
	});

	it("lists everything that is wrong at once", async () => {
		const config = await file("bad.yaml", "epsilom: 8\nrank: many\n");
		const message = await refusal([...BASE, "--config", config, "--lr", "-1", "--tooo-long", "cut", "--steps", "1.5"]);
		expect(message).toContain("5 things are wrong");
		expect(message).toContain("there is no flag --tooo-long; did you mean --too-long?");
		expect(message).toContain(`${config}:1: there is no setting "epsilom"; did you mean epsilon?`);
		expect(message).toContain(`${config}:2: rank is "many", expected a whole number, 1 or more`);
		expect(message).toContain("--lr is -1, expected a number above 0");
		expect(message).toContain("--steps is 1.5, expected a whole number, 1 or more");
	});

	it.each<[string, string[], RegExp]>([
		["steps and epochs", ["--steps", "3", "--epochs", "2"], /both say how long/],
		["warm-up of a constant rate", ["--warmup-steps", "2"], /needs --schedule cosine/],
		["privacy's settings without privacy", ["--no-private", "--epsilon", "3"], /--no-private and --epsilon contradict/],
		["a unit's bound without a unit", ["--max-unit-records", "3"], /needs --unit/],
		["one column for both", ["--prompt", "input", "--response", "input"], /learn to repeat/],
		["a batch larger than the data", ["--batch-size", "1000"], /at most the 400 records/],
		["a delta of 1/N", ["--delta", "0.0025"], /below 1\/N/],
		["no room for the prompt", ["--max-response", "80"], /the prompt needs room/],
		["more tokens than the model takes", ["--max-length", "9000"], /takes 256 tokens/],
		["a flag twice", ["--lr", "1", "--lr", "2"], /given twice/],
		["a value for a switch", ["--private=no"], /takes no value: write --private or --no-private/],
		["no for what is no switch", ["--no-lr"], /there is no flag --no-lr/],
		["a value that is missing", ["--lr"], /--lr needs a value/],
		["a flag for a value", ["--unit", "--lr", "1"], /--unit needs a value/],
		["a stray word", ["now"], /"now" belongs to no flag/],
		["hexadecimal", ["--seed", "0x10"], /--seed is "0x10", expected a whole number/],
		["infinity", ["--epsilon", "Infinity"], /expected a number above 0/],
		["a projection that is none", ["--target-modules", "q_proj,k_porj"], /did you mean k_proj/],
		["a word that is none", ["--schedule", "cosin"], /expected constant or cosine; did you mean cosine/],
		["camelCase", ["--maxLength", "80"], /did you mean --max-length/],
	])("refuses %s", async (_, args, message) => {
		expect(await refusal([...BASE, ...args])).toMatch(message);
	});

	it("knows a settings file that is none", async () => {
		expect(await refusal(["--config", join(folder(), "absent.yaml")])).toContain("does not exist");
		expect(await refusal(["--config", folder()])).toContain("is a folder");
		expect(await refusal(["--config", await file("list.yaml", "- 1\n")])).toContain("no names with values");
		expect(await refusal(["--config", await file("torn.json", '{"lr": 1,\n"rank": ')])).toMatch(/torn\.json:2 is neither YAML nor JSON/);
		expect(await refusal(["--config", await file("twice.yaml", "lr: 1\nlr: 2\n")])).toMatch(/twice\.yaml:2 .*unique/);
	});
});

describe("flags and files say the same", () => {
	const value = (schema: unknown): fc.Arbitrary<unknown> => {
		const { type, exclusiveMinimum } = (schema as { toJSONSchema(): { type?: string; exclusiveMinimum?: number } }).toJSONSchema();
		if (type === "boolean") return fc.boolean();
		if (type === "integer") return fc.integer({ min: 1, max: 2 ** 40 });
		if (type === "number") return fc.double({ min: exclusiveMinimum === undefined ? 0 : 1e-12, max: 0.999, noNaN: true }).map((n) => n + 0);
		return fc.string({ minLength: 1 }).filter((s) => !s.startsWith("--") && s.trim() !== "");
	};
	const names = ["lr", "seed", "privateLosses", "weightDecay", "unit", "epsilon", "rank", "heldOut", "output"] as const;
	const { data, model, ...optional } = settingsSchema.shape;
	const given = fc.record(Object.fromEntries(names.map((name) => [name, value(settingsSchema.shape[name])])), { requiredKeys: [] });

	it("for any values", async () => {
		expect([data, model].every((s) => s !== undefined)).toBe(true);
		await fc.assert(
			fc.asyncProperty(given, async (values) => {
				const flags = Object.entries(values).map(([name, v]) =>
					typeof v === "boolean" ? `--${v ? "" : "no-"}${typed(name)}` : `--${typed(name)}=${v}`,
				);
				const kebab = Object.fromEntries(Object.entries(values).map(([name, v]) => [typed(name), v]));
				const [yaml, json] = [await file("p.yaml", stringify(kebab)), await file("p.json", JSON.stringify(kebab))];
				const byFlags = (await readArguments(optional, flags)).values;
				expect((await readArguments(optional, ["--config", yaml], { config: true })).values).toEqual(byFlags);
				expect((await readArguments(optional, ["--config", json], { config: true })).values).toEqual(byFlags);
				expect(byFlags).toMatchObject(values);
			}),
			{ numRuns: 200 },
		);
	});
});

it("the file of a run that was changed is refused by name", async () => {
	const { settings } = await readSettings(BASE);
	const path = await file(
		"changed.json",
		settingsText(settings)
			.replace('"lr": 0.01', '"lr": "fast"')
			.replace(/.*"steps".*\n/, ""),
	);
	expect(await readFile(path, "utf8")).toContain("fast");
	await expect(readSettingsFrom(path)).rejects.toThrow(/lr is not what it must be; steps is missing/);
});

it("the example of a settings file is the tutorial's", async () => {
	const { settings } = await readSettings(["--config", join(root, "examples/flashcards.yaml")]);
	expect(settings).toMatchObject({ epsilon: 8, steps: 16, records: 400, lr: 1e-2, batchSize: 100 });
});
