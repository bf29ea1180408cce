import { ValueError } from "./errors.ts";
import { Tensor } from "./tensor.ts";

/** A value of any kind, in a few words for an error text. */
export function shown(value: unknown): string {
	if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
	if (typeof value === "function") return "a function";
	if (value instanceof Tensor) return String(value);
	if (Array.isArray(value)) return `[${value.slice(0, 4).map(shown).join(", ")}${value.length > 4 ? ", …" : ""}]`;
	if (ArrayBuffer.isView(value)) return `a ${(value as { readonly [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? "DataView"}`;
	return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** The error of an argument that is not what the function takes: its name, what came, and words for what is expected. */
export const refused = (op: string, name: string, value: unknown, expected: string, hint?: string): ValueError =>
	new ValueError("call/argument", `${op}: ${name} is ${shown(value)}, expected ${expected}`, { op, hint });
