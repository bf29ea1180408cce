import { FormatError } from "@hushgrad/tensor";
import type { z } from "zod";
import { readSettingsFile } from "./file.ts";
import { typed } from "./names.ts";
import { settingsSchema } from "./schema.ts";

/** Settings as they were given, defaults of the schema put in. */
export type GivenSettings = z.output<typeof settingsSchema>;

/** Settings that follow from the model or from others where they are not given. */
export type DerivedName =
	| "delta"
	| "records"
	| "maxLength"
	| "maxResponse"
	| "steps"
	| "batchSize"
	| "physicalBatchSize"
	| "lr"
	| "ledger"
	| "saveEvery"
	| "output";

/** Every setting of a run, resolved: nothing is left open. `epochs` has become `steps`. */
export type Settings = Readonly<Omit<GivenSettings, DerivedName | "epochs">> & {
	readonly [N in DerivedName]-?: NonNullable<GivenSettings[N]>;
};

/** Settings as the text of a settings file, in JSON: `readSettingsFrom` and `--config` read it. */
export function settingsText(settings: Settings): string {
	const names = Object.keys(settingsSchema.shape).filter((name) => settings[name as keyof Settings] !== undefined);
	return `${JSON.stringify(Object.fromEntries(names.map((name) => [typed(name), settings[name as keyof Settings]])), null, "\t")}\n`;
}

/**
 * The settings of a run that was begun, from its settings.json.
 * @throws FormatError for a file that is missing, was changed to what is none, or leaves one open.
 */
export async function readSettingsFrom(path: string): Promise<Settings> {
	const { shape } = settingsSchema;
	const given = await readSettingsFile(shape, path);
	const values = Object.fromEntries([...given.values].map(([name, { value }]) => [name, value]));
	const parsed = settingsSchema.safeParse(values);
	const open = Object.keys(shape).filter((name) => !OPTIONAL.includes(name) && !given.values.has(name));
	if (parsed.success && given.faults.length === 0 && open.length === 0) {
		const { epochs: _, ...settings } = parsed.data;
		return settings as Settings;
	}
	const wrong = parsed.success ? [] : parsed.error.issues.map(({ path: [name] }) => typed(String(name)));
	const faults = [
		...given.faults,
		...wrong.map((name) => `${name} is not what it must be`),
		...open.map((name) => `${typed(name)} is missing`),
	];
	throw new FormatError("settings/run", `these are not the settings of a run: ${[...new Set(faults)].join("; ")}`, {
		path,
		hint: "hushgrad train writes this file; restore it, or train anew",
	});
}

const OPTIONAL = ["prompt", "response", "unit", "epochs"];
