import { defineConfig } from "vitest/config";
import { required, swiftShader } from "./tools/browser.mjs";
import browser from "./vitest.browser.config.ts";
import main, { LongestFirst } from "./vitest.config.ts";

const env = { HUSHGRAD_PLAN: "gpu", HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "6" };

/** The kernels of plan "gpu", and of plan "matrix" in plain WGSL, which no driver that computes on the processor takes by itself, on the three that the tests have. */
export default defineConfig({
	test: {
		sequence: { sequencer: LongestFirst },
		projects: [
			{
				...main,
				test: {
					...main.test,
					name: "lavapipe",
					include: [
						"tests/tensor/{primitives,longAxes,sumReadings,longRecords,manyRows,streamed,specialValues,vmap}.test.ts",
						"tests/dp/{primitives,selfCheck,streaming}.test.ts",
						"tests/nn/nf4.test.ts",
						"tests/privacy/attacks.engine.test.ts",
					],
					env,
				},
			},
			{
				...main,
				test: {
					...main.test,
					name: "swiftshader",
					include: ["tests/tensor/{primitives,plans.matrix,longAxes,sumReadings}.test.ts", "tests/dp/primitives.test.ts"],
					env: { ...env, VK_DRIVER_FILES: required(swiftShader(), "SwiftShader"), HUSHGRAD_EXPECT_ADAPTER: "swiftshader" },
				},
			},
			{
				...browser,
				test: {
					...browser.test,
					name: "chromium",
					sequence: { groupOrder: 1 },
					include: ["tests/tensor/{primitives,plans.matrix,longAxes,sumReadings}.test.ts", "tests/dp/primitives.test.ts"],
					env,
				},
			},
		],
	},
});
