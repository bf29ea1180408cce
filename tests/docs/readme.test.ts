import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as dp from "@hushgrad/dp";
import * as models from "@hushgrad/models";
import * as nn from "@hushgrad/nn";
import * as tensor from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Inside the workspace, so that the packages are found by name. */
const folder = join(root, "node_modules/.cache/hushgrad-docs");
const PAGES = ["README.md", ...["tensor", "nn", "dp", "models"].map((p) => `packages/${p}/README.md`)];

interface Block {
	readonly name: string;
	readonly file: string;
	readonly code: string;
}

const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Every block of TypeScript in the pages. */
const blocks = PAGES.flatMap((page) =>
	[...read(page).matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code], i): Block => {
		const name = `${page} ${i + 1}`;
		return { name, file: join(folder, `${name.replaceAll(/[/ .]/g, "-")}.mts`), code };
	}),
);

beforeAll(() => {
	mkdirSync(folder, { recursive: true });
	for (const { file, code } of blocks) writeFileSync(file, `${code}\nexport {};\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("code in the pages", () => {
	it("is type-checked as a user's strict project would", () => {
		writeFileSync(
			join(folder, "tsconfig.json"),
			JSON.stringify({
				extends: join(root, "tsconfig.json"),
				compilerOptions: { noUnusedLocals: false, checkJs: false },
				include: ["*.mts", join(root, "packages/models/src/text/sentencepiece-js.d.ts")],
			}),
		);
		const { stdout, status } = spawnSync(join(root, "node_modules/.bin/tsc"), ["--noEmit", "-p", folder], { encoding: "utf8" });
		expect(stdout).toBe("");
		expect(status).toBe(0);
	});

	it.each(blocks)("$name runs", ({ file }) => {
		const { status, stderr } = spawnSync(process.execPath, ["--import", "tsx", "-C", "@hushgrad/source", file], {
			cwd: root,
			encoding: "utf8",
		});
		expect(stderr.replaceAll(/^Warning: maxDynamic.*\n/gm, "")).toBe("");
		expect(status).toBe(0);
	});
});

describe.each(Object.entries({ tensor, nn, dp, models }))("%s", (name, exported) => {
	it("documents every name that it exports", () => {
		const words = new Set(read(`packages/${name}/README.md`).match(/\w+/g));
		expect(Object.keys(exported).filter((n) => !words.has(n))).toEqual([]);
	});
});
