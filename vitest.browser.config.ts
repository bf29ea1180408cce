import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { chromium, required } from "./tools/browser.mjs";

const conditions = ["@hushgrad/source", "browser", "import", "module", "default"];

/** Every kernel once more, and a private training step, through navigator.gpu of headless Chromium. */
export default defineConfig({
	resolve: { conditions },
	optimizeDeps: { include: ["fast-check"] },
	test: {
		include: [
			"tests/browser/*.test.ts",
			"tests/tensor/{accuracy,functions,casts,longAxes,specialValues,vmap,vmapFunctions,vmapRefusals,derivedRows,engine,random}.test.ts",
			"tests/engine/{autograd,memory,status}.test.ts",
		],
		testTimeout: 120_000,
		hookTimeout: 120_000,
		env: { HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "12" },
		browser: {
			enabled: true,
			headless: true,
			screenshotFailures: false,
			provider: playwright({
				launchOptions: { executablePath: required(chromium(), "Chromium"), args: ["--no-sandbox", "--enable-unsafe-webgpu"] },
			}),
			instances: [{ browser: "chromium" }],
		},
	},
});
