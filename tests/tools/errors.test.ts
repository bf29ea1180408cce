import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { findErrors, packageSources, page } from "../../tools/errors.ts";
import { readSources } from "../../tools/sources.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const CLASSES = {
	path: "packages/a/src/errors.ts",
	text: "export class ValueError extends HushgradError {}\nexport class ShapeError extends HushgradError {}",
};
/** What is found in the files of one package, as code and text. In their text, @{ stands for ${. */
const found = (...texts: string[]) => {
	const { errors, faults } = findErrors([
		CLASSES,
		...texts.map((text, i) => ({ path: `packages/a/src/file${i}.ts`, text: text.replaceAll("@{", "${") })),
	]);
	return { said: errors.map(({ code, text }) => [code, text]), faults };
};

describe("the errors of the packages", () => {
	const report = findErrors(packageSources(root));

	it("have codes that stand in the source, each of one class", () => {
		expect(report.faults).toEqual([]);
		expect(report.errors.length).toBeGreaterThan(200);
	});

	it("are all the codes that tests expect", () => {
		const tests = readSources(root).filter(({ path }) => path.startsWith("tests/") && path !== "tests/tools/errors.test.ts");
		const expected = tests.flatMap(({ text }) => [...text.matchAll(/\bcode: "([^"/]+\/[^"]+)"/g)].map((m) => m[1]));
		expect(expected.length).toBeGreaterThan(50);
		const codes = new Set(report.errors.map((e) => e.code));
		expect([...new Set(expected)].filter((code) => !codes.has(code))).toEqual([]);
	});

	it("are all that is thrown, but for what a parser throws to itself", () => {
		const others = packageSources(root).flatMap(({ path, text }) =>
			[...text.matchAll(/\bthrow new (Error|RangeError|TypeError)\(/g)].map(([, type]) => `${path} ${type}`),
		);
		expect([...new Set(others)].sort()).toEqual([
			"packages/models/src/text/protobuf.ts RangeError",
			"packages/models/src/text/sentencepieceModel.ts RangeError",
		]);
	});
});

describe("findErrors", () => {
	it("reads strings, templates with what they hold, constants and choices", () => {
		const text = [
			'throw new ValueError("a/string", "it is \\"bad\\"", { hint: "b/c" });',
			"throw new ValueError('a/template', `@{[x, y].map((q) => `@{q}`).join(\", \")} is no @{{ a: 1 }.a}`);",
			"const text = `@{x} is constant`;\nthrow new ShapeError(\n\t'a/constant',\n\ttext,\n);",
			'throw new ValueError("a/choice", isOne ? "one" : `@{n} many`);',
			'throw new Error("a/other");',
		].join("\n");
		expect(found(text).said).toEqual([
			["a/string", 'it is "bad"'],
			["a/template", "… is no …"],
			["a/constant", "… is constant"],
			["a/choice", "one / … many"],
		]);
	});

	it("follows helpers to their calls: exported ones through the package, others in their file", () => {
		const helpers = [
			"export function refuse(name: string, got: unknown): never { throw new ValueError(`a/@{name}`, `@{name} is @{got}`); }",
			"export function checkPositive(name: string, v: number): void { if (!(v > 0)) refuse(name, v); }",
		].join("\n");
		const user = [
			'checkPositive("lr", lr);\nrefuse("steps", "nothing");',
			"const fail = (what: string): never => {\n\tthrow new ValueError('a/fail', what);\n};\nfail(`no @{x}`);\nfail(other);",
		].join("\n");
		const { said, faults } = found(helpers, user, 'fail("elsewhere");');
		expect(faults).toEqual([]);
		expect(said.sort()).toEqual(
			[
				["a/lr", "lr is …"],
				["a/steps", "steps is nothing"],
				["a/fail", "no …"],
				["a/fail", "…"],
			].sort(),
		);
	});

	it("complains of a code that it cannot find, and of one with two classes", () => {
		expect(found("throw new ValueError(codes[0], 'text');").faults).toEqual([
			"packages/a/src/file0.ts: the code of a ValueError is not in the source",
		]);
		expect(found('new ValueError("a/b", "x"); new ShapeError("a/b", "y");').faults).toEqual(["a/b is thrown as ValueError and ShapeError"]);
	});
});

describe("page", () => {
	it("has one line for a code and a wording, in order, cut to a length that can be read", () => {
		const error = { code: "b/x", type: "ValueError", text: `a | ${"long ".repeat(40)}`, place: "a/src/f.ts" };
		const text = page({ errors: [error, { ...error }, { ...error, code: "a/y", text: "short" }], faults: [] });
		const rows = text.split("\n").filter((line) => line.startsWith("| `"));
		expect(rows).toHaveLength(2);
		expect(rows[0]).toBe("| `a/y` | ValueError | short | a/src/f.ts |");
		expect(rows[1]).toMatch(/^\| `b\/x` \| ValueError \| a \\\| (long )+l… \| a\/src\/f\.ts \|$/);
		expect(rows[1].length).toBeLessThan(150);
		expect(text).toContain("These are the 2 codes.");
	});
});
