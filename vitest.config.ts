import { defineConfig } from "vitest/config";

const conditions = ["@hushgrad/source", "node", "import", "module", "default"];

/** The whole suite, on the machine's own device. */
export default defineConfig({
	resolve: { conditions },
	ssr: { resolve: { conditions } },
	test: {
		include: ["tests/**/*.test.ts"],
		exclude: ["tests/browser/**", "tests/packages/**", "tests/pages/**"],
		testTimeout: 120_000,
		hookTimeout: 120_000,
		pool: "forks",
		maxWorkers: 2,
	},
});
