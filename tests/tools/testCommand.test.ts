import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { partsFor, runParts } from "../../tools/test.mjs";
import { LEFT_OUT } from "../../vitest.quick.config.ts";
import { UNITS } from "../../vitest.unit.config.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { scripts: Record<string, string> };

describe("partsFor", () => {
	it("runs everything without arguments, the packages last where there is a script for them", () => {
		const parts = ["driver", "browser", "test:drivers", "test:pages"];
		expect(partsFor([], {}).parts).toEqual(parts);
		expect(partsFor([], { "test:packages": "" }).parts).toEqual([...parts, "test:packages"]);
	});

	it("needs no browser with --quick, and says what it leaves out", () => {
		const { parts, note } = partsFor(["--quick"], scripts);
		expect(parts).toEqual(["driver", "check", "test:quick"]);
		expect(note).toContain("leaves out: SwiftShader and Chromium");
	});

	it("names scripts that exist", () => {
		for (const args of [[], ["--quick"]]) for (const part of partsFor(args, scripts).parts) expect(scripts).toHaveProperty([part]);
		expect(scripts).not.toHaveProperty("pretest");
	});

	it.each([["--fast"], ["--quick", "tests/tensor"], ["-q"]])("refuses %s with one line that lists what it knows", (...args) => {
		const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}/tools/test.mjs`, ...args], { encoding: "utf8" });
		const bad = args.filter((a) => a !== "--quick").join(" ");
		expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
		expect(stderr).toBe(`npm test does not know ${bad}; it knows --quick. One file: npx vitest run tests/tensor/vmap.test.ts\n`);
	});
});

describe("runParts", () => {
	const clock = () => {
		let time = 0;
		return () => (time += 1500);
	};

	it("gives a line per part with its time", () => {
		expect(runParts(["a", "b"], () => true, clock())).toEqual({
			passed: true,
			lines: ["  a                     2 s  passed", "  b                     2 s  passed"],
		});
	});

	it("stops at the first part that fails, and names it", () => {
		const run: string[] = [];
		const { passed, lines } = runParts(["a", "b", "c"], (part) => run.push(part) < 2, clock());
		expect(passed).toBe(false);
		expect(run).toEqual(["a", "b"]);
		expect(lines).toEqual([
			"  a                     2 s  passed",
			"  b                     2 s  FAILED",
			"  c                       -  not run",
			"",
			"npm test stopped: b failed. Alone: npm run b",
		]);
	});
});

/** The files that a pattern with at most one list in braces names. */
const filesOf = (pattern: string): string[] => {
	const [before, list, after] = pattern.split(/[{}]/);
	return list === undefined ? [pattern] : list.split(",").map((name) => `${before}${name}${after}`);
};

describe("the smaller suites", () => {
	it("name files that exist", () => {
		const files = [...LEFT_OUT, ...UNITS].flatMap(filesOf);
		expect(files.length).toBeGreaterThan(30);
		expect(files.filter((file) => !existsSync(`${root}/${file}`))).toEqual([]);
	});

	it("leave no attack on privacy out of --quick", () => {
		expect(LEFT_OUT.filter((pattern) => pattern.startsWith("tests/privacy/"))).toEqual([]);
	});
});
