import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "@hushgrad/tensor";
import { isCount, shown } from "@hushgrad/tensor/author";

const MAX_BYTES = 16 * 2 ** 20;

/** Reads a JSON file of a model or adapter directory. @throws FormatError when it is missing or no JSON. */
export async function readJson(op: string, directory: string, name: string): Promise<{ readonly value: unknown; readonly path: string }> {
	const path = join(directory, name);
	const bytes = await readFile(path).catch((cause) => {
		throw new FormatError("file/missing", `${op}: ${name} cannot be read`, {
			op,
			path,
			hint: "name a directory as save_pretrained writes it",
			cause,
		});
	});
	if (bytes.length > MAX_BYTES)
		throw new FormatError("file/size", `${name} has ${bytes.length} bytes, expected at most ${MAX_BYTES}`, { path });
	try {
		return { value: JSON.parse(bytes.toString("utf8")), path };
	} catch (cause) {
		throw new FormatError("file/json", `${name} is not JSON: ${(cause as Error).message}`, {
			path,
			hint: "the file is damaged: save or download it again",
			cause,
		});
	}
}

/** A value of a JSON file, for a message. */
function textOf(value: unknown): string {
	if (value === undefined) return "absent";
	const text = JSON.stringify(value, (_, v) =>
		v === null || ["string", "number", "boolean"].includes(typeof v) || isPlain(v) ? v : shown(v),
	);
	return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

const isPlain = (v: NonNullable<unknown>): boolean =>
	Array.isArray(v) || (typeof v === "object" && Object.getPrototypeOf(v) === Object.prototype);

/** The fields of a JSON object, each read with its check. */
export class JsonFields {
	readonly path: string;
	readonly #object: Readonly<Record<string, unknown>>;

	constructor(object: Readonly<Record<string, unknown>>, path: string) {
		this.#object = object;
		this.path = path;
	}

	/** The value as it stands; undefined when absent. */
	value(name: string): unknown {
		return Object.hasOwn(this.#object, name) ? this.#object[name] : undefined;
	}

	error(name: string, expected: string): FormatError {
		return new FormatError("config/field", `${name} is ${textOf(this.value(name))}, expected ${expected}`, {
			path: this.path,
			hint: "use the config.json that belongs to the weights",
		});
	}

	/** A whole number from 1 to 2^31. */
	size(name: string, absent: number): number {
		const v = this.value(name) ?? absent;
		if (!isCount(v) || v < 1 || v > 2 ** 31) throw this.error(name, "a whole number above 0");
		return v;
	}

	positive(name: string, absent: number): number {
		const v = this.value(name) ?? absent;
		if (typeof v !== "number" || !(v > 0 && v < Number.POSITIVE_INFINITY)) throw this.error(name, "a number above 0");
		return v;
	}

	/** A number above 0, or null when the file says null. */
	nullable(name: string, absent: number): number | null {
		return this.value(name) === null ? null : this.positive(name, absent);
	}

	/** One token id, several, or null. */
	tokenIds(name: string, absent: number | null): number | readonly number[] | null {
		const v = this.value(name) === undefined ? absent : this.value(name);
		if (v === null || isCount(v)) return v;
		if (!Array.isArray(v) || !v.every(isCount)) throw this.error(name, "a token id, a list of them or null");
		return v;
	}

	/** One token id or null. */
	tokenId(name: string, absent: number): number | null {
		const v = this.tokenIds(name, absent);
		if (v !== null && typeof v !== "number") throw this.error(name, "a token id or null");
		return v;
	}

	/** Refuses any value but the given ones (undefined stands for absent). */
	only(name: string, allowed: readonly unknown[], reason: string): void {
		const v = this.value(name);
		if (allowed.includes(v)) return;
		throw new FormatError(
			"config/unsupported",
			`${name} is ${textOf(v)}, expected ${allowed
				.filter((a) => a !== undefined)
				.map((a) => JSON.stringify(a))
				.join(" or ")}`,
			{
				path: this.path,
				hint: reason,
			},
		);
	}
}

/** @throws FormatError unless the value is a JSON object. */
export function jsonFields(value: unknown, path: string): JsonFields {
	if (typeof value !== "object" || value === null || Array.isArray(value)) {
		throw new FormatError("config/object", "expected a JSON object", { path, hint: "the file is damaged: save or download it again" });
	}
	return new JsonFields(value as Record<string, unknown>, path);
}
