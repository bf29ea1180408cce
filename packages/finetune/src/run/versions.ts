import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

const versionOf = (path: string): string => (require(path) as { readonly version: string }).version;

/** Versions of what a run is computed with. */
export const VERSIONS: Readonly<Record<string, string>> = {
	"@hushgrad/finetune": versionOf("../../package.json"),
	webgpu: versionOf("webgpu/package.json"),
};
