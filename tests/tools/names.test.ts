import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportsOf, page } from "../../tools/reference/names.ts";

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "hushgrad-names-"));
	mkdirSync(join(folder, "parts"));
	writeFileSync(
		join(folder, "parts/one.d.ts"),
		`/** A class. */
export declare class Box<T = number> extends Base implements Holds {
	#private;
	private secret;
	/** Kept. */
	readonly value: import("./two.ts").Other;
	/** @internal */
	readonly hidden: number;
	get size(): number;
	static of(value: number): Box;
	put(value: string): void;
	put(value: number): void;
	constructor(value: T);
}
declare class Base {}
export {};
export declare function f(x: number, options?: {
	/** Why. */
	readonly a?: string;
}): void;
export declare const LIMIT = 4, TEXT = "${"long ".repeat(40)}";
export type Tag = \`\${string}!\`;
/** @internal */
export declare const hidden: number;
`,
	);
	writeFileSync(join(folder, "parts/two.d.ts"), "export interface Other extends Array<number> {\n\tmap: {\n\t\ta: 1;\n\t};\n}\n");
	writeFileSync(join(folder, "index.d.ts"), 'export * from "./parts/one.ts";\nexport { type Other as Renamed } from "./parts/two.ts";\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("the list of names", () => {
	it("has what can be used from outside, with its types and members, in order", () => {
		const [found] = exportsOf([join(folder, "index.d.ts")]);
		expect(page({ "@hushgrad/a": found }).split("\n").slice(6)).toEqual([
			"",
			"- `class Box<T = number> extends Base implements Holds`",
			"  - `constructor(value: T)`",
			"  - `static of(value: number): Box`",
			"  - `put(value: string): void`",
			"  - `put(value: number): void`",
			"  - `get size(): number`",
			"  - `readonly value: Other`",
			"- `const LIMIT = 4`",
			"- `interface Other extends Array<number>` as Renamed",
			"  - `map: { a: 1 }`",
			`- \`const TEXT = "${"long ".repeat(16)}…"\``,
			"- `` type Tag = `$" + "{string}!` ``",
			"- `function f(x: number, options?: { readonly a?: string }): void`",
			"",
		]);
	});

	it("counts", () => {
		const [found] = exportsOf([join(folder, "index.d.ts")]);
		expect(page({ "@hushgrad/a": found, "@hushgrad/b": found })).toContain("These are the 12 names");
	});
});
