import type { Printer } from "../cli/printer.ts";
import { numberText } from "../cli/units.ts";
import { padTo } from "../cli/width.ts";
import { typed } from "../settings/names.ts";
import { settingsSchema } from "../settings/schema.ts";
import type { Settings } from "../settings/settings.ts";
import { type Sources, sourceText } from "../settings/sources.ts";

/** Shows every setting with where it comes from. */
export function showSettings({ field, dim }: Printer, settings: Settings, sources: Sources): void {
	const names = Object.keys(settingsSchema.shape).filter((name) => name in sources) as (keyof Settings &
		keyof typeof settingsSchema.shape)[];
	const shown = names.map((name) => ({ name: typed(name), value: valueText(settings[name]), source: sourceText(sources[name]) }));
	for (const { name, value, source } of shown) {
		const isLong = value.length > VALUE || source.length > SOURCE;
		field(name, isLong ? `${value} ${dim(`(${source})`)}` : `${padTo(value, VALUE)} ${dim(source)}`, NAME);
	}
}

const NAME = 24;
const VALUE = 18;
/** Columns of a source that a terminal of 60 has room for, beside name and value. */
const SOURCE = 60 - 2 - NAME - VALUE - 1;

function valueText(value: unknown): string {
	if (typeof value === "boolean") return value ? "yes" : "no";
	if (typeof value === "number") return numberText(value);
	return (Array.isArray(value) ? value.join(", ") : String(value)).replaceAll("\n", "⏎");
}
