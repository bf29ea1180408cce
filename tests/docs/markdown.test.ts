import { describe, expect, it } from "vitest";
import { blocksOf, disagreement, faultsOf, type Known, missingIn, programsOf } from "./markdown.ts";

const known: Known = {
	scripts: new Set(["demo", "test", "test:device"]),
	exists: (path) => ["tools/props.mjs", "tests/tensor", "tests/tensor/", "node_modules/.bin/vitest", "a.md"].includes(path),
	fragments: ["export const known = "],
};
const page = (...lines: readonly string[]) => ({ path: "p.md", text: lines.join("\n") });
const faults = (...lines: readonly string[]) => faultsOf(page(...lines), known);

describe("blocksOf", () => {
	it("finds fences of any kind and what is indented behind an empty line, but no paragraph of a list", () => {
		const text = page(
			"# A",
			"",
			"```ts",
			"x",
			"",
			"    y",
			"```",
			"",
			"    npm run demo",
			"",
			"    npm test",
			"- one",
			"",
			"    more of one",
		);
		expect(blocksOf(text)).toMatchObject([
			{ page: "p.md", line: 4, tag: "ts", code: "x\n\n    y" },
			{ page: "p.md", line: 9, tag: "indented", code: "npm run demo\n\nnpm test" },
		]);
		const inList = blocksOf(page("- a", "  ~~~~ sh", "  ls", "  ```", "  ~~~~", "text", "    no block"));
		expect(inList).toMatchObject([{ page: "p.md", line: 3, tag: "sh", code: "ls\n```" }]);
	});
});

describe("programsOf", () => {
	it("knows what a program prints and throws", () => {
		const [a, b, c] = programsOf(
			page("```ts", "f(); // throws shape/axis", "```", "```ts", "", "```", "", "```text", "1", "```", "```ts", "```"),
		);
		expect([a.throws, a.prints, a.line]).toEqual(["shape/axis", undefined, 2]);
		expect([b.throws, b.prints]).toEqual([undefined, "1"]);
		expect(c.prints).toBeUndefined();
	});
});

describe("faultsOf", () => {
	it("refuses blocks that nobody would check", () => {
		for (const tag of ["js", "json", "", "ts x", "typescript", "bash"]) {
			expect(faults(`\`\`\`${tag}`, "x", "```")).toEqual([`p.md:2: a block of "${tag}" is neither ts, sh nor text`]);
		}
		expect(faults("```text", "1", "```")).toEqual(["p.md:2: no program stands directly above this text"]);
		expect(faults("```ts", "```", "prose", "```text", "1", "```")).toEqual(["p.md:5: no program stands directly above this text"]);
		expect(faults("```ts", "```", "", "```text", "1", "```")).toEqual([]);
	});

	it("refuses code that is passed off as commands, unless another test checks it", () => {
		expect(faults("", "    const x = 1;")).toEqual(['p.md:2: "const x = 1;" is no command']);
		expect(faults("```sh", "npm ci", "sudo rm -r x", "```")).toEqual(['p.md:2: "sudo rm -r x" is no command']);
		expect(faults("```sh", "# all of it", "A=1 npm test -- \\", "  --quick", "```")).toEqual([]);
		expect(faults("", "    export const known = 1;", "    x();")).toEqual([]);
	});

	it("refuses commands and scripts that are not there", () => {
		expect(faults("```sh", "npm run dmeo", "```")).toEqual(["p.md:2: there is no script dmeo"]);
		expect(faults("", "    npm run dmeo")).toEqual(["p.md:2: there is no script dmeo"]);
		expect(faults("As `npm run dmeo` does.")).toEqual(["p.md: there is no script dmeo"]);
		expect(faults("As `npm run demo` does.", "", "    npm ci && npm test -- --quick # all")).toEqual([]);
	});
});

describe("missingIn", () => {
	it.each([
		["npm ci && npm run demo -- --steps 3 # trains", []],
		["npx vitest run tests/tensor; node tools/props.mjs", []],
		["npx vitest run tests/tensro", ["tests/tensro is not there"]],
		["node tools/prosp.mjs, then b.md", ["tools/prosp.mjs is not there", "b.md is not there"]],
		["npx vitset", ["there is no program vitset"]],
		["npm run -s test:swift # writes a.md.", ["there is no script test:swift"]],
		["node -C @hushgrad/source ./a.md https://example.org/x.html", []],
	])("%s", (commands, expected) => expect(missingIn(commands, known)).toEqual(expected));
});

describe("disagreement", () => {
	it.each([
		["Float32Array(2) [ 1.75, -2e-3 ]", "Float32Array(2) [\n  1.7486,\n  -0.00213\n]\n"],
		["ε = 2 after 10 steps (…)\n…", "ε = 2 after 10 steps (q = 0.25)\nand more"],
		["f32 [2] (a|b)*", "f32 [2] (a|b)*"],
	])("none: %s", (shown, printed) => expect(disagreement(shown, printed)).toBeUndefined());

	it.each([
		["loss 1.74", "loss 1.7451"],
		["2 records", "3 records"],
		["2 records", "2 records and more"],
		["1.0 and 2.0", "1.0"],
		["f32", "f16"],
		["-1", "1"],
	])("%s is not %s", (shown, printed) => expect(disagreement(shown, printed)).toMatch(/^printed/));
});
