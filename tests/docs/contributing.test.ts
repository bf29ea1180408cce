import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as tensor from "@hushgrad/tensor";
import type { Registry } from "@hushgrad/tensor/registry";
import { afterAll, beforeAll, expect, it } from "vitest";
import { scaffold } from "../../tools/new-op.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const SOURCE = "packages/tensor/src";
const page = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");

/** The code that the page shows behind a sentence, without its indentation. */
function shownBehind(sentence: string): string {
	const at = page.indexOf(sentence);
	if (at < 0) throw new Error(`CONTRIBUTING.md does not say "${sentence}"`);
	const [block] = /(?:^(?: {4}.*)?\n)+/m.exec(page.slice(page.indexOf("\n\n    ", at) + 1)) ?? [""];
	return block.replaceAll(/^ {4}/gm, "").trim();
}

/** A copy of the library to which the operations of the page are added as the page says, unless somebody did. */
let copy: string;
beforeAll(() => {
	mkdirSync(join(root, "out"), { recursive: true });
	copy = mkdtempSync(join(root, "out", "contributing-"));
	for (const path of [SOURCE, "packages/tensor/package.json"]) cpSync(join(root, path), join(copy, path), { recursive: true });
	const edit = (path: string, change: (text: string) => string): void => {
		const file = join(copy, SOURCE, path);
		const before = readFileSync(file, "utf8");
		const after = change(before);
		expect(after).not.toBe(before);
		writeFileSync(file, after);
	};
	const has = (path: string, name: string): boolean => readFileSync(join(copy, SOURCE, path), "utf8").includes(name);
	if (has("index.ts", "softsign")) return;
	const row = shownBehind("below the row of `softplus`");
	edit("ops/activations.ts", (text) => text.replace(/^export const softplus = [\s\S]*?\n\}\);\n/m, (softplus) => `${softplus}${row}\n`));
	edit("index.ts", (text) => text.replace(", softplus }", ", softplus, softsign }"));
	scaffold(copy, "center");
	const file = shownBehind("replace all that follows the imports by");
	edit("ops/center.ts", (text) => {
		const imports = text.match(/^import .*\n/gm) ?? [];
		return `${imports.filter((line) => !/\{ mul \}/.test(line)).join("")}\n${file}\n`;
	});
});
afterAll(() => rmSync(copy, { recursive: true }));

const check = (tool: string, ...args: string[]) => {
	const { status, stdout, stderr } = spawnSync(join(root, "node_modules", ".bin", tool), args, { cwd: root, encoding: "utf8" });
	expect(status, stdout + stderr).toBe(0);
};

it("the operations that CONTRIBUTING.md adds are clean for formatter, linter and compiler", () => {
	check("biome", "check", "--vcs-enabled=false", ...["ops/activations.ts", "ops/center.ts", "index.ts"].map((f) => join(copy, SOURCE, f)));
	writeFileSync(join(copy, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: [SOURCE] }));
	check("tsc", "--noEmit", "-p", copy);
});

it("they are registered, and give what their references give, for records too", async () => {
	type Added = { softsign: (x: tensor.Tensor) => tensor.Tensor; center: (x: tensor.Tensor) => tensor.Tensor };
	const lib = (await import(join(copy, SOURCE, "index.ts"))) as typeof tensor & Added;
	const { registry } = (await import(join(copy, SOURCE, "registry.ts"))) as { registry: Registry };
	const device = await lib.requestDevice();
	try {
		const values = [1, -2, 3, 0.5, 0, -0.25];
		const x = device.fromHost(values, [2, 3]);
		for (const [name, slopes] of [
			["softsign", values.map((v) => 1 / (1 + Math.abs(v)) ** 2)],
			["center", values.map(() => 0)],
		] as const) {
			const primitive = registry.primitives.find((p) => p.spec.name === name);
			const [expected] = primitive?.spec.reference({ x: { data: Float64Array.from(values), shape: [2, 3] } }, {}) ?? [];
			const near = (list: ArrayLike<number>) => Array.from(list, (v) => expect.closeTo(v, 5));
			expect([...(await lib.data(lib[name](x)))]).toEqual(near(expected?.data ?? []));
			expect([...(await lib.data(lib.vmap(lib[name])(x)))]).toEqual(near(expected?.data ?? []));
			expect([...(await lib.data(lib.grad((v: tensor.Tensor) => lib.sum(lib[name](v)))(x)))]).toEqual(near(slopes));
		}
	} finally {
		device.destroy();
	}
});
