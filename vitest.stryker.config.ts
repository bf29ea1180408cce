import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { defineConfig } from "vitest/config";
import { inNode } from "./vitest.base.ts";
import { device } from "./vitest.config.ts";

/*
 * The tests that StrykerJS runs, in its copy of the sources: packages are those of the copy, not those that node_modules links to. No
 * mutant is in the tensor library, so it comes as one file, which loads in a third of the time.
 */

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
buildSync({
	entryPoints: ["index", "author", "methods", "registry"].map((name) => path(`./packages/tensor/src/${name}.ts`)),
	bundle: true,
	keepNames: true,
	splitting: true,
	format: "esm",
	platform: "node",
	conditions: ["@hushgrad/source"],
	external: ["webgpu"],
	outdir: path("./out/tensor"),
	outExtension: { ".js": ".mjs" },
});

const include = process.env.HUSHGRAD_MUTATION_TESTS?.split(",") ?? ["tests/**/*.test.ts"];
const suite = inNode("mutants", { include, exclude: device.exclude });

export default defineConfig({
	...suite,
	resolve: {
		...suite.resolve,
		alias: [
			{ find: /^@hushgrad\/tensor$/, replacement: path("./out/tensor/index.mjs") },
			{ find: /^@hushgrad\/tensor\/(\w+)$/, replacement: path("./out/tensor/$1.mjs") },
			{ find: /^@hushgrad\/(\w+)$/, replacement: path("./packages/$1/src/index.ts") },
			{ find: /^@hushgrad\/(\w+)\/(\w+)$/, replacement: path("./packages/$1/src/$2.ts") },
		],
	},
	test: {
		...suite.test,
		isolate: true,
		server: { deps: { external: [/\/out\/tensor\//] } },
	},
});
