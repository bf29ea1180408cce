import { defineConfig } from "vitest/config";
import { required, swiftShader } from "./tools/browser.mjs";
import main from "./vitest.config.ts";

/** The tensor library, and a private step, on SwiftShader: subgroups of 4, no f16, bindings of 1 GiB, its own ways with NaN. */
export default defineConfig({
	...main,
	test: {
		...main.test,
		include: [
			"tests/tensor/primitives*.test.ts",
			"tests/tensor/{accuracy,functions,casts,longAxes,specialValues,vmap,vmapFunctions,vmapRefusals,linearOps,derivedRows,engine,manyRows,numbers,shapes,shapesGolden,softmaxParts,streamed}.test.ts",
			"tests/engine/{autograd,capture,status}.test.ts",
			"tests/nn/{nf4,optim}.test.ts",
			"tests/dp/{adaptive,audit,engine,perLayer,primitives,selfCheck,streaming}.test.ts",
			"tests/models/{vaultgemma,adapter,batches,closedWorld}.test.ts",
			"tests/privacy/attacks.{axes,engine}.test.ts",
			"tests/training/replay.test.ts",
		],
		env: {
			VK_DRIVER_FILES: required(swiftShader(), "SwiftShader"),
			HUSHGRAD_EXPECT_ADAPTER: "swiftshader",
			HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "15",
		},
	},
});
