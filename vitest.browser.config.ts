import { playwright } from "@vitest/browser-playwright";
import { chromium, required } from "./tools/browser.mjs";
import { type Project, runOf, setupFiles } from "./vitest.base.ts";
import { planGpu } from "./vitest.config.ts";

const conditions = ["@hushgrad/source", "browser", "import", "module", "default"];
const executablePath = required(chromium(), "Chromium");

const inChromium = (name: string, include: string[], env: Record<string, string>): Project => ({
	resolve: { conditions },
	optimizeDeps: { include: ["fast-check"] },
	test: {
		name: `in ${name}`,
		include,
		env,
		setupFiles,
		testTimeout: 120_000,
		hookTimeout: 120_000,
		browser: {
			enabled: true,
			headless: true,
			screenshotFailures: false,
			provider: playwright({ launchOptions: { executablePath, args: ["--no-sandbox", "--enable-unsafe-webgpu"] } }),
			instances: [{ browser: "chromium", name }],
		},
	},
});

export const browser = [
	inChromium(
		"chromium",
		[
			"tests/browser/*.test.ts",
			"tests/tensor/{accuracy,functions,casts,longAxes,specialValues,vmap,vmapFunctions,vmapRefusals,derivedRows,engine,random}.test.ts",
			"tests/engine/{autograd,memory,status}.test.ts",
		],
		{ HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "12" },
	),
	inChromium(
		"chromium, plan gpu",
		["tests/tensor/{primitives,plans.matrix,longAxes,sumReadings}.test.ts", "tests/dp/primitives.test.ts"],
		planGpu,
	),
];

/** Every kernel once more, and a private training step, through navigator.gpu of headless Chromium. */
export default runOf(...browser);
