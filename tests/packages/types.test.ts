import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { root } from "../../tools/packages.mjs";
import { npm, run } from "./install.ts";

const project = inject("project");

/** Every flag that makes TypeScript stricter; declarations of libraries are checked as well. */
const STRICTEST = {
	...{ strict: true, skipLibCheck: false, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
	...{ noImplicitOverride: true, noPropertyAccessFromIndexSignature: true, noImplicitReturns: true, noFallthroughCasesInSwitch: true },
	...{ noUnusedLocals: true, noUnusedParameters: true, allowUnreachableCode: false, allowUnusedLabels: false },
	...{ isolatedModules: true, verbatimModuleSyntax: true, forceConsistentCasingInFileNames: true },
};
const NODE = { module: "nodenext", lib: ["es2022"], types: ["node"] };
const WEB = { module: "esnext", moduleResolution: "bundler", lib: ["es2022", "dom"], types: [] };

/** What the compiler says of some files under some options. */
function said(compiler: string, include: readonly string[], options: object): string {
	const config = { compilerOptions: { ...STRICTEST, target: "es2022", noEmit: true, ...options }, include };
	writeFileSync(join(project, "tsconfig.json"), JSON.stringify(config));
	try {
		return run(process.execPath, [join(project, "node_modules", compiler, "bin/tsc"), "-p", "."], project);
	} catch (error) {
		return String(error);
	}
}

beforeAll(() => {
	npm(
		project,
		"install",
		"@types/node@24.19.2",
		"@webgpu/types@0.1.74",
		...["5.6.3", "5.9.3", "6.0.3", "7.0.2"].map((v) => `typescript-${v}@npm:typescript@${v}`),
	);
	cpSync(join(root, "examples"), join(project, "examples"), { recursive: true });
});

describe.each(["5.6.3", "5.9.3", "6.0.3", "7.0.2"])("TypeScript %s, every strict flag on", (version) => {
	const compiler = `typescript-${version}`;

	it.each([
		["in Node", NODE],
		["in a page", WEB],
		["in a page, beside @webgpu/types", { ...WEB, types: ["@webgpu/types"], skipLibCheck: true }],
	])("takes the program of 20 lines %s", (_, options) => expect(said(compiler, ["train.ts"], options)).toBe(""));

	it.each([
		["in Node", NODE],
		["in a page", WEB],
	])("knows the methods of tensors where they are imported, and nowhere else, %s", (_, options) => {
		const program = (line: string) =>
			`${line}import type { Tensor } from "@hushgrad/tensor";\nexport const f = (x: Tensor): Tensor => x.mul(2).sum();\n`;
		writeFileSync(join(project, "methods.ts"), program('import "@hushgrad/tensor/methods";\n'));
		expect(said(compiler, ["methods.ts"], options)).toBe("");
		writeFileSync(join(project, "methods.ts"), program(""));
		expect(said(compiler, ["methods.ts"], options)).toContain("Property 'mul' does not exist on type 'Tensor'");
	});
});

it("the examples hold as a user's project", () => {
	const options = { ...NODE, erasableSyntaxOnly: true, allowImportingTsExtensions: true };
	expect(said("typescript-7.0.2", ["examples"], options)).toBe("");
});

it("the GPU has the types of the program's own TypeScript", () => {
	const own = "own.ts";
	writeFileSync(
		join(project, own),
		'import { requestDevice } from "@hushgrad/tensor";\nexport const gpu: number = (await requestDevice()).gpu;\n',
	);
	expect(said("typescript-7.0.2", [own], WEB)).toContain("Type 'GPUDevice' is not assignable to type 'number'");
	expect(said("typescript-7.0.2", [own], NODE)).toContain("Type 'unknown' is not assignable to type 'number'");
});
