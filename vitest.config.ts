import { defineConfig } from "vitest/config";

const conditions = ["@hushgrad/source", "node", "import", "module", "default"];

export default defineConfig({
	resolve: { conditions },
	ssr: { resolve: { conditions } },
	test: {
		include: ["tests/**/*.test.ts"],
		testTimeout: 120_000,
		hookTimeout: 120_000,
		pool: "forks",
		maxWorkers: 2,
	},
});
