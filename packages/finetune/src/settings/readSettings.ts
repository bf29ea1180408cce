import { stat } from "node:fs/promises";
import { join } from "node:path";
import { readConfig } from "@hushgrad/models";
import { FormatError } from "@hushgrad/tensor";
import type { z } from "zod";
import { countRecords } from "../data/readRecords.ts";
import { readArguments, refuseAll } from "./arguments.ts";
import { defaultsFor } from "./defaults.ts";
import { settingsSchema } from "./schema.ts";
import type { Settings } from "./settings.ts";
import type { Shape } from "./shape.ts";
import type { Source, Sources } from "./sources.ts";
import { contradictions, misfits } from "./together.ts";

/** Settings of a run, and where each comes from. */
export interface ReadSettings<S extends Shape = Record<never, never>> {
	/** All of them, resolved. */
	readonly settings: Settings;
	/** Where each comes from. */
	readonly sources: Sources;
	/** Values of the flags that are the command's own. */
	readonly own: z.output<z.ZodObject<S>>;
}

/**
 * Reads the settings of a run from flags and from the file that `--config` names, which give way to flags; completes them by the size of the
 * model. `flags` are those of the command itself. The model's config.json is read, its weights are not.
 * @throws ValueError (`cli/arguments`) that lists all that is wrong; FormatError for a model or data that cannot be read.
 */
export async function readSettings<S extends Shape = Record<never, never>>(
	args: readonly string[],
	options: { readonly flags?: S | undefined } = {},
): Promise<ReadSettings<S>> {
	const flags = options.flags ?? ({} as S);
	const { values, given } = await readArguments({ ...settingsSchema.shape, ...flags }, args, { config: true });
	const read = settingsSchema.parse(Object.fromEntries(Object.entries(values).filter(([name]) => name in settingsSchema.shape)));
	const undeclared = read.private && read.records === undefined ? [UNDECLARED] : [];
	refuseAll([...contradictions(read, given), ...undeclared]);
	await checkModelFolder(read.model);
	const config = await readConfig(read.model);
	const records = read.records ?? (await countRecords(read));
	const { settings, sources: derived } = defaultsFor(config, read, records);
	refuseAll(misfits(settings, config));
	const fallback: Source = { from: "default" };
	const names = Object.keys(settingsSchema.shape).filter((name) => name in settings);
	const sources = Object.fromEntries(names.map((name) => [name, given[name] ?? derived[name as keyof typeof derived] ?? fallback]));
	const own = Object.fromEntries(Object.keys(flags).map((name) => [name, values[name as keyof typeof values]]));
	return { settings, sources, own: own as z.output<z.ZodObject<S>> };
}

const UNDECLARED =
	"--records is missing: how many records there are to train on is private, and is not counted for you; declare a round number near nine tenths of those in the file";

/** @throws FormatError for a folder that is no model. */
async function checkModelFolder(model: string): Promise<void> {
	const hint = "--model names a folder with config.json, *.safetensors and tokenizer.model";
	const kindOf = (path: string) =>
		stat(path).then(
			(s) => (s.isDirectory() ? "folder" : "file"),
			() => undefined,
		);
	const kind = await kindOf(model);
	if (kind === undefined) throw new FormatError("model/missing", "the folder of the model does not exist", { path: model, hint });
	if (kind === "file") throw new FormatError("model/missing", "the model is a file, expected a folder", { path: model, hint });
	const missing: string[] = [];
	for (const name of ["config.json", "tokenizer.model"]) if ((await kindOf(join(model, name))) !== "file") missing.push(name);
	if (missing.length > 0)
		throw new FormatError("model/missing", `the folder of the model has no ${missing.join(" and no ")}`, { path: model, hint });
}
