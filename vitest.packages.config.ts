import { defineConfig } from "vitest/config";

/** What is published: the packed packages, installed into empty folders, in every runtime and bundler. */
export default defineConfig({
	test: {
		include: ["tests/packages/*.test.ts"],
		globalSetup: "tests/packages/install.ts",
		testTimeout: 120_000,
		hookTimeout: 240_000,
		fileParallelism: false,
		maxConcurrency: 2,
	},
});
