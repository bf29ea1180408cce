import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { importsOf } from "../../tools/imports.ts";
import { violations } from "../../tools/layers.ts";

const source = (path: string, text: string) => ({ path, text });
const seen = (text: string) => importsOf(source("f.ts", text)).map(({ target, line, isTypeOnly }) => [target, line, isTypeOnly]);

describe("importsOf", () => {
	it("sees every way to import", () => {
		const text = [
			'import a from "x1";',
			'import type { B } from "x2";',
			'export * from "x3";',
			"import {",
			"\tc,",
			'} from "x4";',
			'import "x5";',
			'const d = await import("x6");',
			'export * as e from "x7"; export { of, type F as default } from "x8";',
			'export type { G } from "x9";',
			'import type from "x10";',
		].join("\n");
		expect(seen(text)).toEqual([
			["x1", 1, false],
			["x2", 2, true],
			["x3", 3, false],
			["x4", 6, false],
			["x5", 7, false],
			["x6", 8, false],
			["x7", 9, false],
			["x8", 9, false],
			["x9", 10, true],
			["x10", 11, false],
		]);
	});

	it("sees none in comments, strings, templates and regular expressions", () => {
		const text = [
			'// import a from "x1";',
			"/*",
			'import a from "x2";',
			"*/",
			"const s = 'import a from \"x3\";';",
			'const t = `\nimport a from "x4";\n@{s + `{@{s}` + "}"}\nimport("x5")\n`;',
			'const r = /["\'`]import("x6")/.test(s) ? s!.length / 2 : r.type / 3;',
			'export const u = "x7";',
			"import.meta.url;",
		]
			.join("\n")
			.replaceAll("@{", "${");
		expect(seen(`${text}\nimport last from "y";`)).toEqual([["y", 14, false]]);
	});
});

describe("violations", () => {
	it.each([
		["dp", "nn"],
		["dp", "models"],
		["nn", "dp"],
		["nn", "models"],
		["tensor", "nn"],
		["models", "dp"],
		["unheardOf", "tensor"],
	])("refuses that %s knows %s, even by type", (from, to) => {
		const faults = violations([source(`packages/${from}/src/a.ts`, `\nimport type { X } from "@hushgrad/${to}";\n`)]);
		expect(faults).toEqual([`packages/${from}/src/a.ts:2 imports @hushgrad/${to}: ${from} must not know ${to}`]);
	});

	it.each([
		["packages/models/src/a.ts", "@hushgrad/nn"],
		["packages/dp/src/deep/a.ts", "../b.ts"],
		["examples/a.ts", "@hushgrad/dp"],
		["tests/nn/a.test.ts", "../../packages/nn/src/inner.ts"],
		["tests/examples/a.test.ts", "../../examples/a.ts"],
	])("allows %s to import %s", (from, to) => {
		expect(violations([source(from, `import { x } from "${to}";\n`)])).toEqual([]);
	});

	it.each([
		["packages/nn/src/a.ts", "../../tensor/src/shape.ts"],
		["packages/nn/src/a.ts", "../../../tests/support/x.ts"],
		["examples/a.ts", "../packages/nn/src/inner.ts"],
		["assets/a.ts", "../tests/support/x.ts"],
	])("refuses that %s reaches for %s by path", (from, to) => {
		expect(violations([source(from, `import { x } from "${to}";\n`)])).toEqual([expect.stringContaining(`${from}:1 imports ${to}: `)]);
	});

	it("finds circles of any length, unless a type closes them", () => {
		const a = source("packages/nn/src/a.ts", '\nimport { b } from "./b.ts";\n');
		const b = source("packages/nn/src/b.ts", 'export { c } from "./in/c.ts";\n');
		const closed = [a, b, source("packages/nn/src/in/c.ts", 'import { a } from "../a.ts";\n')];
		expect(violations(closed)).toEqual([
			"packages/nn/src/a.ts:2 starts a circle of imports: " +
				"packages/nn/src/a.ts -> packages/nn/src/b.ts -> packages/nn/src/in/c.ts -> packages/nn/src/a.ts",
		]);
		expect(violations([a, b, source("packages/nn/src/in/c.ts", 'import type { A } from "../a.ts";\n')])).toEqual([]);
	});
});

describe("npm run layers", () => {
	const root = fileURLToPath(new URL("../..", import.meta.url));
	const trees: string[] = [];
	afterEach(() => {
		for (const tree of trees.splice(0)) rmSync(tree, { recursive: true });
	});

	/** The tool in a tree of its own, which holds the given files. */
	function runOn(files: Readonly<Record<string, string>>) {
		const tree = mkdtempSync(join(tmpdir(), "hushgrad-layers-"));
		trees.push(tree);
		execFileSync("git", ["init", "-q"], { cwd: tree });
		cpSync(join(root, "tools"), join(tree, "tools"), { recursive: true });
		symlinkSync(join(root, "node_modules"), join(tree, "node_modules"), "junction");
		writeFileSync(join(tree, "package.json"), '{ "type": "module" }');
		writeFileSync(join(tree, ".gitignore"), "node_modules\n");
		for (const [path, text] of Object.entries(files)) {
			mkdirSync(dirname(join(tree, path)), { recursive: true });
			writeFileSync(join(tree, path), text);
		}
		return spawnSync(process.execPath, ["--import", "tsx", "tools/layers.ts"], { cwd: tree, encoding: "utf8" });
	}

	it("passes with one line, and fails with the file and line of a violation", () => {
		const good = runOn({
			"packages/tensor/src/a.ts": 'import { b } from "./b.ts";\n',
			"packages/tensor/src/b.ts": "export const b = 1;\n",
		});
		expect(good).toMatchObject({ status: 0, stderr: "", stdout: expect.stringMatching(/^\d+ files, \d+ imports: all point down\n$/) });
		const bad = runOn({ "packages/dp/src/a.ts": 'export const a = 1;\nimport { x } from "@hushgrad/nn";\n' });
		expect(bad).toMatchObject({ status: 1, stdout: "", stderr: "packages/dp/src/a.ts:2 imports @hushgrad/nn: dp must not know nn\n" });
	});
});
