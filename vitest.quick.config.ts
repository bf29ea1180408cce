import { defineConfig } from "vitest/config";
import main from "./vitest.config.ts";

/**
 * A part of the suite for `npm test -- --quick`: every package, every operation with fewer random cases, and all attacks on
 * privacy. A new file is in it unless it is named here.
 */
export default defineConfig({
	...main,
	test: {
		...main.test,
		exclude: [
			...(main.test?.exclude ?? []),
			// Whole runs of training, and losses of the device.
			"tests/training/{memory,determinism,deviceLoss}.test.ts",
			"tests/examples/medicalFlashcards.test.ts",
			"tests/models/{perSampleLora,nanNaming}.test.ts",
			"tests/dp/{honestLosses,costs}.test.ts",
			// Many numbers: accounts of long plans, long axes, large tensors.
			"tests/dp/{calibrate,plan}.test.ts",
			"tests/tensor/{longRecords,manyRows,largeTensors}.test.ts",
			// Tools that work on copies of the library, and the programs of the pages, each a process of its own.
			"tests/tools/{newOp,kernels}.test.ts",
			"tests/docs/pages.test.ts",
		],
		env: {
			HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "8",
			HUSHGRAD_PROGRAMS: process.env.HUSHGRAD_PROGRAMS ?? "40",
		},
	},
});
