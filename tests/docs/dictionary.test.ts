import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as t from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { answer, expressions, page, used } from "../../tools/dictionary/page.ts";
import { FURTHER, JAX, NUMPY, TORCH } from "../../tools/dictionary/table.ts";
import { compile } from "./strict.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const names = Object.keys(t);

it("has an answer for each of torch's 120 most used functions, and no other", () => {
	const asked = Object.keys(used(root));
	expect(asked.length).toBe(120);
	for (const name of asked) expect(answer(name).ours ?? answer(name).note, name).toBeTruthy();
	expect(Object.keys(TORCH).filter((name) => !asked.includes(name))).toEqual([]);
	expect(
		page(root)
			.split("\n")
			.filter((line) => line.startsWith("| `")).length,
	).toBe(120 + [FURTHER, JAX, NUMPY].reduce((n, t) => n + Object.keys(t).length, 0));
});

/** What no other library has a name for, or what is about the device and not about tensors. */
const OURS =
	`addScaled attentionSoftmax checkFinite geglu hvp linearCrossEntropy listAdapters normalValues requestDevice rope show softcap takeRows
	uniformValues write`.split(/\s+/);

it("has every function", () => {
	const said = new Set(expressions(root).flatMap((code) => code.match(/\w+/g) ?? []));
	const functions = Object.entries(t).flatMap(([name, f]) => (typeof f === "function" && /^[a-z]/.test(name) ? [name] : []));
	expect(functions.filter((name) => !said.has(name) && !OURS.includes(name))).toEqual([]);
});

it("names nothing that does not exist: every expression compiles in the strictest mode", () => {
	const folder = join(root, "node_modules/.cache/hushgrad-dictionary");
	const all = expressions(root);
	const values = names.filter((name) => all.some((code) => new RegExp(`\\b${name}\\b`).test(code)) && name !== "Tensor");
	mkdirSync(folder, { recursive: true });
	try {
		const head = `import { type Device, type Key, ${values.join(", ")}, Tensor } from "@hushgrad/tensor";
declare const device: Device, k: Key, x: Tensor, y: Tensor, a: Tensor, b: Tensor, w: Tensor, ids: Tensor, mask: Tensor;
const slot = { value: x };
`;
		writeFileSync(join(folder, "dictionary.mts"), `${head}${all.map((code) => `void (${code});`).join("\n")}\nvoid Tensor;\nexport {};\n`);
		expect(compile(root, folder, ["*.mts"])).toBe("");
	} finally {
		rmSync(folder, { recursive: true });
	}
});

it("says why of what is not here, and only of what is not here", () => {
	for (const [name, { ours, note }] of Object.entries({ ...TORCH, ...FURTHER, ...JAX, ...NUMPY })) {
		expect(ours ?? note, name).toBeTruthy();
		const own = name.replaceAll(/_(\w)/g, (_, letter) => letter.toUpperCase());
		if (ours === undefined) expect(names, `${name} exists: say how it is called`).not.toContain(own);
	}
});
