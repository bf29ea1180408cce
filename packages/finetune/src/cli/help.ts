import { typed } from "../settings/names.ts";
import { settingsSchema } from "../settings/schema.ts";
import { describe, fixedDefault, type Shape, wordsOf, writtenAs } from "../settings/shape.ts";
import { padTo, wrap } from "./width.ts";

/** What a help text is made of. */
export interface HelpOptions {
	/** What is typed: `hushgrad plan --data FILE --model DIR [flags]`. */
	readonly usage: string;
	/** What it does, a few sentences. */
	readonly about: string;
	/** Flags of the command. */
	readonly flags?: Shape | undefined;
	/** Whether all settings of a run are flags of it, too. */
	readonly settings?: boolean | undefined;
}

const NAMES = { data: "Data", model: "Model", privacy: "Privacy", training: "Training", output: "Output" } as const;

/** The help text of a command. */
export function helpText({ usage, about, flags = {}, settings = false }: HelpOptions, columns: number): string {
	const width = Math.min(columns, 120);
	const sections = settings ? settingSections() : [];
	const own = Object.entries(flags);
	const parts = [
		wrap(about, width).join("\n"),
		`  ${usage}`,
		...sections.map(([title, entries]) => section(title, entries, width)),
		...(own.length === 0 ? [] : [section("Flags", own, width)]),
		...(settings
			? [
					wrap(
						"--config FILE reads any of these from a file, YAML or JSON; a flag goes before it. settings.schema.json describes the file.",
						width,
					).join("\n"),
				]
			: []),
	];
	return `${parts.join("\n\n")}\n`;
}

type Entries = readonly (readonly [string, Shape[string]])[];

function settingSections(): [string, Entries][] {
	const entries = Object.entries(settingsSchema.shape);
	return Object.entries(NAMES).map(([id, title]) => [title, entries.filter(([, schema]) => schema.meta()?.section === id)]);
}

const FLAG = 28;

function section(title: string, entries: Entries, width: number): string {
	const lines = entries.flatMap(([name, schema]) => {
		const fallback = fixedDefault(schema);
		const isOn = fallback === true;
		const flag = `  --${isOn ? "no-" : ""}${typed(name)}`;
		const words = writtenAs(schema) === "text" ? wordsOf(schema) : [];
		const value =
			fallback === undefined || typeof fallback === "boolean" ? "" : ` (${Array.isArray(fallback) ? fallback.join(",") : fallback})`;
		const choice = words.length === 0 ? "" : `${words.join(" | ")}: `;
		const [first = "", ...rest] = wrap(`${choice}${describe(schema)}${value}`, width - FLAG);
		return [padTo(flag, FLAG) + first, ...rest.map((line) => " ".repeat(FLAG) + line)];
	});
	return [title, ...lines].join("\n");
}
