import { z } from "zod";
import { typed } from "./names.ts";
import { settingsSchema } from "./schema.ts";

const ADDRESS = "https://json-schema.org/draft/2020-12/schema";

/** A value of JSON. */
type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** The JSON schema of a settings file: for editors, which then complete names and show what they mean. settings.schema.json holds it. */
export function settingsJsonSchema(): { readonly [name: string]: Json } {
	const properties = Object.entries(settingsSchema.shape).map(([name, schema]) => {
		const { $schema: _, section: __, description = "", ...facts } = z.toJSONSchema(schema, { io: "input" }) as Record<string, Json>;
		return [typed(name), { description, ...withoutMachineBounds(facts) }] as const;
	});
	return {
		$schema: ADDRESS,
		title: "Settings of a run of hushgrad",
		description: "Read by --config of hushgrad plan and hushgrad train, as YAML or JSON; a flag of the same name goes before it.",
		type: "object",
		properties: { $schema: { type: "string", description: "address of this schema" }, ...Object.fromEntries(properties) },
		additionalProperties: false,
	};
}

/** Bounds without those that only say that a whole number fits a double. */
const withoutMachineBounds = (facts: Readonly<Record<string, Json>>): Record<string, Json> =>
	Object.fromEntries(Object.entries(facts).filter(([, value]) => typeof value !== "number" || Math.abs(value) < Number.MAX_SAFE_INTEGER));
