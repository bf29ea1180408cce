import { z } from "zod";

/** Settings by name, each with its type and bounds. */
export type Shape = Readonly<Record<string, z.ZodType>>;

/** What a JSON schema says of one value. */
interface Facts {
	readonly type?: string;
	readonly enum?: readonly string[];
	readonly items?: Facts;
	readonly minimum?: number;
	readonly maximum?: number;
	readonly exclusiveMinimum?: number;
	readonly exclusiveMaximum?: number;
}

const factsOf = (schema: z.ZodType): Facts => z.toJSONSchema(schema, { io: "input" }) as Facts;

/** How a setting is written. */
export type Written = "number" | "boolean" | "text" | "list";

/** How a setting is written on the command line. */
export function writtenAs(schema: z.ZodType): Written {
	const { type } = factsOf(schema);
	if (type === "boolean") return "boolean";
	if (type === "array") return "list";
	return type === "number" || type === "integer" ? "number" : "text";
}

/** The words that a setting, or each entry of a list, may be; none where any text will do. */
export function wordsOf(schema: z.ZodType): readonly string[] {
	const facts = factsOf(schema);
	return facts.enum ?? facts.items?.enum ?? [];
}

/** What a setting must be, in words. */
export function expected(schema: z.ZodType): string {
	const facts = factsOf(schema);
	const words = wordsOf(schema);
	if (facts.type === "array") return words.length > 0 ? `one or more of ${words.join(", ")}` : "a list of texts";
	if (words.length > 0) return `${words.slice(0, -1).join(", ")}${words.length > 1 ? " or " : ""}${words[words.length - 1]}`;
	if (facts.type === "boolean") return "true or false";
	return facts.type === "number" || facts.type === "integer" ? expectedNumber(facts) : "a text that is not empty";
}

function expectedNumber({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Facts): string {
	const number = type === "integer" ? "a whole number" : "a number";
	const isBound = (n: number | undefined): n is number => n !== undefined && Math.abs(n) < Number.MAX_SAFE_INTEGER;
	if (isBound(exclusiveMaximum)) return `${number} from ${minimum} to below ${exclusiveMaximum}`;
	const atMost = isBound(maximum) ? `, at most ${maximum}` : "";
	if (isBound(exclusiveMinimum)) return `${number} above ${exclusiveMinimum}${atMost}`;
	return isBound(minimum) ? `${number}, ${minimum} or more${atMost}` : `${number}${atMost}`;
}

/** What a setting does: its description in the schema. */
export const describe = (schema: z.ZodType): string => schema.meta()?.description ?? "";

/** The default that the schema fixes; undefined where there is none. */
export const fixedDefault = (schema: z.ZodType): unknown => (schema instanceof z.ZodDefault ? schema.def.defaultValue : undefined);
