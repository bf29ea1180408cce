import { execFile } from "node:child_process";
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { root } from "../../tools/packages.mjs";
import { npm } from "./install.ts";

const project = inject("project");
const execute = promisify(execFile);

/** Every flag that makes TypeScript stricter; declarations of libraries are checked as well. */
const STRICTEST = {
	...{ strict: true, skipLibCheck: false, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
	...{ noImplicitOverride: true, noPropertyAccessFromIndexSignature: true, noImplicitReturns: true, noFallthroughCasesInSwitch: true },
	...{ noUnusedLocals: true, noUnusedParameters: true, allowUnreachableCode: false, allowUnusedLabels: false },
	...{ isolatedModules: true, verbatimModuleSyntax: true, forceConsistentCasingInFileNames: true },
};
const NODE = { module: "nodenext", lib: ["es2022"], types: ["node"] };
const WEB = { module: "esnext", moduleResolution: "bundler", lib: ["es2022", "dom"], types: [] };

const METHODS = 'import "@hushgrad/tensor/methods";\n';
const USES = 'import type { Tensor } from "@hushgrad/tensor";\nexport const f = (x: Tensor): Tensor => x.mul(2).sum();\n';
const OWN_GPU = 'import { requestDevice } from "@hushgrad/tensor";\nexport const gpu: number = (await requestDevice()).gpu;\n';

let configs = 0;

/** What the compiler says of some files under some options. */
async function said(compiler: string, include: readonly string[], options: object): Promise<string> {
	const config = { compilerOptions: { ...STRICTEST, target: "es2022", noEmit: true, ...options }, include };
	const file = `tsconfig.${configs++}.json`;
	writeFileSync(join(project, file), JSON.stringify(config));
	const tsc = join(project, "node_modules", compiler, "bin/tsc");
	return execute(process.execPath, [tsc, "-p", file], { cwd: project }).then(
		({ stdout }) => stdout,
		(error) => String(error.stdout || error),
	);
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
	for (const [file, text] of Object.entries({ "methods.ts": METHODS + USES, "plain.ts": USES, "own.ts": OWN_GPU })) {
		writeFileSync(join(project, file), text);
	}
});

describe.concurrent.each(["5.6.3", "5.9.3", "6.0.3", "7.0.2"])("TypeScript %s, every strict flag on", (version) => {
	const compiler = `typescript-${version}`;

	it.each([
		["in Node", NODE],
		["in a page", WEB],
		["in a page, beside @webgpu/types", { ...WEB, types: ["@webgpu/types"], skipLibCheck: true }],
	])("takes the program of 20 lines, and one with methods of tensors, %s", async (_, options) =>
		expect(await said(compiler, ["train.ts", "methods.ts"], options)).toBe(""),
	);

	it("knows no methods of tensors where they are not imported", async () =>
		expect(await said(compiler, ["plain.ts"], WEB)).toContain("Property 'mul' does not exist on type 'Tensor'"));
});

it("the examples hold as a user's project", async () => {
	const options = { ...NODE, erasableSyntaxOnly: true, allowImportingTsExtensions: true };
	expect(await said("typescript-7.0.2", ["examples"], options)).toBe("");
});

it("the GPU has the types of the program's own TypeScript", async () => {
	expect(await said("typescript-7.0.2", ["own.ts"], WEB)).toContain("Type 'GPUDevice' is not assignable to type 'number'");
	expect(await said("typescript-7.0.2", ["own.ts"], NODE)).toContain("Type 'unknown' is not assignable to type 'number'");
});
