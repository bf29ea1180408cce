import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import main from "./vitest.config.ts";

/** The tests that StrykerJS runs, in its copy of the sources: packages are those of the copy, not those that node_modules links to. */
export default defineConfig({
	...main,
	resolve: {
		...main.resolve,
		alias: [
			{ find: /^@hushgrad\/(\w+)$/, replacement: fileURLToPath(new URL("./packages/$1/src/index.ts", import.meta.url)) },
			{ find: /^@hushgrad\/(\w+)\/(\w+)$/, replacement: fileURLToPath(new URL("./packages/$1/src/$2.ts", import.meta.url)) },
		],
	},
	test: {
		...main.test,
		include: process.env.HUSHGRAD_MUTATION_TESTS?.split(",") ?? main.test?.include,
	},
});
