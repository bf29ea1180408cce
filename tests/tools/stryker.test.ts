import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { EQUIVALENT } from "../../tools/stryker.equivalents.ts";
import { TARGETS } from "../../tools/stryker.targets.ts";
import { lineOf, type Mutant, outcomeOf, page } from "../../tools/stryker.ts";

const SOURCE = `function f(x: number): number {
	if (x > 0) return x + 1;
	return g(
		x,
	);
}`;
const mutant = (line: number, from: number, to: number, replacement: string, status = "Survived", last = line): Mutant => ({
	...{ location: { start: { line, column: from }, end: { line: last, column: to } }, replacement, status },
});

describe("npm run stryker", () => {
	it("shows a mutant as the line that it makes", () => {
		expect(lineOf(SOURCE, mutant(2, 6, 11, "x >= 0"))).toBe("if (x >= 0) return x + 1;");
		expect(lineOf(SOURCE, mutant(3, 9, 3, "0", "Survived", 5))).toBe("return 0;");
		expect(lineOf(SOURCE, mutant(1, 31, 2, "{}", "Survived", 6))).toBe("function f(x: number): number {}");
	});

	it("counts what was killed, and keeps what was not", () => {
		const mutants = [
			mutant(2, 6, 11, "true", "Killed"),
			mutant(2, 6, 11, "x >= 0"),
			mutant(2, 20, 25, "x - 1", "NoCoverage"),
			mutant(1, 31, 2, "{}", "Timeout", 6),
			mutant(3, 2, 2, "", "RuntimeError"),
		];
		expect(outcomeOf(SOURCE, mutants, "2000-01-02")).toEqual({
			...{ date: "2000-01-02", killed: 2, left: ["if (x >= 0) return x + 1;", "if (x > 0) return x - 1;"] },
		});
	});

	it("writes a row for each file, and below it what was not killed, apart from what cannot be", () => {
		const text = page(
			{
				"packages/b/src/b.ts": { date: "2000-01-02", killed: 9, left: ["x `y`", "z"] },
				"packages/a/src/a.ts": { date: "2000-01-01", killed: 4, left: [] },
			},
			{ "packages/b/src/b.ts": { "x `y`": "why", other: "not found" } },
		);
		expect(text).toContain("| a/src/a.ts | 4 | 0 | 0 | 100 % | 2000-01-01 |\n| b/src/b.ts | 9 | 1 | 1 | 90 % | 2000-01-02 |\n");
		expect(text.endsWith("### packages/b/src/b.ts\n\n- survived: `z`\n- `` x `y` ``: why\n")).toBe(true);
	});

	it("names files that there are, each once", () => {
		const root = fileURLToPath(new URL("../..", import.meta.url));
		const files = TARGETS.flatMap((t) => t.files);
		for (const file of [...files, ...TARGETS.flatMap((t) => t.tests), ...Object.keys(EQUIVALENT)])
			expect(existsSync(root + file), file).toBe(true);
		expect(new Set(files).size).toBe(files.length);
	});
});
