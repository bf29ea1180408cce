import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { disagreement, faultsOf, knownIn, programsOf, readPages } from "./markdown.ts";
import { compile } from "./strict.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Inside the workspace, so that the packages are found by name. */
const folder = join(root, "node_modules/.cache/hushgrad-docs");
const pages = readPages(root);
const programs = pages.flatMap(programsOf).map((program) => {
	const name = `${program.page}:${program.line}`;
	return { ...program, name, file: join(folder, `${name.replaceAll(/\W/g, "-")}.mts`) };
});

beforeAll(() => {
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	for (const { file, code } of programs) writeFileSync(file, `${code}\nexport {};\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

it.each(pages)("$path holds programs and commands alone, and what it mentions exists", (page) => {
	expect(faultsOf(page, knownIn(root))).toEqual([]);
});

it("programs and examples compile in the strictest mode", () => {
	expect(programs.length).toBeGreaterThan(5);
	expect(compile(root, folder, ["*.mts", join(root, "examples")])).toBe("");
});

describe("programs", () => {
	it.each(programs)("$name does what the page says", ({ file, throws, prints }) => {
		const { status, stdout, stderr } = spawnSync(
			process.execPath,
			["--import", "tsx", "-C", "@hushgrad/source", "tests/docs/runProgram.ts", file],
			{ cwd: root, encoding: "utf8", timeout: 100_000 },
		);
		expect(stderr.replaceAll(/^Warning: maxDynamic.*\n/gm, "")).toBe(throws === undefined ? "" : `throws ${throws}\n`);
		expect(status).toBe(throws === undefined ? 0 : 1);
		if (prints !== undefined) expect(disagreement(prints, stdout)).toBeUndefined();
	});
});
