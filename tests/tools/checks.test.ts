import { describe, expect, it } from "vitest";
import { importsOf, violations } from "../../tools/layers.ts";
import { LIMIT, measure } from "../../tools/size.ts";

const source = (path: string, text: string) => ({ path, text });

describe("layers", () => {
	it("sees every way to import", () => {
		const text =
			'import a from "x1";\nimport type { B } from "x2";\nexport * from "x3";\nimport {\n\tc,\n} from "x4";\nimport "x5";\nconst d = await import("x6");\n';
		expect(importsOf(source("f.ts", text)).map(({ target, line, isTypeOnly }) => [target, line, isTypeOnly])).toEqual([
			["x1", 1, false],
			["x2", 2, true],
			["x3", 3, false],
			["x4", 6, false],
			["x5", 7, false],
			["x6", 8, false],
		]);
	});

	it.each([
		["dp", "nn"],
		["dp", "models"],
		["nn", "dp"],
		["tensor", "nn"],
		["models", "dp"],
	])("refuses that %s knows %s, even by type", (from, to) => {
		const faults = violations([source(`packages/${from}/src/a.ts`, `import type { X } from "@hushgrad/${to}";\n`)]);
		expect(faults).toEqual([expect.stringContaining(`packages/${from}/src/a.ts:1 imports @hushgrad/${to}`)]);
	});

	it("allows what points down, and refuses a path out of the package", () => {
		expect(violations([source("packages/models/src/a.ts", 'import { x } from "@hushgrad/nn";\nimport { y } from "./b.ts";\n')])).toEqual(
			[],
		);
		expect(violations([source("packages/nn/src/a.ts", 'import { x } from "../../tensor/src/shape.ts";\n')]).length).toBe(1);
	});

	it("finds circles, unless a type closes them", () => {
		const a = source("packages/nn/src/a.ts", 'import { b } from "./b.ts";\n');
		expect(violations([a, source("packages/nn/src/b.ts", 'import { a } from "./a.ts";\n')])).toEqual([
			expect.stringContaining("a circle of imports"),
		]);
		expect(violations([a, source("packages/nn/src/b.ts", 'import type { A } from "./a.ts";\n')])).toEqual([]);
	});
});

describe("size", () => {
	it("names files over the limit", () => {
		const report = measure([source("long.ts", "x\n".repeat(LIMIT + 1)), source("fits.ts", "x\n".repeat(LIMIT))]);
		expect(report.tooLong).toEqual(["long.ts"]);
		expect(report.longest[0]).toEqual({ path: "long.ts", lines: LIMIT + 1 });
	});
});
