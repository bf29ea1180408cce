import { required, swiftShader } from "./tools/browser.mjs";
import { inNode, runOf } from "./vitest.base.ts";
import { planGpu } from "./vitest.config.ts";

const env = { VK_DRIVER_FILES: required(swiftShader(), "SwiftShader"), HUSHGRAD_EXPECT_ADAPTER: "swiftshader" };

export const swiftshader = [
	inNode("swiftshader", {
		include: [
			"tests/tensor/primitives*.test.ts",
			"tests/tensor/{accuracy,functions,casts,longAxes,specialValues,vmap,vmapFunctions,vmapRefusals,linearOps,derivedRows,engine,manyRows,numbers,shapes,shapesGolden,softmaxParts,streamed,sumReadings}.test.ts",
			"tests/engine/{autograd,capture,kernelLanes,status}.test.ts",
			"tests/nn/{nf4,optim}.test.ts",
			"tests/dp/{adaptive,audit,engine,perLayer,primitives,selfCheck,streaming}.test.ts",
			"tests/models/{vaultgemma,adapter,batches,closedWorld}.test.ts",
			"tests/privacy/attacks.{axes,engine}.test.ts",
			"tests/training/replay.test.ts",
		],
		env: { ...env, HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "15" },
	}),
	// Chromium, whose driver this is too, runs all operations by that plan.
	inNode("swiftshader, plan gpu", {
		include: ["tests/tensor/{plans.matrix,longAxes,sumReadings}.test.ts", "tests/dp/primitives.test.ts"],
		env: { ...env, ...planGpu },
	}),
];

/** The tensor library, and a private step, on SwiftShader: subgroups of 4, no f16, bindings of 1 GiB, its own ways with NaN. */
export default runOf(...swiftshader);
