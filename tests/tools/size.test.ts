import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { LIMIT, measure } from "../../tools/size.ts";
import { readSources } from "../../tools/sources.ts";

const lines = (count: number) => "x\n".repeat(count);

it("names the files over the limit and the five longest", () => {
	const lengths = [LIMIT + 1, 3, LIMIT, 5, 2, 4];
	const report = measure(lengths.map((count) => ({ path: `${count}.ts`, text: lines(count) })));
	expect(report.tooLong).toEqual([`${LIMIT + 1}.ts`]);
	expect(report.longest.map((f) => f.lines)).toEqual([LIMIT + 1, LIMIT, 5, 4, 3]);
});

it("counts a last line without its newline", () => {
	expect(measure([{ path: "a.ts", text: `${lines(LIMIT)}x` }]).tooLong).toEqual(["a.ts"]);
});

it("reads the sources git knows or would add, and no others", () => {
	const tree = mkdtempSync(join(tmpdir(), "hushgrad-size-"));
	try {
		execFileSync("git", ["init", "-q"], { cwd: tree });
		const files = { ".gitignore": "out.ts\n", "gone.ts": "", "out.ts": "ignored", "new.ts": "new", "tool.mjs": "tool", "data.json": "{}" };
		for (const [path, text] of Object.entries(files)) writeFileSync(join(tree, path), text);
		execFileSync("git", ["add", "gone.ts"], { cwd: tree });
		rmSync(join(tree, "gone.ts"));
		expect(readSources(tree).sort((a, b) => a.path.localeCompare(b.path))).toEqual([
			{ path: "new.ts", text: "new" },
			{ path: "tool.mjs", text: "tool" },
		]);
	} finally {
		rmSync(tree, { recursive: true });
	}
});
