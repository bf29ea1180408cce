import { join } from "node:path";
import { tsc, writeDeclarations } from "../../tools/declarations.ts";

/** Every flag of TypeScript that finds more. Who uses the library may set any of them. */
const STRICTEST = {
	strict: true,
	noUncheckedIndexedAccess: true,
	exactOptionalPropertyTypes: true,
	noImplicitOverride: true,
	noImplicitReturns: true,
	noFallthroughCasesInSwitch: true,
	noPropertyAccessFromIndexSignature: true,
	noUncheckedSideEffectImports: true,
	allowUnreachableCode: false,
	allowUnusedLabels: false,
	verbatimModuleSyntax: true,
	isolatedModules: true,
	erasableSyntaxOnly: true,
};

/** The declarations are written from the sources for this alone; those that are published are checked where they are built. */
const SURROUNDINGS = {
	target: "ES2022",
	lib: ["ESNext", "DOM", "DOM.Iterable"],
	types: ["node", "@webgpu/types"],
	module: "NodeNext",
	moduleResolution: "NodeNext",
	allowImportingTsExtensions: true,
	skipLibCheck: true,
	noEmit: true,
};

/**
 * Compiles programs as a user's project in the strictest mode does: against declarations of the packages, so that it is the
 * programs that are checked and not the sources. Gives what the compiler says.
 */
export function compile(root: string, folder: string, include: readonly string[]): string {
	const declared = Object.entries(writeDeclarations(root, join(folder, "types")));
	const paths = Object.fromEntries(declared.map(([name, file]) => [name, [file]]));
	return tsc(root, folder, { compilerOptions: { ...SURROUNDINGS, ...STRICTEST, paths }, include });
}
