import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Entry, FURTHER, JAX, NUMPY, TORCH } from "./table.ts";

export const PAGE = "docs/dictionary.md";

/** torch's names by how often they are called: see used.py. */
export const used = (root: string): Readonly<Record<string, number>> =>
	JSON.parse(readFileSync(join(root, "tools/dictionary/used.json"), "utf8"));

const camel = (name: string): string => name.replaceAll(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** The answer for a function of torch: the entry, or the same name applied to x. */
export const answer = (name: string): Entry => TORCH[name] ?? { ours: `${camel(name)}(x)` };

/** Every expression of ours on the page. */
export const expressions = (root: string): string[] =>
	[...Object.keys(used(root)).map(answer), ...[FURTHER, JAX, NUMPY].flatMap((t) => Object.values(t))].flatMap(({ ours }) =>
		ours === undefined ? [] : [ours],
	);

const table = (title: string, rows: readonly (readonly [string, Entry])[]): string =>
	[
		`| ${title} | Hushgrad | differences |`,
		"| --- | --- | --- |",
		...rows.map(([name, { ours, note = "" }]) => `| \`${name}\` | ${ours === undefined ? "not here" : `\`${ours}\``} | ${note} |`),
	].join("\n");

/** The dictionary. */
export function page(root: string): string {
	const names = Object.keys(used(root));
	return `# From torch, jax and numpy

How to say here what is said there. In the expressions \`x\`, \`y\`, \`a\` and \`b\` are tensors, \`ids\` one of i32, \`mask\` one of bool,
\`k\` a key and \`slot\` a \`{ value: x }\`. A test compiles every one of them. Written by \`npm run pages\` from tools/dictionary.

Everywhere: functions, not methods; options come last, in an object; axes are numpy's, and what takes several takes a list; what makes a
tensor takes the device; nothing is promoted, \`cast\` converts; reading is a promise.

## torch

The ${names.length} tensor functions that transformers 4.57.6 calls most, the most frequent first; tools/dictionary/used.py counts them.

${table(
	"torch",
	names.map((name) => [name, answer(name)]),
)}

Others, by what they are about:

${table("torch", Object.entries(FURTHER))}

## jax

${table("jax", Object.entries(JAX))}

## numpy

${table("numpy", Object.entries(NUMPY))}
`;
}
