/** Writes out/precision.json: what the reference tells about every operation, for plugin.mjs. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Operation, readOperations, shown } from "../operations.ts";

/** An operation, and the paragraphs on what it computes and how exactly. */
export interface Precision extends Pick<Operation, "name" | "file"> {
	readonly text: string;
	/** Whether a function of another name may stand for it: gradients and linear operations are parts of many. */
	readonly isWhole: boolean;
}

function precisionOf({ name, file, signature, types, values, gradient, bound, why }: Operation): Precision {
	const { abs = 0, ulp = 0 } = bound ?? {};
	const ulps = ulp === 0 ? "2" : `(${shown(ulp)} + 2)`;
	const error = `within ${abs === 0 ? "" : `${shown(abs)} + `}${ulps} · 2⁻²³ · |y| of float64 in f32, for values from ${values}`;
	const items = [`- error: ${bound === undefined ? "none" : error} (${why})`, `- types: ${types}`, `- gradient: ${gradient}`];
	const text = `${signature === undefined ? "" : `\`${signature}\`\n\n`}${items.join("\n")}`;
	return { name, file, text, isWhole: signature !== undefined && !name.includes(".") };
}

const root = fileURLToPath(new URL("../..", import.meta.url));
mkdirSync(join(root, "out"), { recursive: true });
writeFileSync(join(root, "out/precision.json"), JSON.stringify((await readOperations(root)).map(precisionOf)));
