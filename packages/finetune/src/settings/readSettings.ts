import { readConfig } from "@hushgrad/models";
import type { z } from "zod";
import { countRecords } from "../data/readRecords.ts";
import { readArguments, refuseAll } from "./arguments.ts";
import { defaultsFor } from "./defaults.ts";
import { checkModelFolder } from "./modelFolder.ts";
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
	const fallback: Source = { from: "default", where: "" };
	const names = Object.keys(settingsSchema.shape).filter((name) => name in settings);
	const sources = Object.fromEntries(names.map((name) => [name, given[name] ?? derived[name as keyof typeof derived] ?? fallback]));
	const own = Object.fromEntries(Object.keys(flags).map((name) => [name, values[name as keyof typeof values]]));
	return { settings, sources, own: own as z.output<z.ZodObject<S>> };
}

const UNDECLARED =
	"--records is missing: how many records there are to train on is private, and is not counted for you; declare a round number near nine tenths of those in the file";
