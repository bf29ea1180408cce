import { defineConfig, mergeConfig } from "vitest/config";
import { required, swiftShader } from "./tools/browser.mjs";
import main from "./vitest.config.ts";

/** The tensor library on SwiftShader: subgroups of 4, no f16, bindings of 1 GiB, NaN treated in its own ways. */
export default mergeConfig(
	main,
	defineConfig({
		test: {
			include: [
				"tests/tensor/primitives*.test.ts",
				"tests/tensor/{functions,casts,longAxes,specialValues,perSampleFunctions,engine,manyRows}.test.ts",
				"tests/engine/{autograd,capture,status}.test.ts",
			],
			env: {
				VK_DRIVER_FILES: required(swiftShader(), "SwiftShader"),
				HUSHGRAD_EXPECT_ADAPTER: "swiftshader",
				HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "40",
			},
		},
	}),
);
