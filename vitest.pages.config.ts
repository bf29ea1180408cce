import { defineConfig } from "vitest/config";

const conditions = ["@hushgrad/source", "node", "import", "module", "default"];

/** Pages that the library writes, opened in Chromium. */
export default defineConfig({
	resolve: { conditions },
	ssr: { resolve: { conditions } },
	test: { include: ["tests/pages/*.test.ts"], testTimeout: 120_000, hookTimeout: 120_000 },
});
